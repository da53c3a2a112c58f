"""The base of models trained on paths between pairs of noise and data: velocity models and flow maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from genbench.core import CPU, Batch, Data, Event, Model, Source, Split
from genbench.errors import ConfigError
from genbench.models.flow_matching.couplings.base import Coupled, Coupling, Pairs, pilot_pairs
from genbench.models.flow_matching.paths import Lipman, Path, Straight
from genbench.nets.presets import Net, Prediction, build
from genbench.numerics.weighted_pairs import relative_ess
from genbench.seeds import derive
from genbench.settings import Fraction, Positive, settings_of
from genbench.space import dequantize

STRAIGHT = 1e-3
"""Largest noise of straight paths that predictions of the data and names of densities leave out."""


@dataclass(frozen=True, kw_only=True)
class SharedSettings:
    """Settings of every flow-matching method.

    Args:
        conditional: whether the model is trained on labels; couplings then pair within each class.
        label_dropout: share of labels dropped in conditional training; guidance needs more than 0.
        dequantize: whether quantized data is spread uniformly over its bins, as bits/dim require.
        prediction: what the network predicts: the velocity, the data (x-prediction), or EDM's residual; the last two
            only on straight paths without noise. The loss is always computed on the velocity.
        data_std: standard deviation of the data in model space, for model.prediction=edm; 0.5 suits images.
    """

    conditional: bool = False
    label_dropout: Fraction = 0.1
    dequantize: bool = True
    prediction: Prediction = "velocity"
    data_std: Positive = 0.5

    def classes(self, event: Event) -> int:
        """Return the number of classes that net and coupling know: 0 for an unconditional model."""
        return event.classes if self.conditional else 0


DEFAULTS = SharedSettings()


class Example(NamedTuple):
    """One training step on straight or curved paths between pairs, with all randomness drawn.

    Args:
        t: time of the state.
        x: state of each pair at time t.
        velocity: velocity of the pair's path at time t.
        ess: relative effective sample size of the weights, repeated for each sample.
        label: classes, some of them dropped.
        tilt: tilt of source and data, where the coupling estimates it.
        end: later time up to which a flow map predicts.
        middle: a time between t and `end`, where a loss of flow maps splits the interval.
    """

    t: Float[Tensor, " b"]
    x: Float[Tensor, "b *event"]
    velocity: Float[Tensor, "b *event"]
    weight: Float[Tensor, " b"]
    ess: Float[Tensor, " b"]
    label: Int[Tensor, " b"] | None
    tilt: Float[Tensor, "b 2"] | None = None
    end: Float[Tensor, " b"] | None = None
    middle: Float[Tensor, " b"] | None = None


class PairModel(Model, Coupled):
    """A model whose network learns from the paths between pairs: (x0, x1), w ~ coupling;  x_t, u = path(x0, x1, t).

    Args:
        times: number of time inputs of the network: 1 for the time of the state; 2 adds the length of an interval.
    """

    keeps_conditions = True

    def __init__(
        self,
        event: Event,
        source: Source,
        *,
        net: Net,
        coupling: Coupling,
        path: Path,
        shared: SharedSettings,
        times: int = 1,
    ) -> None:
        super().__init__()
        if shared.conditional and not event.classes:
            raise ConfigError("model.conditional=true needs data with classes; the data has none")
        self.event, self.source, self.conditional = event, source, shared.conditional
        self.nfe_curve = settings_of(self.sampler).keys() >= {"method", "steps"}  # not with each sampler of a user
        prediction, std = shared.prediction, shared.data_std
        straight = isinstance(path, (Straight, Lipman))
        if prediction != "velocity" and not (straight and path.sigma <= STRAIGHT):
            raise ConfigError(
                f"model.prediction={prediction} is for straight paths without noise: set model.prediction=velocity"
            )
        self.net = build(event, shared.classes(event), net, times=times, prediction=prediction, std=std)
        self.coupling, self.draws = coupling, coupling.draws
        self.path, self.label_dropout = path, shared.label_dropout
        self.bin_width = event.bin if shared.dequantize else 0.0
        self.density = "dequantized data" if self.bin_width else "data"
        if straight and path.sigma > STRAIGHT:  # noise of the path at t = 1, which samples keep
            self.density += f" + N(0, {path.sigma:g}^2)"
        self._pool: tuple[tuple[int, int, int], tuple[Pairs, Tensor | None]] | None = None

    @property
    def chosen(self) -> dict[str, float]:
        return self.coupling.chosen

    @classmethod
    def stackable(cls, event: Event, settings: Mapping[str, Any]) -> bool:
        net = settings.get("net")  # methods of users may have no such setting, or another one of this name
        return isinstance(net, Mapping) and net.get("name") == "mlp"

    def prepare(self, data: Data, seed: int) -> None:
        self.coupling.choose(data)
        if count := self.coupling.pilot_size:
            width = self.bin_width
            pairs = pilot_pairs(data.train, self.source, count, seed, bin_width=width, labeled=self.conditional)
            k = self.event.conditions
            self.coupling.prepare(pair._replace(x0=with_conditions(pair.x0, pair.x1, k)) for pair in pairs)

    def batch_source(self, data: Data, device: torch.device = CPU) -> Split:
        self.coupling.attach(data.train, self.source, device)
        return super().batch_source(data, device)

    def example(self, batch_source: Split, step: int, size: int, seed: int, generator: torch.Generator) -> Example:
        """Return the example of a step; a coupling with a pool pairs the batches of several steps together."""
        pool = self.coupling.pool
        if pool == 1:
            return super().example(batch_source, step, size, seed, generator)
        number, part = divmod(step, pool)
        if self._pool is None or self._pool[0] != (number, size, seed):
            batches = [batch_source.batch(number * pool + i, size, seed) for i in range(pool)]
            whole = Batch(*(torch.cat(items).to(generator.device) for items in zip(*batches, strict=True)))
            self._pool = (number, size, seed), self.pair(whole, generator.manual_seed(derive(seed, "pool", number)))
        pairs, label = self._pool[1]
        rows = slice(part * size, (part + 1) * size)
        mine = Pairs(*(None if item is None else item[rows] for item in pairs))  # type: ignore[arg-type]
        generator.manual_seed(derive(seed, "train", step))
        return self.interpolate(mine, None if label is None else label[rows], generator)

    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        return self.interpolate(*self.pair(batch, generator), generator)

    @torch.no_grad()
    def pair(self, batch: Batch, generator: torch.Generator) -> tuple[Pairs, Tensor | None]:
        """Draw noise and pair it with the data. Returns the pairs, which hold noise and data, and their labels.

        The coupling sees noise with the conditions of the data that it was drawn with; a pair has the conditions of its
        data.
        """
        x1, k = dequantize(batch.x, self.bin_width, generator), self.event.conditions
        label = batch.label if self.conditional else None
        x0 = with_conditions(self.source.sample(len(x1), generator), x1, k)
        pairs = self.coupling(x0, x1, label, generator)
        moved = x1 if pairs.x1 is None else dequantize(pairs.x1, self.bin_width, generator)
        return pairs._replace(x0=with_conditions(pairs.x0, moved, k), x1=moved), label

    @torch.no_grad()
    def interpolate(self, pairs: Pairs, label: Tensor | None, generator: torch.Generator) -> Example:
        """Draw times for each pair, evaluate the path there, and drop labels."""
        x0, x1 = pairs.x0, pairs.x1
        assert x1 is not None
        t, end = self.draw_times(len(x1), generator)
        x, velocity = self.path(x0, x1, expand(t, x1), generator)
        x = with_conditions(x, x1, self.event.conditions)  # the path adds no noise to conditions
        velocity = with_conditions(velocity, torch.zeros_like(x1), self.event.conditions)
        if label is not None:
            dropped = torch.rand(len(x1), generator=generator, device=x1.device) < self.label_dropout
            label = torch.where(dropped, self.event.classes, label)
        # Repeated for each sample, so that a process with a part of the batch logs the ESS of the whole.
        ess = relative_ess(pairs.weight).expand(len(x1))
        return Example(t, x, velocity, pairs.weight, ess, label, pairs.tilt, end)

    def draw_times(self, n: int, generator: torch.Generator) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"] | None]:
        """Draw the times of n states, uniformly; flow maps also draw the times that they predict."""
        low, high = self.path.t_range
        return low + (high - low) * torch.rand(n, generator=generator, device=generator.device), None

    @classmethod
    def check(cls, options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        if options.get("guidance") and not settings.get("conditional"):
            raise ConfigError("sample.guidance needs labels and a model trained on them: set model.conditional=true")


def with_conditions(
    x: Float[Tensor, "b *event"], other: Float[Tensor, "b *event"], count: int
) -> Float[Tensor, "b *event"]:
    """Return samples with the conditions (the last coordinates or channels) of other samples."""
    return torch.cat([x[:, :-count], other[:, -count:]], 1) if count else x


def expand(t: Shaped[Tensor, " b"], x: Float[Tensor, "b *event"]) -> Shaped[Tensor, "b *ones"]:
    """Reshape one number per sample to broadcast against samples."""
    return t.view(-1, *[1] * (x.dim() - 1))


def scalars(loss: Float[Tensor, ""], example: Example) -> dict[str, Tensor]:
    """Return a loss with what is logged beside it: the relative ESS and, where it is known, the tilt of the weights."""
    tilt = example.tilt
    tilts = {} if tilt is None else {"source_tilt": tilt[:, 0].mean(), "data_tilt": tilt[:, 1].mean()}
    return {"loss": loss, "ess": example.ess.mean(), **tilts}
