"""Lagrangian self-distillation: the speed at which a jump's end moves is the velocity there."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genbench.models.flow_matching.map_losses.averaged_weights import AveragedWeights
from genbench.models.flow_matching.map_losses.base import (
    SelfDistillation,
    derivative,
    mean_square,
    moved,
    velocity_of,
)
from genbench.models.flow_matching.pair_model import Example, expand

if TYPE_CHECKING:
    from genbench.models.flow_matching.flow_map import FlowMap


class LagrangianLoss(SelfDistillation):
    """The loss of `lagrangian`; `genbench.models.flow_matching.maps` has its formula and settings."""

    def error(self, model: "FlowMap", example: Example) -> Tensor:
        t, end, x, label = example.t, example.end, example.x, example.label
        assert end is not None
        there, speed = derivative(lambda end: moved(model, t, end, x, label), (end,), (torch.ones_like(t),))
        return mean_square(speed - self.target(model, example, there.detach()))

    def target(self, model: "FlowMap", example: Example, there: Tensor) -> Tensor:
        """Return the velocity at the ends of jumps, and the pair's velocity where there is no interval."""
        assert example.end is not None
        with torch.no_grad():
            own = velocity_of(model, example.end, there, example.label)
        return torch.where(expand(example.end > example.t, there), own, example.velocity)


class TerminalVelocityLoss(LagrangianLoss):
    """The loss of `tvm`: averaged weights compute the velocity at the end, which is part of the drawn example."""

    average: AveragedWeights

    def __init__(self, ratio: float, decay: float) -> None:
        super().__init__(ratio)
        self.decay = decay

    def attach(self, model: "FlowMap") -> None:
        self.average = AveragedWeights(model.net, self.decay)
        model.prefetch = False  # targets depend on the weights

    @torch.no_grad()
    def completed(self, model: "FlowMap", example: Example, generator: torch.Generator) -> Example:
        """Replace the velocities of pairs that learn an interval by the velocities at the ends of their jumps."""
        if model.training:  # the loss on validation data draws examples too
            self.average.update(model.net)
        t, end, x, label = example.t, example.end, example.x, example.label
        assert end is not None
        there = moved(model, t, end, x, label)
        own = self.average(model.net, end, there, label, torch.zeros_like(end))
        return example._replace(velocity=torch.where(expand(end > t, x), own, example.velocity))

    def target(self, model: "FlowMap", example: Example, there: Tensor) -> Tensor:
        return example.velocity
