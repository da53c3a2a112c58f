"""Shortcut models: a step of any size is learned from two steps of half the size."""

import math
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.func import functional_call

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.models.flow_matching.flow_map import FlowMap, MapLoss, flow_map, mean_square
from genbench.models.flow_matching.pair_model import Example, expand
from genbench.settings import ByEvent, Count, Fraction, NonNegative, Positive


class AveragedWeights(nn.Module):
    """An exponential moving average of a network's weights, kept as buffers.

    Args:
        decay: weight of the earlier average, ramped up as (1 + n) / (10 + n), so that short runs do not keep their
            initial weights.
    """

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
    """Return the published bound for images and latents, and none for vectors."""
    return 4.0 if event.is_image else None


@flow_map("shortcut", version=1)
class ShortcutLoss(MapLoss):
    """Generation in 1, 2, 4, ... steps by self-consistent step sizes (shortcut models), on pairs of any coupling.

    Mean velocities u(x, t, t + d) over steps d = 1, 1/2, ..., 1/n:

    d = 1/n:    loss = |u - (x1 - x0)|^2
    d > 1/n:    loss = |u - (a + b) / 2|^2,  a = u(x_t, t, t + d/2),  b = u(x_t + d/2 a, t + d/2, t + d)

    Averaged weights compute a and b when an example is drawn.
    Frans et al., 2024, "One step diffusion via shortcut models", https://arxiv.org/abs/2410.12557.

    Args:
        finest: largest number of steps n, a power of two; steps of size 1/n learn from pairs.
        share: share of the pairs that learn from two half steps instead.
        decay: decay of the averaged weights that take the half steps.
        clip: bound on the elements of states and targets of half steps; by default 4 for images, none for vectors.
        target_guidance: scale w of guidance u_u + w (u_c - u_u) in half steps of the smallest size, where the label
            was not dropped; 1 is unguided.
    """

    full_precision = False
    average: AveragedWeights

    def __init__(
        self,
        *,
        finest: Count = 128,
        share: Fraction = 0.125,
        decay: Fraction = 0.999,
        clip: Annotated[Positive | None, ByEvent(default_clip)] = None,
        target_guidance: NonNegative = 1.0,
    ) -> None:
        if finest & (finest - 1) or finest < 2:
            raise ConfigError(f"model.finest={finest} must be a power of two from 2 on")
        super().__init__()
        self.finest, self.share, self.decay, self.guidance = finest, share, decay, target_guidance
        self.clip, self.bound, self.limits = clip, math.inf, {"finest": finest}

    def attach(self, model: FlowMap) -> None:
        if self.guidance != 1 and not model.conditional:
            raise ConfigError("model.target_guidance needs model.conditional=true")
        self.bound = self.clip or default_clip(model.event) or math.inf
        self.average = AveragedWeights(model.net, self.decay)
        model.draws = "step"  # targets depend on the weights

    def draw_times(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the step's size, the smallest one for most pairs, and a time on the grid of that size."""
        levels = self.finest.bit_length() - 1
        draws = torch.rand(3, n, generator=generator, device=generator.device)
        steps = 2 ** torch.where(draws[0] < self.share, (draws[1] * levels).floor(), levels)
        t = (draws[2] * steps).floor() / steps
        return t, t + 1 / steps

    @torch.no_grad()
    def completed(self, model: FlowMap, example: Example, generator: torch.Generator) -> Example:
        """Replace the velocities over longer steps by the mean velocities of two half steps."""
        if model.training:  # the loss on validation data draws examples too
            self.average.update(model.net)
        assert example.end is not None
        d = example.end - example.t
        rows = (d > 1.5 / self.finest).nonzero()[:, 0]
        t, x, half = example.t[rows], example.x[rows], d[rows] / 2
        label = None if example.label is None else example.label[rows]
        a = self._half_step(model, t, x, label, half)
        x = (x + expand(half, x) * a).clamp(-self.bound, self.bound)
        b = self._half_step(model, t + half, x, label, half)
        velocity = example.velocity.index_copy(0, rows, ((a + b) / 2).clamp(-self.bound, self.bound))
        return example._replace(velocity=velocity)

    def _half_step(self, model: FlowMap, t: Tensor, x: Tensor, label: Tensor | None, d: Tensor) -> Tensor:
        u = self.average(model.net, t, x, label, step_input(d))
        if label is None or self.guidance == 1:
            return u
        guided = (label != model.event.classes) & (d < 1.5 / self.finest)
        null = self.average(model.net, t, x, None, step_input(d))
        return torch.where(expand(guided, x), null + self.guidance * (u - null), u)

    def mean_velocity(self, net: nn.Module, t: Tensor, end: Tensor, x: Tensor, label: Tensor | None) -> Tensor:
        return net(t, x, label, step_input(end - t))

    def error(self, model: FlowMap, example: Example) -> Tensor:
        assert example.end is not None
        u = self.mean_velocity(model.net, example.t, example.end, example.x, example.label)
        return mean_square(u - example.velocity)


def step_input(d: Tensor) -> Tensor:
    """Return log2(1/d), by which the network knows the size of a step."""
    return -d.log2().round()
