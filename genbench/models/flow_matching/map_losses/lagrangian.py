"""Lagrangian self-distillation: the speed at which a jump's end moves is the velocity there."""

import torch
from torch import Tensor

from genbench.models.flow_matching.flow_map import FlowMap, flow_map
from genbench.models.flow_matching.map_losses.averaged_weights import AveragedWeights
from genbench.models.flow_matching.map_losses.base import (
    Ratio,
    SelfDistillation,
    derivative,
    mean_square,
    moved,
    velocity_of,
)
from genbench.models.flow_matching.pair_model import Example, expand
from genbench.settings import Fraction


@flow_map("lagrangian", version=1)
class LagrangianLoss(SelfDistillation):
    """Generation in any number of steps by Lagrangian self-distillation (LSD), on pairs of any coupling.

    As r grows, the end X_r = x_t + (r - t) u(x_t, t, r) of a jump moves with the velocity at X_r:

    loss = |dX_r/dr - sg u(X_r, r, r)|^2;  at r = t this is flow matching, |u(x_t, t, t) - (x1 - x0)|^2

    Boffi et al., 2025, "How to build a consistency model", https://arxiv.org/abs/2505.18825.
    """

    def error(self, model: FlowMap, example: Example) -> Tensor:
        t, end, x, label = example.t, example.end, example.x, example.label
        assert end is not None
        there, speed = derivative(lambda end: moved(model, t, end, x, label), (end,), (torch.ones_like(t),))
        return mean_square(speed - self.target(model, example, there.detach()))

    def target(self, model: FlowMap, example: Example, there: Tensor) -> Tensor:
        """Return the velocity at the ends of jumps, and the pair's velocity where there is no interval."""
        assert example.end is not None
        with torch.no_grad():
            own = velocity_of(model, example.end, there, example.label)
        return torch.where(expand(example.end > example.t, there), own, example.velocity)


@flow_map("tvm", version=1)
class TerminalVelocityLoss(LagrangianLoss):
    """Generation in any number of steps by terminal velocity matching (TVM), on pairs of any coupling.

    The loss is the one of `lagrangian`, but averaged weights compute the velocity at the end of a jump.
    "Terminal velocity matching", 2025, https://arxiv.org/abs/2511.19797; genbench omits the paper's architecture.

    Args:
        decay: decay of the averaged weights.
    """

    average: AveragedWeights

    def __init__(self, *, ratio: Ratio = 0.25, decay: Fraction = 0.99) -> None:
        super().__init__(ratio=ratio)
        self.decay = decay

    def attach(self, model: FlowMap) -> None:
        self.average = AveragedWeights(model.net, self.decay)
        model.draws = "step"  # targets depend on the weights

    @torch.no_grad()
    def completed(self, model: FlowMap, example: Example, generator: torch.Generator) -> Example:
        """Replace the velocities of pairs that learn an interval by the velocities at the ends of their jumps."""
        if model.training:  # the loss on validation data draws examples too
            self.average.update(model.net)
        t, end, x, label = example.t, example.end, example.x, example.label
        assert end is not None
        there = moved(model, t, end, x, label)
        own = self.average(model.net, end, there, label, torch.zeros_like(end))
        return example._replace(velocity=torch.where(expand(end > t, x), own, example.velocity))

    def target(self, model: FlowMap, example: Example, there: Tensor) -> Tensor:
        return example.velocity
