"""alpha-Flow: a pair's own velocity for a part of the interval, and the network's mean velocity for the rest."""

from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor

from genbench.models.flow_matching.flow_map import FlowMap, flow_map
from genbench.models.flow_matching.map_losses.base import Ratio, SelfDistillation, mean_square
from genbench.models.flow_matching.pair_model import Example, expand
from genbench.settings import Size


@flow_map("alphaflow", version=1)
class AlphaFlowLoss(SelfDistillation):
    """Generation in any number of steps by alpha-Flow, between flow matching and MeanFlow, on pairs of any coupling.

    The target follows the pair's velocity v = x1 - x0 for a fraction alpha of the interval, to m = t + alpha (r - t),
    and the map from there to r:

    loss = |u(x_t, t, r) - sg(alpha v + (1 - alpha) u(x_t + (m - t) v, m, r))|^2 / alpha

    alpha = 1 regresses on the pair's velocity; the limit 0 is MeanFlow. At r = t this is flow matching. Zhang et al.,
    2025, "AlphaFlow: understanding and improving MeanFlow models", https://arxiv.org/abs/2510.20771. genbench lowers
    alpha linearly.

    Args:
        alpha_min: alpha at the end of training.
        anneal_steps: number of first training steps in which alpha falls from 1 to `alpha_min`.
    """

    def __init__(
        self,
        *,
        ratio: Ratio = 0.75,
        alpha_min: Annotated[float, Gt(0), Le(1)] = 0.05,
        anneal_steps: Size = 1000,
    ) -> None:
        super().__init__(ratio=ratio)
        self.alpha, self.anneal_steps = alpha_min, anneal_steps

    def completed(self, model: FlowMap, example: Example, generator: torch.Generator) -> Example:
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

    def error(self, model: FlowMap, example: Example) -> Tensor:
        t, end, middle, x, label = example.t, example.end, example.middle, example.x, example.label
        assert end is not None and middle is not None  # noqa: PT018
        length = (end - t).clamp(min=torch.finfo(t.dtype).tiny)
        alpha = torch.where(end > t, (middle - t) / length, 1.0)
        with torch.no_grad():
            rest = model.net(middle, x + expand(middle - t, x) * example.velocity, label, end - middle)
            share = expand(alpha, x)
            target = share * example.velocity + (1 - share) * rest
        return mean_square(model.net(t, x, label, end - t) - target) / alpha
