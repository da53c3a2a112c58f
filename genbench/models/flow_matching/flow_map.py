"""Flow maps: networks that predict where the flow takes a state by a later time; and their losses."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

import torch
from annotated_types import Gt
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from genbench.core import Event, Samples, Source, Split
from genbench.errors import ConfigError, Unsupported, first_line
from genbench.models.flow_matching.couplings.base import Pairs
from genbench.models.flow_matching.pair_model import DEFAULTS, Example, PairModel, SharedSettings, expand, scalars
from genbench.models.flow_matching.paths import Straight
from genbench.nets.presets import Net
from genbench.registry import couplings, models, with_settings_of
from genbench.settings import Fraction, Nested, NonNegative, Size

Ratio = Annotated[Fraction, "share of pairs that learn an interval; the others train the velocity itself"]
LogitNormal = tuple[float, Annotated[float, Gt(0)]]
"""Mean and standard deviation of logit(t)."""


class MapLoss(nn.Module, ABC):
    """How a flow map u(x_t, t, r) = (X_r - x_t) / (r - t) is learned; r is the `end` of an example.

    In the limit r = t, u is the velocity. The pairs that do not learn an interval train the velocity by flow matching.
    """

    times = 2
    """Time inputs of the network: 1 for the time of the state alone, 2 with a number for the interval."""
    full_precision = True
    """Whether the error is a difference of predictions, which lower precision would round off."""
    limits: Mapping[str, Any] = MappingProxyType({})
    """The settings that decide which numbers of steps samples may take."""
    fewest = 1
    """The smallest number of steps."""

    def attach(self, model: "FlowMap") -> None:
        """Read what the loss needs from a newly built model; nothing by default."""

    @abstractmethod
    def draw_times(self, n: int, generator: torch.Generator) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Draw the times of n states, and the later times of their intervals."""

    def completed(self, model: "FlowMap", example: Example, generator: torch.Generator) -> Example:
        """Return the example with what the loss computes without gradients; nothing by default."""
        return example

    def at_step(self, example: Example, step: int) -> Example:
        """Return the example of a step of training, for a loss that changes over training."""
        return example

    def mean_velocity(
        self,
        net: nn.Module,
        t: Float[Tensor, "*b"],
        end: Float[Tensor, "*b"],
        x: Float[Tensor, "n *event"],
        label: Int[Tensor, " n"] | None,
    ) -> Float[Tensor, "n *event"]:
        """Return the mean velocity from time t to a later time: one evaluation."""
        return net(t, x, label, end - t)

    @abstractmethod
    def error(self, model: "FlowMap", example: Example) -> Float[Tensor, " b"]:
        """Return the error of each pair."""


def ordered_times(
    n: int, ratio: float, state: LogitNormal | None, target: LogitNormal | None, generator: torch.Generator
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Draw two times in order, and let the second equal the first for all but a share `ratio` of them."""
    t, end = (logit_normal(n, law, generator) for law in (state, target or state))
    t, end = t if target else torch.minimum(t, end), torch.maximum(t, end)
    same = torch.rand(n, generator=generator, device=generator.device) >= ratio
    return t, torch.where(same, t, end)


def logit_normal(n: int, law: LogitNormal | None, generator: torch.Generator) -> Float[Tensor, " n"]:
    """Draw times in [0, 1], uniformly or with a normal logit."""
    if law is None:
        return torch.rand(n, generator=generator, device=generator.device)
    mean, deviation = law
    return torch.sigmoid(mean + deviation * torch.randn(n, generator=generator, device=generator.device))


@cache
def _load_derivatives() -> None:
    """Let torch load its rules of forward-mode derivatives, whose code it calls deprecated in warnings to users."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore")
        forward_ad.make_dual(torch.zeros(()), torch.zeros(()))


