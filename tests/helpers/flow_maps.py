"""Self-distillation against the flow of Gaussians, whose map, velocity and compositions are known."""

import torch
from torch import nn
from torch.testing import assert_close

from genbench.metrics.sampling import noise
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


def check_map(built, trained, drawn, flow, name):
    """The exact map has no error, descent removes what does not belong there, and training finds the map."""
    model, _ = built(name, "gaussian")
    example = states(flow)
    put(model, Biased(flow))
    assert error(model, example) < 1e-20
    put(model, Biased(flow, 0.1))
    found = error(model, example)
    assert found > 1e-4
    found.backward()
    assert model.net.bias.grad > 0
    check_flow_matching(built, flow, name)
    check_training(trained, drawn, name, ratio=0.5)


def check_flow_matching(built, flow, name):
    """On an interval of length 0 the error is that of the velocity."""
    model, _ = built(name, "gaussian")
    example = states(flow)
    shifted = example._replace(end=example.t, velocity=example.velocity + 0.5)
    put(model, Biased(flow, 3.0))
    assert_close(error(model, shifted).detach(), torch.tensor(0.25, dtype=torch.float64))


def check_training(trained, drawn, name, **settings):
    """Training finds the map of Gaussians: one step, and three, take noise x to 1 + 0.4 x."""
    model, _ = trained(name, "gaussian", data={"mean": 1.0, "std": 0.4}, model=settings, plan=SHORT)
    due = 1 + 0.4 * noise(model.source, 4096, seed=1)
    for steps in (1, 3):
        assert (drawn(model, steps=steps) - due).square().mean() < 0.06
