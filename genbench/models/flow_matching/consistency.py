"""Consistency flow matching: every point of a segment of the flow predicts the segment's end."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from genbench.core import Event, Source, Split
from genbench.errors import ConfigError
from genbench.models.flow_matching.few_step import CouplingSetting, FewStep
from genbench.models.flow_matching.pair_model import DEFAULTS, Example, SharedSettings, expand, scalars
from genbench.nets.presets import Net
from genbench.registry import models
from genbench.settings import Count, Fraction, NonNegative, Positive, Size


@models.register("consistency", version=1)
class Consistency(FewStep):
    """Generation in one step per segment of the flow (consistency flow matching), on pairs of any coupling.

    Every point of a segment predicts its end T:

    f(t, x) = x + (T - t) v(t, x)
    loss = |f(t, x_t) - sg f(t + delta, x_t+delta)|^2 + alpha |v(t, x_t) - sg v(t + delta, x_t+delta)|^2

    The pair's own end of the segment takes the place of f(t + delta) in the first steps, and later for t from
    `boundary` on. Yang et al., 2024, "Consistency flow matching: defining straight flows with velocity consistency",
    https://arxiv.org/abs/2407.02398. The loss is computed in float32 whatever plan.precision is: it is a difference of
    two predictions that lower precision rounds off.

    Args:
        segments: equal parts of [0, 1]; samples take a multiple of that many steps.
        delta: distance of the two times whose predictions are matched, below the length of a segment.
        alpha: weight of the agreement of velocities.
        boundary: time from which the end of the pair is the target.
        end_steps: first steps of training in which it is the target at all times; 100,000 as published.
    """

    steering = (*FewStep.steering, "delta", "boundary", "end_steps")
    self_targeted = True
    full_precision = True

    def __init__(
        self,
        event: Event,
        source: Source,
        *,
        net: Net = None,
        coupling: CouplingSetting = None,
        segments: Count = 2,
        delta: Positive = 1e-3,
        alpha: NonNegative = 1e-5,
        boundary: Fraction = 0.9,
        end_steps: Size = 1000,
        shared: SharedSettings = DEFAULTS,
    ) -> None:
        if delta * segments >= 1:
            raise ConfigError(f"model.delta={delta:g} must be below the length of a segment, 1/{segments}")
        super().__init__(event, source, net=net, coupling=coupling, shared=shared)
        self.segments, self.delta, self.alpha = segments, delta, alpha
        self.boundary, self.end_steps = boundary, end_steps
        self.limits, self.fewest = {"segments": segments}, segments
        self.dropout = any(isinstance(part, _DropoutNd) and part.p > 0 for part in self.net.modules())
        if self.dropout:
            self.not_compiled = "consistency cannot draw a dropout mask twice when compiled; set model.net.dropout=0"

    def example(self, batch_source: Split, step: int, size: int, seed: int, generator: torch.Generator) -> Example:
        example = super().example(batch_source, step, size, seed, generator)
        return example._replace(end=self.segment_end(example.t)) if step < self.end_steps else example

    def draw_times(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw a time, and the later one whose prediction is the target; the end of the segment for the pair's own."""
        t, _ = super().draw_times(n, generator)
        end = self.segment_end(t)
        return t, torch.where(t >= self.boundary, end, torch.minimum(t + self.delta, end))

    def segment_end(self, t: Tensor) -> Tensor:
        """Return the end of the segment that begins at or before t."""
        return ((t * self.segments).floor() + 1).clamp(max=self.segments) / self.segments

    def loss(self, example: Example) -> dict[str, Tensor]:
        t, x, later, label = example.t, example.x, example.end, example.label
        assert later is not None
        end, x_later = self.segment_end(t), x + expand(later - t, x) * example.velocity
        # Both predictions use the same dropout mask: the second starts from the random state before the first.
        devices = [x.device] if x.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices) if self.dropout else nullcontext():
            v_later = self.net(later, x_later, label)
        v = self.net(t, x, label)
        ends = x + expand(end - t, x) * v - (x_later + expand(end - later, x) * v_later)
        agreement = torch.where(expand(later < end, x), v - v_later, 0.0)
        error = (ends.square() + self.alpha * agreement.square()).flatten(1).mean(1)
        return scalars((example.weight * error).mean(), example)

    def mean_velocity(self, t: Tensor, end: Tensor, x: Tensor, label: Int[Tensor, " b"] | None = None) -> Tensor:
        return self.net(t, x, label)

    @classmethod
    def check(cls, options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        steps, segments = options["steps"], settings["segments"]
        if steps % segments:
            raise ConfigError(f"sample.steps={steps}: consistency takes a multiple of model.segments={segments}")
        super().check(options, settings)
