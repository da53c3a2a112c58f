"""alpha-Flow: a pair's own velocity for a part of the interval, and the network's mean velocity for the rest."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genbench.models.flow_matching.map_losses.base import SelfDistillation, mean_square
from genbench.models.flow_matching.pair_model import Example, expand

if TYPE_CHECKING:
    from genbench.models.flow_matching.flow_map import FlowMap


class AlphaFlowLoss(SelfDistillation):
    """The loss of `alphaflow`; `genbench.models.flow_matching.maps` has its formula and settings."""

    def __init__(self, *, ratio: float, alpha: float, anneal_steps: int) -> None:
        super().__init__(ratio)
        self.alpha, self.anneal_steps = alpha, anneal_steps

    def completed(self, model: "FlowMap", example: Example, generator: torch.Generator) -> Example:
        return self._split(example, self.alpha)

    def at_step(self, example: Example, step: int) -> Example:
        """Lower alpha linearly from 1."""
        done = min(1.0, step / self.anneal_steps) if self.anneal_steps else 1.0
        return self._split(example, 1 + (self.alpha - 1) * done)

    def _split(self, example: Example, alpha: float) -> Example:
        """Set `middle`, the end of the part learned from the pair; use the whole interval if the part is empty."""
        assert example.end is not None
        middle = torch.lerp(example.t, example.end, alpha)
        return example._replace(middle=torch.where(middle > example.t, middle, example.end))

    def error(self, model: "FlowMap", example: Example) -> Tensor:
        t, end, middle, x, label = example.t, example.end, example.middle, example.x, example.label
        assert end is not None and middle is not None  # noqa: PT018
        length = (end - t).clamp(min=torch.finfo(t.dtype).tiny)
        alpha = torch.where(end > t, (middle - t) / length, 1.0)
        with torch.no_grad():
            rest = model.net(middle, x + expand(middle - t, x) * example.velocity, label, end - middle)
            share = expand(alpha, x)
            target = share * example.velocity + (1 - share) * rest
        return mean_square(model.net(t, x, label, end - t) - target) / alpha
