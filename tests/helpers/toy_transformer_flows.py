"""Small TARFlow and STARFlow models with perturbed weights."""

import torch

from genbench.core import Event, Normal
from genbench.metrics.sampling import noise
from genbench.registry import models
from helpers.toy_flows import component

IMAGE = Event((2, 4, 6), classes=3)
VECTOR = Event((4,), classes=3)
SMALL = {"patch": 2, "width": 32, "head": 16}
NAMES = ["tarflow", "starflow"]


def build(name, event, **settings):
    return component(models, name, event, Normal(event.shape), **settings)


def perturbed(name, event, by=0.2, **settings):
    """Zero outputs make every test of a flow pass: move all weights away from there."""
    torch.manual_seed(0)
    model = build(name, event, **{**SMALL, "blocks": [2, 1], **settings})
    width = model.flow.blocks[0].net.architecture.width
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(by * torch.randn(weight.shape, generator=stream) * (16 / width) ** 0.5)
    return model


def points(event, n, dtype=torch.float32, seed=7):
    return noise(Normal(event.shape), n, seed).to(dtype)
