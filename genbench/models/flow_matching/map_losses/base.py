"""A loss of flow maps as a value: the times that it draws, and the error of a pair."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Gt
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from genbench.errors import ConfigError, first_line
from genbench.models.flow_matching.pair_model import Example, expand
from genbench.settings import Fraction

if TYPE_CHECKING:
    from genbench.models.flow_matching.flow_map import FlowMap

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


class SelfDistillation(MapLoss):
    """A loss without a teacher: the model learns u on longer intervals from its own u on intervals of length 0.

    Args:
        ratio: share of pairs that learn an interval; the others train the velocity itself.
    """

    def __init__(self, *, ratio: Ratio = 0.25) -> None:
        super().__init__()
        self.ratio = ratio

    def draw_times(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw two ordered times, which are equal for a share 1 - `ratio` of the pairs."""
        return ordered_times(n, self.ratio, None, None, generator)


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
