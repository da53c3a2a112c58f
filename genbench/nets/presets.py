"""The default net for each shape of samples, the setting that chooses a net, and what a net predicts."""

import inspect
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.nets.embedding import Time
from genbench.registry import nets
from genbench.settings import Nested, build_component

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


def default(event: Event) -> dict[str, Any]:
    """Return the name and settings of the default net, for vectors or images.

    >>> default(Event((2,)))
    {'name': 'mlp', 'width': 64, 'depth': 3}
    """
    if event.is_vector:
        dims = event.shape[0]
        width = 64 if dims <= 4 else 256 if dims <= 64 else 512
        return {"name": "mlp", "width": width, "depth": 3}
    if not event.is_image:
        raise ConfigError(f"no net for samples of shape {event.shape}; nets need (d,) or (channels, height, width)")
    size = max(event.shape[1:])
    # On small images embedding 30 t instead of t lowers the validation loss a little (digits).
    small = {"name": "unet", "blocks": 1, "dropout": 0.0, "time_scale": 30.0}
    if size <= 16:
        return {**small, "channels": 16, "multipliers": [1, 2], "attention": []}
    if size <= 28:
        return {**small, "channels": 32, "multipliers": [1, 2, 2], "attention": [7]}
    if size <= 32:
        return {"name": "unet"}
    return {"name": "unet", "channels": 128, "multipliers": [1, 2, 3, 4], "blocks": 3, "attention": [16, 8]}


NET = Nested(nets, default)
Net = Annotated[
    dict[str, Any] | str | None,
    NET,
    "the network: a name, or a table of its name and settings; by default the one that suits the data",
]


def build(
    event: Event,
    classes: int,
    value: Any,
    *,
    times: int = 1,
    prediction: Prediction = "velocity",
    std: float = 1.0,
) -> nn.Module:
    """Build a net.

    Args:
        classes: number of classes the net is conditioned on; 0 for none.
        value: None for the default net, a name, or a table of settings with or without a name.
        times: number of time inputs; with 2, `net(t, x, label, interval)` also takes the length of an interval.
        prediction: what the network predicts; `Predicts` computes the velocity from the prediction.
        std: standard deviation of the data, for the prediction "edm".
    """
    if times > 1 and prediction != "velocity":
        raise ConfigError(
            f"flow maps predict mean velocities, not model.prediction={prediction}: set model.prediction=velocity"
        )
    net = NET.resolve(value, "net", event)
    assert net is not None
    if times > 1 and "times" not in inspect.signature(nets[net["name"]].build).parameters:
        able = ", ".join(name for name in nets if "times" in inspect.signature(nets[name].build).parameters)
        raise ConfigError(
            f"net {net['name']} takes one time, but this model also needs the length of an interval: use {able}"
        )
    built = build_component(nets, net, event, classes, *([] if times == 1 else [times]))
    if prediction != "velocity":
        built = Predicts(built, prediction, std)
    return KeepsConditions(built, event.conditions) if event.conditions else built


class KeepsConditions(nn.Module):
    """A network whose output is 0 in the conditions, the last coordinates or channels of its input."""

    def __init__(self, net: nn.Module, count: int) -> None:
        super().__init__()
        self.net, self.count = net, count

    def forward(self, t: Tensor, x: Float[Tensor, "b *event"], *others: Any) -> Float[Tensor, "b *event"]:
        v = self.net(t, x, *others)
        return torch.cat([v[:, : -self.count], torch.zeros_like(v[:, -self.count :])], 1)
