"""Consistency flow matching: every point of a segment of the flow predicts the segment's end."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from genbench.errors import ConfigError
from genbench.models.flow_matching.flow_map import FlowMap, MapLoss, derivative, flow_map, mean_square
from genbench.models.flow_matching.pair_model import Example, expand
from genbench.settings import Count, Fraction, NonNegative, Positive, Size


@flow_map("consistency", version=1)
class ConsistencyLoss(MapLoss):
    """Generation in one step per segment of the flow (consistency flow matching), on pairs of any coupling.

    Every point of a segment predicts its end T:

    f(t, x) = x + (T - t) v(t, x)
    loss = |f(t, x_t) - sg f(t + delta, x_t+delta)|^2 + alpha |v(t, x_t) - sg v(t + delta, x_t+delta)|^2

    In the first `end_steps` steps of training, and later for t >= `boundary`, the pair's own point at T replaces
    f(t + delta). Yang et al., 2024, "Consistency flow matching: defining straight flows with velocity consistency",
    https://arxiv.org/abs/2407.02398.

    With `tangent` the times are continuous, as in sCM. The derivative D along the pair's path replaces the difference:

    g = df/dt = (x1 - x0) - v + r (T - t) D v
    loss = |v - sg(v + g / (|g| + c))|^2,   c = `tangent`

    r grows from 0 to 1 in the first `end_steps` steps, and is 0 for t >= `boundary`. Lu and Song, 2024, "Simplifying,
    stabilizing and scaling continuous-time consistency models", https://arxiv.org/abs/2410.11081. genbench keeps its
    straight paths and uniform times, and learns no weight of the loss over time. |g| is the Euclidean norm over all
    dimensions; other code divides it by the square root of their number, so that the same c has more effect there. Like
    every adaptive weight, the normalization moves the minimizer where the noise of g is skewed.

    Args:
        segments: number of equal parts of [0, 1]; the number of sampling steps must be a multiple of it.
        delta: distance between the two times whose predictions are matched; must be below the length of a segment.
        alpha: weight of the agreement of velocities.
        boundary: time t from which the pair's own point at T is the target.
        end_steps: number of first training steps in which that point is the target at all t; the authors use 100,000.
        tangent: c of normalized tangents in continuous time, 0.1 in sCM, with `segments` 1, `boundary` 1 and
            `end_steps` 10,000; `delta` and `alpha` then have no effect. None takes differences over `delta`.
    """

    times = 1
    dropout = False

    def __init__(
        self,
        *,
        segments: Count = 2,
        delta: Positive = 1e-3,
        alpha: NonNegative = 1e-5,
        boundary: Fraction = 0.9,
        end_steps: Size = 1000,
        tangent: Positive | None = None,
    ) -> None:
        if tangent is None and delta * segments >= 1:
            raise ConfigError(f"model.delta={delta:g} must be below the length of a segment, 1/{segments}")
        super().__init__()
        self.segments, self.alpha, self.tangent = segments, alpha, tangent
        self.delta = 0.0 if tangent else delta
        self.boundary, self.end_steps = boundary, end_steps
        self.limits, self.fewest = {"segments": segments}, segments

    def attach(self, model: FlowMap) -> None:
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

    def error(self, model: FlowMap, example: Example) -> Tensor:
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
