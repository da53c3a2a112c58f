"""Self-distillation against the flow of Gaussians, whose map, velocity and compositions are known."""

import torch
from torch import nn

from genbench.models.flow_matching.pair_model import Example

SHORT = {"steps": 300, "batch_size": 256, "lr": 5e-3, "schedule": "cosine", "ema": 0.99}


def states(flow, n=500):
    """Return states in float64 whose velocities are the marginal ones; a third of the intervals have length 0."""
    stream = torch.Generator().manual_seed(0)
    t, end = torch.rand(2, n, generator=stream, dtype=torch.float64).sort(0).values
    end = torch.where(torch.arange(n) % 3 > 0, end, t)
    x, ones = torch.randn(n, 2, generator=stream, dtype=torch.float64), torch.ones(n, dtype=torch.float64)
    return Example(t, x, flow.velocity(t[:, None], x), ones, ones, None, end=end)


class Biased(nn.Module):
    """The exact mean velocity, and a multiple of the length of the interval that does not belong there."""

    def __init__(self, flow, bias=0.0):
        super().__init__()
        self.flow, self.bias = flow, nn.Parameter(torch.tensor(bias, dtype=torch.float64))

    def forward(self, t, x, label, interval):
        t, interval = t.reshape(-1, 1), interval.reshape(-1, 1)
        return self.flow.mean_velocity(t, t + interval, x) + self.bias * interval


def error(model, example):
    example = model.map_loss.completed(model.eval(), example, torch.Generator().manual_seed(1))
    return model.loss(example)["loss"]


def put(model, net):
    model.net = net
    model.map_loss.attach(model)  # averages start from these weights
