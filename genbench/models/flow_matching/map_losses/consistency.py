"""Consistency flow matching: every point of a segment of the flow predicts the segment's end."""

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from genbench.models.flow_matching.map_losses.base import MapLoss, derivative, mean_square
from genbench.models.flow_matching.pair_model import Example, expand

if TYPE_CHECKING:
    from genbench.models.flow_matching.flow_map import FlowMap


class ConsistencyLoss(MapLoss):
    """The loss of `consistency`; `genbench.models.flow_matching.maps` has its formula and settings."""

    times = 1
    dropout = False

    def __init__(
        self, *, segments: int, delta: float, alpha: float, boundary: float, end_steps: int, tangent: float | None
    ) -> None:
        super().__init__()
        self.segments, self.alpha, self.tangent = segments, alpha, tangent
        self.delta = 0.0 if tangent else delta
        self.boundary, self.end_steps = boundary, end_steps
        self.limits, self.fewest = {"segments": segments}, segments

    def attach(self, model: "FlowMap") -> None:
        masks = any(isinstance(part, _DropoutNd) and part.p > 0 for part in model.net.modules())
        self.dropout = masks and not self.tangent
        if self.dropout:
            model.not_compiled = "consistency cannot draw a dropout mask twice when compiled; set model.net.dropout=0"

    def draw_times(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw a time and the later time of the target; at the end of a segment, the target is the pair's own point."""
        t = torch.rand(n, generator=generator, device=generator.device)
        end = self.segment_end(t)
        return t, torch.where(t >= self.boundary, end, torch.minimum(t + self.delta, end))

    def at_step(self, example: Example, step: int) -> Example:
        """In the first steps, use the pair's own point at the segment's end as target; with `tangent`, fade it out."""
        assert example.end is not None
        if step >= self.end_steps:
            return example
        last = self.segment_end(example.t)
        return example._replace(end=torch.lerp(last, example.end, step / self.end_steps) if self.tangent else last)

    def segment_end(self, t: Tensor) -> Tensor:
        """Return the end of the segment that begins at or before t."""
        return ((t * self.segments).floor() + 1).clamp(max=self.segments) / self.segments

    def mean_velocity(self, net: nn.Module, t: Tensor, end: Tensor, x: Tensor, label: Tensor | None) -> Tensor:
        """Return the mean velocity to the end of the segment, whatever `end` is."""
        return net(t, x, label)

    def error(self, model: "FlowMap", example: Example) -> Tensor:
        t, x, later, label = example.t, example.x, example.end, example.label
        assert later is not None
        end = self.segment_end(t)
        if self.tangent:
            v, change = derivative(lambda t, x: model.net(t, x, label), (t, x), (torch.ones_like(t), example.velocity))
            g = (example.velocity - v + expand(end - later, x) * change).detach()
            size = expand(torch.linalg.vector_norm(g.flatten(1), dim=1), x)
            return mean_square(v - (v.detach() + g / (size + self.tangent)))
        x_later = x + expand(later - t, x) * example.velocity
        # Both predictions use the same dropout mask: the second starts from the random state before the first.
        devices = [x.device] if x.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices) if self.dropout else nullcontext():
            v_later = model.net(later, x_later, label)
        v = model.net(t, x, label)
        ends = x + expand(end - t, x) * v - (x_later + expand(end - later, x) * v_later)
        agreement = torch.where(expand(later < end, x), v - v_later, 0.0)
        return (ends.square() + self.alpha * agreement.square()).flatten(1).mean(1)
