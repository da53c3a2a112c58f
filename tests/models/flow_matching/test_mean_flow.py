"""MeanFlow and alpha-Flow against the flow of Gaussians."""

import math

import pytest
import torch
from helpers.flow_maps import SHORT, Biased, error, put, states
from torch.testing import assert_close

from genbench.errors import ConfigError
from genbench.metrics.sampling import noise
from genbench.models.flow_matching.pair_model import Example

GAUSSIAN = {"dims": 2, "mean": 1.0, "std": 0.4}


@pytest.mark.parametrize("improved", [False, True])
def test_the_mean_velocity_of_gaussians_solves_the_identity(built, exact, gaussian_flow, improved):
    model, _ = built("meanflow", "gaussian", improved=improved)
    flow = gaussian_flow
    model.net = exact(lambda t, x, h: flow.mean_velocity(t, t + h[:, None], x))
    assert model.loss(states(flow))["loss"] < 1e-20
    wrong = exact(lambda t, x, h: flow.mean_velocity(t + h[:, None], t, x))
    model.net = wrong  # the mean over the interval backward from t + h: correct only for intervals of length 0
    assert model.loss(states(flow))["loss"] > 1e-3


def test_a_jump_is_the_flow_and_two_jumps_are_one(built, exact, gaussian_flow):
    model, _ = built("meanflow", "gaussian")
    flow, x = gaussian_flow, torch.randn(100, 2, dtype=torch.float64)
    model.net = exact(lambda t, x, h: flow.mean_velocity(t, t + h, x))
    t, s, r = torch.tensor([0.1, 0.4, 0.9], dtype=torch.float64)
    assert_close(model.jump(t, r, x), flow.moved(t, r, x))
    assert_close(model.jump(s, r, model.jump(t, s, x)), model.jump(t, r, x))
    assert_close(model.sample(x).x, 1 + 0.4 * x)
    assert_close(model.sample(x, steps=3).x, 1 + 0.4 * x)


def test_on_optimal_pairs_the_mean_velocity_is_the_velocity(trained, drawn):
    """Pairs x1 = m + s x0 move at constant speed, so one step is exact and u(x, t, r) is the same for all r."""
    model, _ = trained("meanflow", "gaussian", data=GAUSSIAN, model={"coupling": "ot"}, plan=SHORT | {"steps": 200})
    due = 1 + 0.4 * noise(model.source, 4096, seed=1)
    assert (drawn(model) - due).square().mean() < 5e-3
    t, x = torch.tensor(0.5), 0.5 + 0.7 * torch.randn(500, 2)
    with torch.no_grad():
        early, late = (model.mean_velocity(t, torch.tensor(r), x) for r in (0.6, 1.0))
    assert (early - late).square().mean() < 1e-2
    assert (late - (1 - 0.6 * (x - 0.5) / 0.7)).square().mean() < 3e-2


@pytest.mark.parametrize(("power", "minimum"), [(0.0, 1.443), (1.0, 2.83)])
def test_adaptive_weights_move_the_minimum_away_from_the_mean(built, power, minimum):
    """Data +-2, seen at t = 0.4 and x = 0.3: the mean velocity there is 1.443, but p = 1 prefers the likelier mode."""
    a, t, x, n = 2.0, 0.4, 0.3, 100_000
    share = 1 / (1 + math.exp(-2 * a * t * x / (1 - t) ** 2))
    counts = torch.tensor([round(share * n), n - round(share * n)])
    velocity = torch.tensor([a - x, -a - x]).div(1 - t).repeat_interleave(counts)[:, None]
    times, ones = torch.full((n,), t), torch.ones(n)
    example = Example(times, torch.full((n, 1), x), velocity, ones, ones, None, end=times)
    model, _ = built("meanflow", "gaussian", power=power)
    slopes = []
    for value in (minimum - 0.02, minimum + 0.02):
        model.net = Constant(value)
        (slope,) = torch.autograd.grad(model.loss(example)["loss"], model.net.value)
        slopes.append(slope.item())
    assert slopes[0] < 0 < slopes[1]


class Constant(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(value))

    def forward(self, t, x, label, interval):
        return self.value + 0 * x


def test_times_are_ordered_and_equal_for_their_share(built):
    for settings in ({}, {"state": [0.6, 1.6], "target": [4.0, 1.6]}, {"state": [-0.4, 1.0]}):
        model, _ = built("meanflow", "gaussian", ratio=0.25, **settings)
        t, end = model.draw_times(20_000, torch.Generator().manual_seed(0))
        assert (end >= t).all()
        assert (t >= 0).all() and (end <= 1).all()  # noqa: PT018
        share = (end > t).float().mean().item()
        assert share == pytest.approx(0.25, abs=0.01) if not settings else share <= 0.26


def test_equal_times_are_the_earlier_of_two(built):
    model, _ = built("meanflow", "gaussian", ratio=0.25, state=[-0.4, 1.0])
    t, end = model.draw_times(20_000, torch.Generator().manual_seed(0))
    earlier = -0.4 - 1 / math.sqrt(math.pi)
    both = torch.cat([t, end]).logit().mean().item()
    assert both == pytest.approx(0.25 * -0.4 + 0.75 * earlier, abs=0.03)


def test_guidance_in_the_target_is_that_of_the_formula(built):
    model, _ = built("meanflow", "moons", conditional=True, target_guidance=0.5, guidance_mix=0.25)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    t, x, velocity, label = torch.rand(6), torch.randn(6, 2), torch.randn(6, 2), torch.tensor([0, 1, 2, 0, 1, 2])
    example = Example(t, x, velocity, torch.ones(6), torch.ones(6), label, end=t)
    zero = torch.zeros(6)
    with torch.no_grad():
        given, null = model.net(t, x, label, zero), model.net(t, x, None, zero)
        guided = model.map_loss.guided(model, example)
    assert_close(guided[label < 2], (0.5 * velocity + 0.25 * null + 0.25 * given)[label < 2])
    assert_close(guided[label == 2], velocity[label == 2])  # dropped labels stay unguided


def test_attention_has_forward_derivatives_and_other_nets_are_refused(built):
    model, data = built("meanflow", "digits", net={"name": "unet", "channels": 8, "multipliers": [1], "attention": [8]})
    example = model.draw(data.train.batch(0, 4, 0), torch.Generator().manual_seed(0))
    model.loss(example)["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())

    model.net = Fused()
    with pytest.raises(ConfigError, match="this loss needs a net with forward-mode derivatives"):
        model.loss(example)


class Fused(torch.nn.Module):
    """An operation that has no forward derivative."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(8, 8, batch_first=True)

    def forward(self, t, x, label, interval):
        return self.lstm(x.flatten(1, 2))[0].view_as(x)


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


def test_an_interval_of_two_neighboring_numbers_has_a_finite_error(built):
    model, data = built("alphaflow", "gaussian", ratio=1.0, alpha_min=0.2)
    example = model.example(data.train, 0, 64, 0, torch.Generator())
    short = example._replace(end=torch.nextafter(example.t, torch.tensor(2.0)))
    assert error(model, short).isfinite()
