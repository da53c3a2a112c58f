"""The nouns: events, batches, data, models. Everything else is built from these."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from genbench.errors import RunFailed, Unsupported
from genbench.seeds import derive
from genbench.space import Space


class Batch(NamedTuple):
    """Samples in model space with their labels (all zero where the data has no classes)."""

    x: Float[Tensor, "b *event"]
    label: Int[Tensor, " b"]


@dataclass(frozen=True)
class Event:
    """What a model may know of one sample: its shape, the number of classes, the bin width of its coordinates.

    Args:
        shape: (d,) for vectors, (channels, height, width) for images.
        classes: number of labels; 0 where there are none.
        bin: width of one quantisation step in model space; 0 where the data is continuous.
        captions: the text that each label stands for; empty where labels are mere numbers.
    """

    shape: tuple[int, ...]
    classes: int = 0
    bin: float = 0.0
    captions: tuple[str, ...] = ()

    @property
    def dims(self) -> int:
        """Number of coordinates of one sample."""
        return int(torch.Size(self.shape).numel())


@runtime_checkable
class Source(Protocol):
    """The distribution from which sampling starts."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        ...

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n *event"]:
        """Draw n independent samples, on the generator's device."""
        ...

    def log_prob(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, " b"]:
        """Return the log-density in nats. Raises Unsupported where it is not known."""
        ...


@dataclass(frozen=True)
class Normal:
    """N(0, I) over samples of the given shape."""

    shape: tuple[int, ...]

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n *event"]:
        """Draw n independent samples, on the generator's device."""
        return torch.randn(n, *self.shape, generator=generator, device=generator.device)

    def log_prob(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, " b"]:
        """Return the log-density in nats."""
        return torch.distributions.Normal(0.0, 1.0).log_prob(x).flatten(1).sum(1)


Encode = Callable[[Tensor], Tensor]
"""From samples in model space to latents."""


