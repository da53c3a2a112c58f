"""Exact fields of weighted pairs against closed forms, regression and transport of the tilted marginals."""

import math

import pytest
import torch
from helpers.toy_flows import stream, tilted
from torch.testing import assert_close

from genbench.numerics.gaussian_pairs import ONE, exponential, gaussian, weighted_velocity
from genbench.numerics.ode import integrate

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
