"""Networks on samples with conditions: they read the conditions, and do not move them."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class KeepsConditions(nn.Module):
    """A network whose output is 0 in the conditions, the last coordinates or channels of its input.

    Args:
        net: the network, of all coordinates.
        count: number of conditions.
    """

    def __init__(self, net: nn.Module, count: int) -> None:
        super().__init__()
        self.net, self.count = net, count

    def forward(self, t: Tensor, x: Float[Tensor, "b *event"], *others: Any) -> Float[Tensor, "b *event"]:
        """Return the output of the network, and 0 for the conditions."""
        v = self.net(t, x, *others)
        return torch.cat([v[:, : -self.count], torch.zeros_like(v[:, -self.count :])], 1)
