"""Energies: their constants against SciPy's quadrature and published values, their samples against their densities."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import kstest

from genbench.registry import datasets

N = 200_000


def build(name, **settings):
    return datasets[name].build(**settings)


def height(x):
    return -(x**4) + 6 * x**2 + x / 2


def integral(f):
    return quad(f, -4, 4, epsabs=1e-12, epsrel=1e-12, limit=500)[0]


def test_the_double_well_has_the_constants_of_quadrature():
    data, z = build("double_well"), integral(lambda x: math.exp(height(x)))
    assert z == pytest.approx(11784.50927, abs=1e-5)
    log_z = math.log(z) + math.log(2 * math.pi) / 2
    assert log_z == pytest.approx(10.2934797, abs=1e-7)
    x = torch.linspace(-2.5, 2.5, 50, dtype=torch.float64)
    y = torch.linspace(-2, 3, 50, dtype=torch.float64)
    torch.testing.assert_close(data.truth.log_prob(torch.stack([x, y], 1)), height(x) - y**2 / 2 - log_z)
    slope = -4 * data.truth.modes[:, 0] ** 3 + 12 * data.truth.modes[:, 0] + 0.5
    torch.testing.assert_close(slope, torch.zeros(2), rtol=0, atol=1e-4)


def test_samples_of_the_double_well_follow_its_distribution_function():
    data = build("double_well")
    x, y = data.test.take(N, 0).x.double().numpy().T
    z = integral(lambda x: math.exp(height(x)))
    points = np.linspace(-3, 3, 601)
    cells = [quad(lambda x: math.exp(height(x)) / z, a, b)[0] for a, b in itertools.pairwise(points)]
    below = np.concatenate([[0.0], np.cumsum(cells)])
    assert kstest(x, lambda at: np.interp(at, points, below)).pvalue > 1e-3
    assert kstest(y, "norm").pvalue > 1e-3
    assert x.mean() == pytest.approx(1.18796, abs=5 * x.std() / math.sqrt(N))
    assert (x > 0).mean() == pytest.approx(0.84431, abs=5 * math.sqrt(0.84431 * 0.15569 / N))


@pytest.mark.parametrize(
    ("name", "settings", "entropy"),
    [
        ("double_well", {}, 1.71858),
        ("many_well", {}, 27.49722),
        ("gmm40", {}, 6.860 - 2 * math.log(40)),  # published in the units of the data
        ("funnel", {}, 15.28800),
        ("funnel", {"std": 1.0}, 14.18939),
    ],
)
def test_the_entropy_is_that_of_the_reference(name, settings, entropy):
    data = build(name, **settings)
    log_prob = data.truth.log_prob(data.test.take(N, 0).x).double().numpy()
    allowed = 5 * log_prob.std() / math.sqrt(N) + (0.002 if name == "gmm40" else 0)  # its published value was measured
    assert -log_prob.mean() == pytest.approx(entropy, abs=allowed)


def test_wells_are_independent_and_the_constant_is_their_product():
    data, one = build("many_well"), build("double_well")
    x = data.test.take(1000, 0).x
    torch.testing.assert_close(data.truth.log_prob(torch.zeros(1, 32)).item(), -164.695675, rtol=0, atol=2e-5)
    each = one.truth.log_prob(x.view(-1, 2)).view(-1, 16).sum(1)
    torch.testing.assert_close(data.truth.log_prob(x), each)
    x = data.test.take(20_000, 1).x
    correlation = x.sign().T.corrcoef() - torch.eye(32)
    assert correlation.abs().max() < 5 / math.sqrt(20_000)
    assert data.event.dims == 32


def test_the_centers_of_gmm40_are_the_published_ones_in_units_of_the_data():
    data = build("gmm40")
    torch.testing.assert_close(data.space.decode(data.truth.modes[0]), torch.tensor([-0.29947, 21.45774]))
    x, label = data.train.take(N, 0)
    assert data.space.decode(x - data.truth.modes[label]).std() == pytest.approx(1.31326, abs=0.01)


@pytest.mark.parametrize("std", [1.0, 3.0])
def test_the_funnel_against_torch(std):
    x = build("funnel", std=std).test.take(1000, 0).x
    v, rest = x[:, 0], x[:, 1:]
    expected = torch.distributions.Normal(0, std).log_prob(v)
    expected = expected + torch.distributions.Normal(0, (v / 2).exp()[:, None]).log_prob(rest).sum(1)
    torch.testing.assert_close(build("funnel", std=std).truth.log_prob(x), expected)
    assert kstest((v / std).numpy(), "norm").pvalue > 1e-3
    assert kstest((rest * (-v / 2).exp()[:, None]).flatten().numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("name", ["double_well", "many_well", "gmm40", "funnel"])
def test_draws_depend_on_the_seed_alone(name):
    first, again, other = (build(name).train.batch(3, 64, seed).x for seed in (0, 0, 1))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)