def derivative(function: Any, inputs: tuple[Tensor, ...], tangents: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Return the value of a function of the network, and its derivative along tangents, both with gradients.

    Raises:
        ConfigError: if the network has no forward-mode derivatives.
    """
    try:
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no forward-mode derivative
            return jvp(function, inputs, tangents)  # type: ignore[return-value]
    except NotImplementedError as error:
        raise ConfigError(f"this loss needs a net with forward-mode derivatives: {first_line(error)}") from error


def velocity_of(model: "FlowMap", t: Tensor, x: Tensor, label: Tensor | None) -> Tensor:
    """Return the network's own velocity: the mean one over an interval of length 0."""
    return model.net(t, x, label, torch.zeros_like(t))


def moved(model: "FlowMap", t: Tensor, end: Tensor, x: Tensor, label: Tensor | None) -> Tensor:
    """Return the states that the network predicts at a later time from the states at time t."""
    return x + expand(end - t, x) * model.net(t, x, label, end - t)


def mean_square(error: Float[Tensor, "b *event"]) -> Float[Tensor, " b"]:
    """Return the mean over the dimensions of each sample."""
    return error.square().flatten(1).mean(1)


Loss = TypeVar("Loss", bound=MapLoss)

COUPLING = Nested(couplings, lambda event: "independent")

CouplingSetting = Annotated[
    dict[str, Any] | str | None,
    COUPLING,
    "how noise is paired with data: a coupling's name, or a table of its name and settings; by default independent",
]


class FlowMap(PairModel):
    """A model of the mean velocity u(x_t, t, r) = (X_r - x_t) / (r - t) of the flow that takes x_t to X_r.

    Samples take steps x_r = x_t + (r - t) u(x_t, t, r) at equal intervals from t = 0 to t = 1. Sampling solves no
    ODE, so the model has no ODE trajectories and no density. The methods differ by their loss: see `flow_map`.
    """

    steering = (
        *("coupling", "label_dropout", "dequantize"),
        *("ratio", "state", "target", "alpha_min", "anneal_steps", "delta", "boundary", "end_steps"),  # times
        *("share", "decay", "clip"),  # targets that are drawn
    )
    self_targeted = True

    def __init__(
        self,
        event: Event,
        source: Source,
        *,
        net: Net,
        coupling: CouplingSetting,
        loss: MapLoss,
        shared: SharedSettings,
    ) -> None:
        _load_derivatives()
        built = COUPLING.build(coupling, "coupling", event, event, shared.classes(event))
        path, times = Straight(), loss.times
        super().__init__(event, source, net=net, coupling=built, path=path, shared=shared, times=times)
        self.map_loss, self.full_precision = loss, loss.full_precision
        loss.attach(self)

    def draw_times(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.map_loss.draw_times(n, generator)

    def interpolate(self, pairs: Pairs, label: Tensor | None, generator: torch.Generator) -> Example:
        return self.map_loss.completed(self, super().interpolate(pairs, label, generator), generator)

    def example(self, batch_source: Split, step: int, size: int, seed: int, generator: torch.Generator) -> Example:
        return self.map_loss.at_step(super().example(batch_source, step, size, seed, generator), step)

    def loss(self, example: Example) -> dict[str, Tensor]:
        return scalars((example.weight * self.map_loss.error(self, example)).mean(), example)

    def mean_velocity(
        self,
        t: Float[Tensor, ""],
        end: Float[Tensor, ""],
        x: Float[Tensor, "b *event"],
        label: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b *event"]:
        """Return the mean velocity from time t to a later time."""
        return self.map_loss.mean_velocity(self.net, t, end, x, label)

    def jump(
        self,
        t: Float[Tensor, ""],
        end: Float[Tensor, ""],
        x: Float[Tensor, "b *event"],
        label: Int[Tensor, " b"] | None = None,
        guidance: float = 0.0,
    ) -> Float[Tensor, "b *event"]:
        """Return the state at a later time by one evaluation, or two with guidance."""
        u = self.mean_velocity(t, end, x, label)
        if guidance:
            u = u + guidance * (u - self.mean_velocity(t, end, x, None))
        return x + (end - t) * u

    def sample(
        self,
        x0: Float[Tensor, "b *event"],
        *,
        label: Int[Tensor, " b"] | None = None,
        method: Literal["euler"] = "euler",
        steps: Size = 0,
        guidance: NonNegative = 0.0,
    ) -> Samples:
        """Take a few steps from the noise.

        Args:
            method: steps are Euler steps of the mean velocity.
            steps: number of equal steps; 0 takes the fewest that the model knows.
            guidance: w of u_c + w (u_c - u_u), for conditional models; doubles the evaluations.
        """
        labeled = {"conditional": self.conditional and label is not None}
        self.check({"steps": steps, "guidance": guidance}, self._limits | labeled)
        x, steps = x0, steps or self.map_loss.fewest
        for t, end in pairwise(torch.linspace(0, 1, steps + 1, device=x0.device)):
            x = self.jump(t, end, x, label, guidance)
        return Samples(x, steps * (2 if guidance else 1))

    def at_budget(self, options: Mapping[str, Any], method: str, nfe: int) -> dict[str, Any]:
        cost = 2 if options.get("guidance") else 1
        if method != "euler":
            raise Unsupported(f"it takes Euler steps of its mean velocity, not {method}")
        if nfe % cost:
            raise Unsupported(f"guidance takes {cost} evaluations per step, which do not divide {nfe}")
        found = {**options, "method": method, "steps": nfe // cost}
        try:
            self.check(found, self._limits)
        except ConfigError as reason:
            raise Unsupported(str(reason)) from reason
        return found

    @property
    def _limits(self) -> dict[str, Any]:
        return {**self.map_loss.limits, "conditional": self.conditional}

    @classmethod
    def check(cls, options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        steps, finest, segments = options.get("steps", 0), settings.get("finest"), settings.get("segments")
        if finest and (steps & (steps - 1) or steps > finest):
            raise ConfigError(f"sample.steps={steps}: shortcut takes a power of two up to model.finest={finest}")
        if segments and steps % segments:
            raise ConfigError(f"sample.steps={steps}: consistency takes a multiple of model.segments={segments}")
        super().check(options, settings)


def flow_map(name: str, *, version: int) -> Callable[[type[Loss]], type[Loss]]:
    """Return a decorator that registers the flow map of a loss, whose keyword-only arguments are settings of the model.

    The documentation of the loss is the documentation of the model.
    """

    def register(kind: type[Loss]) -> type[Loss]:
        def build(
            event: Event,
            source: Source,
            *,
            net: Net = None,
            coupling: CouplingSetting = None,
            shared: SharedSettings = DEFAULTS,
            **settings: Any,
        ) -> FlowMap:
            return FlowMap(event, source, net=net, coupling=coupling, loss=kind(**settings), shared=shared)

        models.register(name, version=version)(with_settings_of(kind, build))
        return kind

    return register
