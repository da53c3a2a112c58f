"""What a network predicts: the velocity itself, the data, or the residual of EDM's preconditioning."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genbench.nets.embedding import Time

Prediction = Literal["velocity", "data", "edm"]

CLOSEST = 0.05
"""Lower bound on the divisor 1 - t of the data prediction."""


class Predicts(nn.Module):
    """Compute the velocity on straight paths x = (1-t) x0 + t x1 from a network that predicts the data or a residual.

    data:  v = (F(t, x) - x) / max(1 - t, 0.05)
    edm:   v = (t s^2 - (1-t)) / S^2 x + s/S F(t, x/S),  S^2 = (1-t)^2 + t^2 s^2

    EDM's denoiser c_skip y + c_out F(c_in y) at noise level (1-t)/t gives the second line: the exact velocity for data
    from N(0, s^2), plus s/S times a residual of unit variance.

    Args:
        net: the network F, which returns samples.
        prediction: "data" or "edm".
        std: standard deviation s of the data.

    With "data", the velocity divides by 1 - t, but by 0.05 at least: after t = 0.95 the network learns x + 0.05 v
    instead of the data.

    References: Karras et al., 2022, "Elucidating the design space of diffusion-based generative models"; Li and He,
    2025, "Back to basics: let denoising generative models denoise".
    """

    def __init__(self, net: nn.Module, prediction: Prediction, std: float) -> None:
        super().__init__()
        self.net, self.prediction, self.std = net, prediction, std

    def forward(self, t: Time, x: Float[Tensor, "b *event"], *others: Any) -> Float[Tensor, "b *event"]:
        time = t.view(-1, *[1] * (x.dim() - 1))
        if self.prediction == "data":
            return (self.net(t, x, *others) - x) / (1 - time).clamp(min=CLOSEST)
        scale = torch.sqrt((1 - time).square() + (time * self.std).square())
        residual = self.net(t, x / scale, *others)
        return (time * self.std**2 - (1 - time)) / scale.square() * x + self.std / scale * residual
