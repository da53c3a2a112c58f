"""The multilayer perceptron for vectors."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.nets.embedding import Time, add_label, label_embedding
from genbench.registry import nets
from genbench.settings import Count, Layers

ACTIVATIONS = {"selu": nn.SELU, "silu": nn.SiLU, "gelu": nn.GELU, "relu": nn.ReLU, "tanh": nn.Tanh}


@nets.register("mlp")
class MLP(nn.Module):
    """Multilayer perceptron over [x, t] for vectors; defaults are the 2D protocol of Tong et al. (2024).

    The first hidden layer adds a label embedding. The net is a pure function of arguments and parameters, so that
    torch.func can stack and differentiate it.

    Args:
        width: units of each hidden layer.
        depth: number of hidden layers.
        activation: function between layers.

    Raises:
        ConfigError: if samples are not vectors.

    Reference: Tong et al., 2024, "Improving and generalizing flow-based generative models with minibatch optimal
    transport".
    """

    def __init__(
        self,
        event: Event,
        classes: int = 0,
        times: int = 1,
        *,
        width: Count = 64,
        depth: Layers = 3,
        activation: Literal["selu", "silu", "gelu", "relu", "tanh"] = "selu",
    ) -> None:
        if not event.is_vector:
            raise ConfigError(f"mlp needs vectors, not samples of shape {event.shape}; the net for images is 'unet'")
        super().__init__()
        (dims,) = event.shape
        self.first = nn.Linear(dims + times, width)
        self.label = label_embedding(classes, width)  # added here, it equals a one-hot input beside x and t
        layers: list[nn.Module] = [ACTIVATIONS[activation]()]
        for _ in range(depth - 1):
            layers += [nn.Linear(width, width), ACTIVATIONS[activation]()]
        self.rest = nn.Sequential(*layers, nn.Linear(width, dims))

    def forward(
        self,
        t: Time,
        x: Float[Tensor, "b d"],
        label: Int[Tensor, " b"] | None = None,
        interval: Time | None = None,
    ) -> Float[Tensor, "b d"]:
        """Return one vector per sample; None stands for no label."""
        times = [time.reshape(-1, 1).expand(len(x), 1) for time in (t, interval) if time is not None]
        return self.rest(add_label(self.first(torch.cat([x, *times], 1)), self.label, label))