@runtime_checkable
class Split(Protocol):
    """One part of a data set. Both methods are pure: the same arguments give the same samples."""

    @property
    def size(self) -> int | None:
        """Number of samples; None where every draw is fresh from a distribution."""
        ...

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Return the step-th training batch: finite data is visited once per epoch in an order from the seed."""
        ...

    def take(self, n: int, seed: int) -> Batch:
        """Return n distinct samples for evaluation, without augmentation (finite data: never more than there are).

        Raises:
            Unsupported: if finite data has fewer than n.
        """
        ...


@runtime_checkable
class Rows(Protocol):
    """An array whose rows are taken by their numbers: a tensor, or a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, and shape of one."""
        ...

    def __getitem__(self, rows: Int[Tensor, " b"], /) -> Shaped[Tensor, "b *event"]:
        """Return some rows, in the order in which they are asked for."""
        ...


@runtime_checkable
class Raw(Protocol):
    """A split that keeps raw samples, and can serve them as they are kept."""

    def raw(self, n: int, seed: int) -> Rows:
        """Return what `take` takes as raw data, of which no more is read than is asked for.

        Raises:
            Unsupported: if there are fewer than n.
        """
        ...


@runtime_checkable
class Encodable(Protocol):
    """A split that can serve latents of its samples, encoded once."""

    def encoded(self, encode: Encode, shape: tuple[int, ...], key: str) -> Split:
        """Return a split that serves the latents in the same order; the key tells encoders and collections apart."""
        ...


@runtime_checkable
class Portable(Protocol):
    """A split that can make its batches on a device, out of less than a whole batch of floats."""

    def on(self, device: torch.device) -> Split:
        """Return a split with the same batches, on that device."""
        ...


@dataclass(frozen=True)
class Truth:
    """What is known exactly about a task, in model space; None where it is not.

    Args:
        log_prob: the log-density of the data in nats.
        modes: centres of the modes, (modes, d).
        w2_squared: squared 2-Wasserstein distance from source to data.
        velocity: the marginal field (t, x) of conditional flow matching with independent pairs on the straight path.
    """

    log_prob: Callable[[Tensor], Tensor] | None = None
    modes: Tensor | None = None
    w2_squared: float | None = None
    velocity: Callable[[Tensor, Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Captions:
    """What the labels of captioned data say, beyond their text.

    Args:
        attributes: {name: the values it can have, as words}, such as {"class": ("zero", ...), "look": ("plain", ...)}.
        values: {name: index into those values, for each label}.
        held_out: for each label, whether its combination of attributes never occurs in training.
    """

    attributes: Mapping[str, tuple[str, ...]]
    values: Mapping[str, tuple[int, ...]]
    held_out: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class Data:
    """A task: where samples start, where they should arrive, in which units.

    Args:
        event: what models are told.
        space: the map between raw data and model space.
        source: the distribution sampling starts from, N(0, I) unless the task is x -> y.
        train: models see this part.
        valid: tuning sees this part.
        test: tables see this part.
        plan: training budget this data set asks for by default (field names of `genbench.training.loop.Plan`).
        evaluation: evaluation settings this data set asks for by default.
        metrics: names of the metrics that `run` computes when none are asked for.
        truth: what is known exactly.
        captions: what the labels of captioned data say.
        provenance: where the data came from: "source", "sha256", "original" (the checksummed original or not).
    """

    event: Event
    space: Space
    source: Source
    train: Split
    valid: Split
    test: Split
    plan: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    truth: Truth = field(default_factory=Truth)
    captions: Captions | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


class Samples(NamedTuple):
    """Generated samples in model space, and the counted network evaluations that each of them took."""

    x: Float[Tensor, "b *event"]
    nfe: float


Example = Any
"""A NamedTuple of tensors whose first axis is the batch: one training step, all randomness already drawn."""


class Learner(nn.Module, ABC):
    """What can be trained: a model, or a stack of models (`genbench.training.ensemble`).

    Args:
        laborious: whether an example takes long to draw, outside of Python, from nothing that training changes: the
            next one is then drawn during the step.
    """

    laborious = False

    def prepare(self, data: Data, seed: int) -> None:
        """Look at the training data once before the first step, to set constants (kept as buffers)."""

    @abstractmethod
    def material(self, data: Data) -> Any:
        """Return what training batches come from."""

    @abstractmethod
    def example(self, material: Any, step: int, size: int, seed: int, generator: torch.Generator) -> Example:
        """Return the example of a step, on the generator's device: a batch, and all that is drawn for it.

        Args:
            material: where batches come from.
            step: counted from 0.
            size: of the global batch.
            seed: batch and draws derive from it and from the step alone.
            generator: a stream to be seeded.
        """

    @abstractmethod
    def loss(self, example: Example) -> dict[str, Tensor]:
        """Return scalars, a pure function of tensors: "loss" is minimised, the rest is logged."""

    def clip(self, norm: float) -> None:
        """Shorten the gradient to that norm where it is longer."""
        nn.utils.clip_grad_norm_(self.parameters(), norm)

    def diverged(self, steps: Sequence[int]) -> None:
        """Be told the step, from 1, at which the loss of each model was first not finite; 0 where it is finite.

        Raises:
            RunFailed: if there is nothing left to train.
        """
        if steps[0]:
            raise RunFailed(f"the loss is not finite at step {steps[0]}")

    @property
    def reasons(self) -> Sequence[str | None]:
        """Why each model that is trained here failed; None for those that did not."""
        return [None]

    def forward(self, example: Example) -> dict[str, Tensor]:
        """Return the loss, so that wrappers (DDP, FSDP, compile) see training only."""
        return self.loss(example)


class Model(Learner):
    """A generative model: a training loss, a map from source noise to samples, and a density if it has one.

    A builder is a function `(event, source, *, keyword-only settings) -> Model`.
    `sample`'s own keyword-only options are the schema of the settings `sample.*`.
    """

    event: Event
    source: Source
    """What `sample` starts from. A latent model has a source of its own."""

    density: str = "data"
    """What `log_prob` is the density of: "data", "dequantised data", "data + N(0, 0.1^2)", "latents"."""

    conditional: bool = False
    """Whether it was trained on labels, so that `sample` and `log_prob` want them."""

    nfe_curve: bool = False
    """Whether sampling can be told its number of network evaluations; then `at_budget` says how."""

    steering: tuple[str, ...] = ()
    """Settings that only `prepare` and `draw` look at: members of a stack may differ in them."""

    @property
    def sampler(self) -> Callable[..., Samples]:
        """The method whose keyword-only parameters are the sampling options."""
        return self.sample

    @classmethod
    def stackable(cls, event: Event, settings: Mapping[str, Any]) -> bool:
        """Return whether models of these settings are worth training as one stack.

        Their loss then depends on parameters and example alone, and is pure under torch.func.
        """
        return False

    def material(self, data: Data) -> Split:
        """Return what training batches come from: the training split, or what a latent model makes of it."""
        return data.train

    def example(self, material: Split, step: int, size: int, seed: int, generator: torch.Generator) -> Example:
        """Return the example of a step: what is drawn for a batch depends on nothing but the seed and the step."""
        batch = Batch(*(item.to(generator.device) for item in material.batch(step, size, seed)))
        return self.draw(batch, generator.manual_seed(derive(seed, "train", step)))

    @abstractmethod
    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        """Draw everything random of one step, on the global batch: noise, pairing, time, dropped labels."""

    @abstractmethod
    def sample(self, x0: Float[Tensor, "b *source"], *, label: Int[Tensor, " b"] | None = None) -> Samples:
        """Map source noise to samples, deterministically. Options of its own follow as keywords."""

    def log_prob(self, x: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        """Return the log-density in nats, summed over the event, in model space."""
        raise Unsupported(f"{type(self).__name__} has no likelihood")

    @classmethod
    def check(cls, options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Raise ConfigError, before anything is trained, where bound sampling options cannot be.

        Args:
            options: sampling options, which may contradict one another, or
            settings: those of the model.
        """

    def at_budget(self, options: Mapping[str, Any], method: str, nfe: int) -> dict[str, Any]:
        """Return sampling options like the given ones that spend that many network evaluations a sample."""
        raise Unsupported(f"{type(self).__name__} has no number of evaluations to choose")


@runtime_checkable
class Transport(Protocol):
    """A model whose samples follow an ODE: what path metrics need."""

    def velocity(
        self, t: Float[Tensor, ""], x: Float[Tensor, "b *event"], label: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b *event"]:
        """Return the field at one time for all samples."""
        ...


def noise(source: Source, n: int, seed: int, *, start: int = 0) -> Float[Tensor, "n *event"]:
    """Draw the noise of samples start .. start+n-1, each from a seed of its own: sample i never depends on n."""
    return _noise(source, n, seed, start).clone()  # whoever writes to his leaves that of others alone


@lru_cache(maxsize=2)  # a curve against evaluations starts from the same noise at every point
def _noise(source: Source, n: int, seed: int, start: int) -> Float[Tensor, "n *event"]:
    stream = torch.Generator()
    drawn = [source.sample(1, stream.manual_seed(derive(seed, "noise", i))) for i in range(start, start + n)]
    return torch.cat(drawn)
