"""Nets of the sizes that events ask for, with perturbed weights."""

import torch
from torch import nn

from genbench.core import Event
from genbench.nets import presets

VECTOR, DIGIT, MNIST, CIFAR, LARGE = (
    Event((2,)),
    Event((1, 8, 8)),
    Event((1, 28, 28)),
    Event((3, 32, 32)),
    Event((3, 64, 64)),
)
TINY = {"name": "unet", "channels": 8, "multipliers": [1, 2, 2], "blocks": 1, "attention": [16, 14]}
UNET = {"name": "unet", "channels": 8, "blocks": 1, "multipliers": [1], "attention": []}
"""One level without attention: the fastest network of images."""


def make(event: Event, classes: int = 0, settings=None, *, times: int = 1) -> nn.Module:
    """Build a net and move every parameter off its initial value, so that no branch is multiplied by zero."""
    torch.manual_seed(0)
    net = presets.build(event, classes, settings, times=times)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net.eval()


def parameters(event: Event, settings=None, classes: int = 0) -> int:
    with torch.device("meta"):
        net = presets.build(event, classes, settings)
    return sum(parameter.numel() for parameter in net.parameters())


def images(event: Event, n: int = 3) -> torch.Tensor:
    return torch.randn(n, *event.shape, generator=torch.Generator().manual_seed(1))
