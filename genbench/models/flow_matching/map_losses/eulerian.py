"""Eulerian self-distillation: the end of a jump stays where it is while its start moves along the flow."""

import torch
from torch import Tensor

from genbench.models.flow_matching.flow_map import FlowMap, flow_map
from genbench.models.flow_matching.map_losses.base import SelfDistillation, derivative, mean_square, moved, velocity_of
from genbench.models.flow_matching.pair_model import Example, expand


@flow_map("eulerian", version=1)
class EulerianLoss(SelfDistillation):
    """Generation in any number of steps by Eulerian self-distillation (ESD), on pairs of any coupling.

    The end X_r(x_t, t) of a jump does not change while its start moves along the flow, v = sg u(x_t, t, t):

    loss = |dX_r/dt + v grad_x X_r|^2;  at r = t this is flow matching, |u(x_t, t, t) - (x1 - x0)|^2

    Boffi et al., 2025, https://arxiv.org/abs/2505.18825. Gradients pass through the derivative. MeanFlow
    uses the velocity of pairs for v and stops these gradients.
    """

    def error(self, model: FlowMap, example: Example) -> Tensor:
        t, end, x, label = example.t, example.end, example.x, example.label
        assert end is not None
        with torch.no_grad():
            tangent = torch.where(expand(end > t, x), velocity_of(model, t, x, label), example.velocity)
        start = lambda t, x: moved(model, t, end, x, label)  # noqa: E731
        _, change = derivative(start, (t, x), (torch.ones_like(t), tangent))
        return mean_square(change)  # on an interval of length 0: the pair's velocity minus the network's
