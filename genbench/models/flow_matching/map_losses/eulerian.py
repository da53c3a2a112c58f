"""Eulerian self-distillation: the end of a jump stays where it is while its start moves along the flow."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

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


class EulerianLoss(SelfDistillation):
    """The loss of `eulerian`; `genbench.models.flow_matching.maps` has its formula and settings."""

    def error(self, model: "FlowMap", example: Example) -> Tensor:
        t, end, x, label = example.t, example.end, example.x, example.label
        assert end is not None
        with torch.no_grad():
            tangent = torch.where(expand(end > t, x), velocity_of(model, t, x, label), example.velocity)
        start = lambda t, x: moved(model, t, end, x, label)  # noqa: E731
        _, change = derivative(start, (t, x), (torch.ones_like(t), tangent))
        return mean_square(change)  # on an interval of length 0: the pair's velocity minus the network's
