"""The flow-matching model. Its methods (`methods.py`) differ by coupling and path."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import Batch, Data, Event, Model, Samples, Source, Transport
from genbench.errors import ConfigError, Unsupported
from genbench.models.flow_matching.couplings.base import Coupled, Coupling, Pairs, pilot_pairs
from genbench.models.flow_matching.paths import Path
from genbench.nets.presets import NetSetting, build
from genbench.numerics.importance_weights import relative_ess
from genbench.numerics.ode import SOLVERS, Method, integrate, log_density
from genbench.settings import Fraction, NonNegative, Positive, Size
from genbench.space import dequantise

Net = Annotated[NetSetting, "the network, a name or a table of its settings; by default the one that suits the data"]


@dataclass(frozen=True, kw_only=True)
class SharedSettings:
    """Settings of every flow-matching method.

    Args:
        conditional: whether the model is trained on labels; couplings then pair within each class.
        label_dropout: share of labels dropped in conditional training, for guidance.
        dequantise: whether quantized data is spread uniformly over its bins, as bits/dim require.
    """

    conditional: bool = False
    label_dropout: Fraction = 0.1
    dequantise: bool = True


DEFAULTS = SharedSettings()


class Example(NamedTuple):
    """One step of flow matching, with all randomness drawn."""

    t: Float[Tensor, " b"]
    x: Float[Tensor, "b *event"]
    velocity: Float[Tensor, "b *event"]
    weight: Float[Tensor, " b"]
    ess: Float[Tensor, " b"]
    label: Int[Tensor, " b"] | None
    tilt: Float[Tensor, "b 2"] | None = None


class FlowMatching(Model, Transport, Coupled):
    """Regress a velocity field on the velocities of pairs (Lipman et al., 2023; Tong et al., 2023).

    (x0, x1), w ~ coupling;  t ~ U;  x_t, u = path(x0, x1, t);  loss = E[w mean (v(t, x_t) - u)^2].
    Samples solve dx/dt = v(t, x) from the source at t = 0 to t = 1.
    """

    nfe_curve = True
    steering = (
        "sigma",
        "kappa",
        "epsilon",
        "cost",
        "normaliser",
        "weigh",
        "plan",
        "resample",
        "reg",
        "clip",
        "schedule",
        "reference",
        "running",
        "label_dropout",
        "dequantise",
    )

    def __init__(
        self, event: Event, source: Source, *, net: Net, coupling: Coupling, path: Path, shared: SharedSettings
    ) -> None:
        super().__init__()
        if shared.conditional and not event.classes:
            raise ConfigError("model.conditional=true needs data with classes; this data has none")
        self.event, self.source, self.conditional = event, source, shared.conditional
        self.net = build(event, event.classes if shared.conditional else 0, net)
        self.coupling, self.prefetch = coupling, coupling.prefetch
        self.path, self.label_dropout = path, shared.label_dropout
        self.bin_width = event.bin if shared.dequantise else 0.0
        self.density = "dequantised data" if self.bin_width else "data"

    @classmethod
    def stackable(cls, event: Event, settings: Mapping[str, Any]) -> bool:
        """Return whether the network is the one for vectors."""
        return settings["net"]["name"] == "mlp"

    def prepare(self, data: Data, seed: int) -> None:
        """Let the coupling estimate its constants, if it has any, from independent pairs of noise and data."""
        if count := self.coupling.pilot_size:
            width = self.bin_width
            pairs = pilot_pairs(data.train, self.source, count, seed, bin_width=width, labeled=self.conditional)
            self.coupling.prepare(pairs)

    @torch.no_grad()
    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        """Draw noise, pair it with the data, and draw a time for each pair."""
        x1 = dequantise(batch.x, self.bin_width, generator)
        label = batch.label if self.conditional else None
        pairs = self.coupling(self.source.sample(len(x1), generator), x1, label, generator)
        return self.interpolate(pairs, x1, label, generator)

    def interpolate(self, pairs: Pairs, x1: Tensor, label: Tensor | None, generator: torch.Generator) -> Example:
        """Draw a time for each pair, evaluate the path there, and drop labels."""
        low, high = self.path.t_range
        t = low + (high - low) * torch.rand(len(x1), generator=generator, device=x1.device)
        x, velocity = self.path(pairs.x0, x1, t.view(-1, *[1] * (x1.dim() - 1)), generator)
        if label is not None:
            dropped = torch.rand(len(x1), generator=generator, device=x1.device) < self.label_dropout
            label = torch.where(dropped, self.event.classes, label)
        # Repeated for each sample, so that a process with a part of the batch logs the ESS of the whole.
        ess = relative_ess(pairs.weight).expand(len(x1))
        return Example(t, x, velocity, pairs.weight, ess, label, pairs.tilt)

    def loss(self, example: Example) -> dict[str, Tensor]:
        """Return the weighted squared error, and the relative ESS and the tilt of the weights."""
        t, x, velocity, weight, ess, label, tilt = example
        error = (self.net(t, x, label) - velocity).square().flatten(1).mean(1)
        tilts = {} if tilt is None else {"source_tilt": tilt[:, 0].mean(), "data_tilt": tilt[:, 1].mean()}
        return {"loss": (weight * error).mean(), "ess": ess.mean(), **tilts}

    def velocity(self, t: Tensor, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the learned field; without labels, that of the whole data."""
        return self.net(t, x, label)

    def sample(
        self,
        x0: Float[Tensor, "b *event"],
        *,
        label: Int[Tensor, " b"] | None = None,
        method: Method = "dopri5",
        steps: Size = 0,
        tol: Positive = 1e-5,
        guidance: NonNegative = 0.0,
        dtype: Literal["float32", "float64"] = "float32",
    ) -> Samples:
        """Solve the ODE from the noise.

        Args:
            method: ODE solver; dopri5 is adaptive and takes `tol`, the others take `steps` equal steps.
            steps: steps of a fixed-step solver, which needs them; the adaptive one takes none.
            tol: relative and absolute tolerance of dopri5.
            guidance: w of v_c + w (v_c - v_u), for conditional models (Ho and Salimans, 2022); 0 is the plain model.
            dtype: precision in which the ODE is solved.
        """
        self.check({"method": method, "steps": steps, "guidance": guidance}, {"conditional": self.conditional})
        net = copy.deepcopy(self.net).double() if dtype == "float64" else self.net

        def field(t: Tensor, x: Tensor) -> Tensor:
            v = net(t, x, label)
            return v + guidance * (v - net(t, x, None)) if guidance else v

        x, nfe = integrate(field, x0.to(getattr(torch, dtype)), method=method, steps=steps, tol=tol)
        return Samples(x, nfe * (2 if guidance else 1))

    @classmethod
    def check(cls, options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Refuse steps that the solver would ignore, a solver that lacks them, and guidance without labels."""
        method, steps = options["method"], options["steps"]
        adaptive = SOLVERS[method].stages is None
        if adaptive and steps:
            raise ConfigError(f"sample.steps: {method} chooses its own; set sample.method=euler to take {steps} steps")
        if not adaptive and not steps:
            raise ConfigError(f"sample.steps: {method} needs a number of steps, such as sample.steps=100")
        if options["guidance"] and not settings["conditional"]:
            raise ConfigError("sample.guidance needs a conditional model; set model.conditional=true and train it")

    def at_budget(self, options: Mapping[str, Any], method: str, nfe: int) -> dict[str, Any]:
        """Return options with that many network evaluations per sample."""
        stages = SOLVERS[method].stages
        if stages is None:
            raise Unsupported(f"{method} chooses its own number of evaluations")
        cost = stages * (2 if options.get("guidance") else 1)
        if nfe % cost:
            raise Unsupported(f"{method} takes {cost} evaluations per step, which do not divide {nfe}")
        return {**options, "method": method, "steps": nfe // cost}

    def log_prob(
        self, x: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None, tol: float = 1e-5
    ) -> Float[Tensor, " b"]:
        """Return the log-density in nats by the exact trace, which suits vectors and small images."""
        return log_density(lambda t, y: self.velocity(t, y, label), x, self.source.log_prob, tol=tol).x
