"""The MeanFlow identity: mean velocities from one derivative along the flow."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from genbench.core import Event
from genbench.models.flow_matching.map_losses.base import LogitNormal, MapLoss, derivative, ordered_times, velocity_of
from genbench.models.flow_matching.pair_model import Example, expand

if TYPE_CHECKING:
    from genbench.models.flow_matching.flow_map import FlowMap


def default_power(event: Event) -> float:
    """Return 0.75 for images, as published for CIFAR-10, and 0 for vectors, where a power above 0 biases results."""
    return 0.75 if event.is_image else 0.0


class MeanFlowLoss(MapLoss):
    """The loss of `meanflow`; `genbench.models.flow_matching.maps` has its formula and settings."""

    def __init__(
        self,
        *,
        ratio: float,
        state: LogitNormal | None,
        target: LogitNormal | None,
        power: float,
        offset: float,
        improved: bool,
        guidance: float,
        mix: float,
    ) -> None:
        super().__init__()
        self.ratio, self.state, self.target = ratio, state, target
        self.power, self.offset, self.improved = power, offset, improved
        self.guidance, self.mix = guidance, mix

    def draw_times(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw two times in order, and let the second equal the first for a share of them."""
        return ordered_times(n, self.ratio, self.state, self.target, generator)

    def error(self, model: "FlowMap", example: Example) -> Float[Tensor, " b"]:
        assert example.end is not None
        t, x, velocity = example.t, example.x, self.guided(model, example)
        label, interval = example.label, example.end - t

        def mean_velocity(t: Tensor, x: Tensor, interval: Tensor) -> Tensor:
            return model.net(t, x, label, interval)

        with sdpa_kernel(SDPBackend.MATH):
            tangent = velocity_of(model, t, x, label) if self.improved else velocity
        ones = torch.ones_like(t)
        u, change = derivative(mean_velocity, (t, x, interval), (ones, tangent.detach(), -ones))
        errors = [u - (velocity + expand(interval, x) * change).detach()]
        errors += [tangent - velocity] if self.improved else []
        squares = [error.square().flatten(1).sum(1) for error in errors]
        return sum(square * (square.detach() + self.offset) ** -self.power for square in squares)  # type: ignore[return-value]

    @torch.no_grad()
    def guided(self, model: "FlowMap", example: Example) -> Float[Tensor, "b *event"]:
        """Return the velocity of each pair, guided by the network's own velocities where its label was kept."""
        t, x, velocity, label = example.t, example.x, example.velocity, example.label
        a, k = self.guidance, self.mix
        if label is None or (a, k) == (1.0, 0.0):
            return velocity
        with_label, without = velocity_of(model, t, x, label), velocity_of(model, t, x, None)
        kept = expand(label != model.event.classes, x)
        return torch.where(kept, a * velocity + (1 - a - k) * without + k * with_label, velocity)
