import math

import pytest
import torch
from torch.testing import assert_close

from genbench.numerics.ode import integrate
from genbench.numerics.sde import euler_maruyama


def start(n=100, dims=200):
    return torch.randn(n, dims, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_an_ornstein_uhlenbeck_process_has_the_moments_of_its_steps():
    """Of dx = -x dt + sqrt(2) dW, n Euler steps of size h lead to mean, variance and covariance in closed form."""
    x, h = start(), 1 / 10
    found = euler_maruyama(lambda t, x: -x, lambda t: 2.0, x, steps=10)
    assert found.nfe == 10
    variance = (1 - h) ** 20 + sum(2 * h * (1 - h) ** (2 * k) for k in range(10))
    assert float(found.x.var()) == pytest.approx(variance, rel=5 * math.sqrt(2 / x.numel()))
    assert float(found.x.mean()) == pytest.approx(0, abs=5 / math.sqrt(x.numel()))
    assert float((x * found.x).mean()) == pytest.approx((1 - h) ** 10, abs=0.05)


def test_without_variance_it_takes_euler_steps():
    x = start(4, 3)
    plain = integrate(lambda t, x: x * torch.cos(3 * t), x, method="euler", steps=7)
    assert_close(euler_maruyama(lambda t, x: x * torch.cos(3 * t), lambda t: 0.0, x, steps=7).x, plain.x)


def test_the_noise_of_a_sample_depends_on_its_start_alone():
    x = start(6, 2).float()

    def solved(x):
        return euler_maruyama(lambda t, x: 0 * x, lambda t: 2 * (1 - t), x, steps=4).x

    assert torch.equal(solved(x), solved(x))
    assert torch.equal(solved(x)[2:4], solved(x[2:4]))
    moves = solved(x) - x
    assert len(moves.unique(dim=0)) == 6
