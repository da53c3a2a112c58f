"""Self-distillation against the flow of Gaussians, whose map, velocity and compositions are known."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from genbench.metrics.sampling import noise
from genbench.models.flow_matching.pair_model import Example

IDENTITIES = ["lagrangian", "tvm", "eulerian", "progressive"]
SHORT = {"steps": 700, "batch_size": 256, "lr": 3e-3, "schedule": "cosine", "ema": 0.99}


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


@pytest.mark.parametrize("name", IDENTITIES)
def test_the_map_of_gaussians_has_no_error_and_another_has(built, gaussian_flow, name):
    model, _ = built(name, "gaussian")
    example = states(gaussian_flow)
    put(model, Biased(gaussian_flow))
    assert error(model, example) < 1e-20
    put(model, Biased(gaussian_flow, 0.1))
    assert error(model, example) > 1e-4
    model.net.bias.requires_grad_(True)
    error(model, example).backward()
    assert model.net.bias.grad > 0  # descent removes what does not belong there


@pytest.mark.parametrize("name", [*IDENTITIES, "alphaflow"])
def test_an_interval_of_length_zero_is_flow_matching(built, gaussian_flow, name):
    model, _ = built(name, "gaussian")
    example = states(gaussian_flow)
    shifted = example._replace(end=example.t, velocity=example.velocity + 0.5)
    put(model, Biased(gaussian_flow, 3.0))
    assert_close(error(model, shifted).detach(), torch.tensor(0.25, dtype=torch.float64))


def test_the_error_of_alpha_flow_falls_with_the_cube_of_alpha(built, gaussian_flow):
    """It follows the tangent for a part alpha of the interval: an error of order alpha^2, squared, over alpha."""
    errors = []
    for alpha in (0.02, 0.01):
        model, _ = built("alphaflow", "gaussian", alpha_min=alpha)
        put(model, Biased(gaussian_flow))
        errors.append(error(model, states(gaussian_flow)).item())
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.1)


def test_alpha_falls_from_one_over_training(built):
    model, data = built("alphaflow", "gaussian", ratio=1.0, alpha_min=0.2, anneal_steps=10)
    for step, alpha in ((0, 1.0), (5, 0.6), (10, 0.2), (1000, 0.2)):
        example = model.example(data.train, step, 64, 0, torch.Generator())
        assert_close(
            (example.middle - example.t) / (example.end - example.t), torch.full((64,), alpha), rtol=1e-3, atol=0
        )
    example = model.draw(data.train.batch(0, 64, 0), torch.Generator())  # validation has the last one
    assert_close((example.middle - example.t) / (example.end - example.t), torch.full((64,), 0.2), rtol=1e-3, atol=0)


def test_the_share_of_intervals_is_the_ratio(built):
    model, _ = built("lagrangian", "gaussian", ratio=0.25)
    t, end = model.draw_times(20_000, torch.Generator().manual_seed(0))
    assert (end > t).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert (end >= t).all()


@pytest.mark.parametrize("name", [*IDENTITIES, "alphaflow"])
def test_training_finds_the_map_of_gaussians(trained, drawn, name):
    settings = {"ratio": 0.5} if name != "alphaflow" else {"anneal_steps": 100}
    model, _ = trained(name, "gaussian", data={"mean": 1.0, "std": 0.4}, model=settings, plan=SHORT)
    due = 1 + 0.4 * noise(model.source, 4096, seed=1)
    for steps in (1, 3):
        assert (drawn(model, steps=steps) - due).square().mean() < 0.06
