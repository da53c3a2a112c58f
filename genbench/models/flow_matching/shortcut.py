"""Shortcut models: steps of every size, each size learned from two steps of half of it."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from genbench.core import Event, Source
from genbench.errors import ConfigError
from genbench.models.flow_matching.couplings.base import Pairs
from genbench.models.flow_matching.few_step import CouplingSetting, FewStep
from genbench.models.flow_matching.pair_model import DEFAULTS, Example, SharedSettings, expand, scalars
from genbench.nets.presets import Net
from genbench.registry import models
from genbench.settings import ByEvent, Count, Fraction, NonNegative, Positive


class AveragedWeights(nn.Module):
    """An exponential moving average of a network's weights, as buffers, its decay ramped as (1 + n) / (10 + n)."""

    count: Tensor

    def __init__(self, net: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.names = [name for name, _ in net.named_parameters()]
        for i, parameter in enumerate(net.parameters()):
            self.register_buffer(f"mean{i}", parameter.detach().clone())
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def update(self, net: nn.Module) -> None:
        """Move toward the network's weights."""
        moved = torch.clamp(9 / (10.0 + self.count), min=1 - self.decay)
        for mean, parameter in zip(self.means, net.parameters(), strict=True):
            mean.lerp_(parameter.detach(), moved)
        self.count += 1

    @property
    def means(self) -> list[Tensor]:
        """The averages, in the order of the network's parameters."""
        return [self.get_buffer(f"mean{i}") for i in range(len(self.names))]

    def forward(self, net: nn.Module, *inputs: Tensor | None) -> Tensor:
        """Return what the network gives with these weights, without dropout."""
        training = net.training
        try:
            return functional_call(net.eval(), dict(zip(self.names, self.means, strict=True)), inputs)
        finally:
            net.train(training)


def default_clip(event: Event) -> float | None:
    """Return the published bound on images and latents, and none on vectors."""
    return 4.0 if event.is_image else None


@models.register("shortcut", version=1)
class Shortcut(FewStep):
    """Generation in 1, 2, 4, ... steps by self-consistent step sizes (shortcut models), on pairs of any coupling.

    Mean velocities u(x, t, t + d) over steps d = 1, 1/2, ..., 1/n:

    d = 1/n:    loss = |u - (x1 - x0)|^2
    d > 1/n:    loss = |u - (a + b) / 2|^2,  a = u(x_t, t, t + d/2),  b = u(x_t + d/2 a, t + d/2, t + d)

    Averaged weights give a and b, which are part of the drawn example: its velocity is the target.
    Frans et al., 2024, "One step diffusion via shortcut models", https://arxiv.org/abs/2410.12557.

    Args:
        finest: largest number of steps n, a power of two; one step of that size learns from pairs.
        share: share of the pairs that learn from two half steps instead.
        decay: decay of the averaged weights that take the half steps.
        clip: bound of the elements of states and targets of half steps; by default 4 for images, none for vectors.
        target_guidance: scale w of guidance u_u + w (u_c - u_u) in half steps of the smallest size, where the label
            was kept; 1 is unguided.
    """

    steering = (*FewStep.steering, "share", "decay", "clip", "target_guidance")
    self_targeted = True

    def __init__(
        self,
        event: Event,
        source: Source,
        *,
        net: Net = None,
        coupling: CouplingSetting = None,
        finest: Count = 128,
        share: Fraction = 0.125,
        decay: Fraction = 0.999,
        clip: Annotated[Positive | None, ByEvent(default_clip)] = None,
        target_guidance: NonNegative = 1.0,
        shared: SharedSettings = DEFAULTS,
    ) -> None:
        if finest & (finest - 1) or finest < 2:
            raise ConfigError(f"model.finest={finest} must be a power of two from 2 on")
        if target_guidance != 1 and not shared.conditional:
            raise ConfigError("model.target_guidance needs model.conditional=true")
        super().__init__(event, source, net=net, coupling=coupling, shared=shared, times=2)
        self.finest, self.share, self.guidance = finest, share, target_guidance
        self.bound, self.limits = clip or default_clip(event) or math.inf, {"finest": finest}
        self.average = AveragedWeights(self.net, decay)
        self.prefetch = False  # targets depend on the weights

    def draw_times(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the step's size, the smallest one for most pairs, and a time on the grid of that size."""
        levels = self.finest.bit_length() - 1
        draws = torch.rand(3, n, generator=generator, device=generator.device)
        steps = 2 ** torch.where(draws[0] < self.share, (draws[1] * levels).floor(), levels)
        t = (draws[2] * steps).floor() / steps
        return t, t + 1 / steps

    @torch.no_grad()
    def interpolate(self, pairs: Pairs, label: Tensor | None, generator: torch.Generator) -> Example:
        """Draw times, and replace the velocities over longer steps by the mean of two half steps."""
        if self.training:  # the loss on validation data draws examples too
            self.average.update(self.net)
        example = super().interpolate(pairs, label, generator)
        assert example.end is not None
        d = example.end - example.t
        rows = (d > 1.5 / self.finest).nonzero()[:, 0]
        t, x, half = example.t[rows], example.x[rows], d[rows] / 2
        condition = None if example.label is None else example.label[rows]
        a = self._half_step(t, x, condition, half)
        b = self._half_step(t + half, (x + expand(half, x) * a).clamp(-self.bound, self.bound), condition, half)
        velocity = example.velocity.index_copy(0, rows, ((a + b) / 2).clamp(-self.bound, self.bound))
        return example._replace(velocity=velocity)

    def _half_step(self, t: Tensor, x: Tensor, label: Tensor | None, d: Tensor) -> Tensor:
        u = self.average(self.net, t, x, label, step_input(d))
        if label is None or self.guidance == 1:
            return u
        guided = (label != self.event.classes) & (d < 1.5 / self.finest)
        null = self.average(self.net, t, x, None, step_input(d))
        return torch.where(expand(guided, x), null + self.guidance * (u - null), u)

    def loss(self, example: Example) -> dict[str, Tensor]:
        assert example.end is not None
        u = self.net(example.t, example.x, example.label, step_input(example.end - example.t))
        return scalars((example.weight * (u - example.velocity).square().flatten(1).mean(1)).mean(), example)

    def mean_velocity(self, t: Tensor, end: Tensor, x: Tensor, label: Int[Tensor, " b"] | None = None) -> Tensor:
        return self.net(t, x, label, step_input(end - t))

    @classmethod
    def check(cls, options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        steps, finest = options["steps"], settings["finest"]
        if steps & (steps - 1) or steps > finest:
            raise ConfigError(f"sample.steps={steps}: shortcut takes a power of two up to model.finest={finest}")
        super().check(options, settings)


def step_input(d: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Return log2(1/d), by which the network knows the size of a step."""
    return -d.log2().round()
