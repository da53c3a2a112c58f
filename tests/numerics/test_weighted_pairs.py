"""Weights on pairs of noise and data: the tilt of both marginals, and the exact field of weighted pairs."""

import math

import pytest
import torch
from helpers.toy_flows import gaussian_tilt, stream, tilted
from torch.testing import assert_close

from genbench.numerics.ode import integrate
from genbench.numerics.optimal_transport import Kernel
from genbench.numerics.weighted_pairs import (
    ONE,
    cyclic_shifts,
    estimate_tilt,
    exponential,
    gaussian,
    relative_ess,
    tilt_of_batch,
    weighted_velocity,
)


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
def test_the_tilt_is_that_of_gaussians_in_closed_form(epsilon):
    stream = torch.Generator().manual_seed(0)
    x0, x1 = torch.randn(2, 16384, 1, generator=stream, dtype=torch.float64) * torch.tensor([1.0, 2.0])[:, None, None]
    found = estimate_tilt(-((x0 - x1).square()[:, 0]) / epsilon for x0 in cyclic_shifts(x0, 64))
    assert found.data == pytest.approx(gaussian_tilt(epsilon, 1, 2), rel=0.04)
    assert found.source == pytest.approx(gaussian_tilt(epsilon, 2, 1), abs=0.003)
    # E w = (1 + 2 s / epsilon)^(-1/2) for the variance s = 5 of the difference, and E w^2 that at half of epsilon.
    assert found.share == pytest.approx(math.sqrt(1 + 20 / epsilon) / (1 + 10 / epsilon), rel=0.03)
    assert found.pairs == 16384 * 64


def test_equal_weights_do_not_tilt():
    found = estimate_tilt(torch.full((500,), -7000.0) for _ in range(8))
    assert (found.source, found.data, found.share) == pytest.approx((0, 0, 1), abs=1e-12)
    data_alone = torch.randn(4000, generator=torch.Generator().manual_seed(1))
    found = estimate_tilt(data_alone for _ in range(16))
    assert found.data == pytest.approx(math.e - 1, rel=0.15)  # of a lognormal law
    assert found.source == pytest.approx(0, abs=0.02)


def test_the_tilt_of_wcfm_between_gaussians_is_estimated_without_bias():
    """E[w | x0] is a Gaussian function of x0, so that its mean square is closed-form."""
    epsilon, a, b = 4.0, 1.0, 2.25
    mean = (1 + 2 * (a + b) / epsilon) ** -0.5
    seen = []
    for i in range(200):
        x0, x1 = torch.randn(64, 1, generator=stream(2 * i)), 1.5 * torch.randn(64, 1, generator=stream(2 * i + 1))
        weight = torch.exp(Kernel(epsilon, "sqnorm").log(x0, x1)) / mean
        seen.append(tilt_of_batch(weight, torch.zeros(64).long()).mean(0))
    found, error = torch.stack(seen).mean(0), torch.stack(seen).std(0) / 200**0.5
    for side, (own, other) in enumerate([(a, b), (b, a)]):
        square = 1 / (1 + 2 * other / epsilon) / math.sqrt(1 + 4 * own / (epsilon + 2 * other))
        assert abs(found[side].item() - (square / mean**2 - 1)) < 4 * error[side].item()


def test_relative_ess_of_equal_and_of_single_weights():
    assert_close(relative_ess(torch.full((50,), 3.0)), torch.tensor(1.0))
    assert_close(relative_ess(torch.eye(50)[0]), torch.tensor(1 / 50))


WEIGHTS = torch.tensor([0.2, 0.8])
MEANS = torch.tensor([[3.0, 0.0], [-0.5, 0.5]])
STDS = torch.tensor([[0.5, 0.9], [0.7, 0.3]])


