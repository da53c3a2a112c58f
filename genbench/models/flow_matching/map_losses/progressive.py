"""Progressive self-distillation: one jump lands where two jumps over the same interval do."""

import torch
from torch import Tensor

from genbench.models.flow_matching.flow_map import FlowMap, flow_map
from genbench.models.flow_matching.map_losses.base import SelfDistillation, mean_square
from genbench.models.flow_matching.pair_model import Example, expand


@flow_map("progressive", version=1)
class ProgressiveLoss(SelfDistillation):
    """Generation in any number of steps by progressive self-distillation (PSD), on pairs of any coupling.

    One jump from t to r agrees with two jumps, from t to m and from m to r, where m is uniform in [t, r]:

    loss = |u(x_t, t, r) - sg(g u(x_t, t, m) + (1 - g) u(X_m, m, r))|^2,   g = (m - t) / (r - t)

    At r = t this is flow matching. Boffi et al., 2025, https://arxiv.org/abs/2505.18825.
    """

    def completed(self, model: FlowMap, example: Example, generator: torch.Generator) -> Example:
        """Draw a time within each interval, uniformly."""
        assert example.end is not None
        share = torch.rand(len(example.t), generator=generator, device=generator.device)
        return example._replace(middle=example.t + share * (example.end - example.t))

    def error(self, model: FlowMap, example: Example) -> Tensor:
        t, end, middle, x, label = example.t, example.end, example.middle, example.x, example.label
        assert end is not None and middle is not None  # noqa: PT018
        with torch.no_grad():
            first = model.net(t, x, label, middle - t)
            second = model.net(middle, x + expand(middle - t, x) * first, label, end - middle)
            share = expand((middle - t) / (end - t).clamp(min=torch.finfo(t.dtype).tiny), x)
            target = torch.where(expand(end > t, x), share * first + (1 - share) * second, example.velocity)
        return mean_square(model.net(t, x, label, end - t) - target)
