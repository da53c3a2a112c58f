"""An average of a network's weights that is part of a loss."""

import torch
from torch import Tensor, nn
from torch.func import functional_call


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