def pairs(n):
    noise = stream(1)
    mode = torch.multinomial(WEIGHTS, n, replacement=True, generator=noise)
    x0 = torch.randn(n, 2, generator=noise).double()
    return x0, (MEANS[mode] + STDS[mode] * torch.randn(n, 2, generator=noise)).double()


def field(kernel):
    return lambda t, x: weighted_velocity(t, x, WEIGHTS, MEANS, STDS, kernel)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 30.0])
def test_the_sum_of_gaussians_is_the_exponential(epsilon):
    kernel, r = exponential(epsilon), epsilon * torch.tensor([0.05, 0.3, 1.0, 5.0, 20.0]).double()
    value = (kernel.log_weight - kernel.rate * r[:, None].square()).exp().sum(1)
    assert_close(value, torch.exp(-r / epsilon), rtol=1e-3, atol=0)


def test_the_field_between_gaussians_is_the_closed_form():
    """Pairs with the covariance C have the field cov(x1 - x0, x_t) / var(x_t) x."""
    epsilon, b = 0.8, 2.0
    x = torch.linspace(-3, 3, 7).double()[:, None]
    for t in (0.0, 0.3, 1.0):
        path, velocity = torch.tensor([1 - t, t]), torch.tensor([-1.0, 1.0])
        covariance = tilted(epsilon, b)
        slope = float(velocity @ covariance @ path / (path @ covariance @ path))
        found = weighted_velocity(
            torch.tensor(t), x, torch.ones(1), torch.zeros(1, 1), torch.full((1, 1), b), gaussian(epsilon)
        )
        assert_close(found, slope * x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel", [ONE, exponential(0.7), gaussian(1.5)], ids=["one", "norm", "sqnorm"])
def test_the_field_solves_the_weighted_regression(kernel):
    """E[w (x1 - x0 - v(t, x_t)) g(x_t)] = 0 for every function g, and for no other field."""
    x0, x1 = pairs(30_000)
    square = (x1 - x0).square().sum(1, keepdim=True)
    weight = (kernel.log_weight - kernel.rate * square).exp().sum(1, keepdim=True)
    for t in (0.1, 0.6, 0.95):
        x = torch.lerp(x0, x1, t)
        residual = weight * (x1 - x0 - field(kernel)(torch.tensor(t), x))
        for g in (torch.ones_like(x), torch.sin(2 * x), x.roll(1, 1)):
            product = residual * g
            assert (product.mean(0).abs() / (product.std(0) / math.sqrt(len(x)))).max() < 4.5


def test_the_flow_carries_the_tilted_noise_to_the_tilted_data():
    x0, x1 = pairs(100_000)
    weight = torch.exp(-(x1 - x0).norm(dim=1) / 0.7)
    rows = torch.multinomial(weight, 5_000, replacement=True, generator=stream(2))
    arrived = integrate(field(exponential(0.7)), x0[rows], tol=1e-4).x
    for g in (torch.ones_like, torch.sin, torch.square):
        here, there = g(arrived) * arrived, g(x1[rows]) * x1[rows]
        bound = 4.5 * (here.var(0) + there.var(0)).div(len(rows)).sqrt()
        assert ((here.mean(0) - there.mean(0)).abs() < bound).all()
    assert (x1[rows].mean(0) - x1.mean(0)).abs().max() > 0.2  # the tilt is not small


def test_points_of_width_zero_attract_the_mean_of_what_can_have_become_x():
    """v = (sum_i w_i x_i - x) / (1 - t), w = softmax(-|x - t x_i|^2 / (2 (1 - t)^2)) (Bertrand et al., 2025)."""
    x, points, t = pairs(20)[0], pairs(7)[1], torch.tensor(0.6)
    share = (-torch.cdist(x, t * points).square() / (2 * (1 - t) ** 2)).softmax(1)
    found = weighted_velocity(t, x, torch.ones(7) / 7, points, torch.zeros(7, 2))
    assert_close(found, (share @ points - x) / (1 - t), rtol=1e-5, atol=1e-6)
