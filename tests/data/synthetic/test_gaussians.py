"""Gaussians and their mixtures: densities, exact fields, distances and strata against closed forms and the ODE."""

import json
import math

import pytest
import torch
from scipy.linalg import sqrtm

from genbench.core import Normal
from genbench.errors import ConfigError
from genbench.numerics.ode import log_density
from genbench.registry import datasets

TASKS = {
    "isotropic": ("gaussian", {"dims": 3, "std": 2.0}),
    "correlated": ("gaussian", {"dims": 4, "mean": 0.7, "std": 0.8, "spread": 5.0, "correlation": 0.6}),
    "8gaussians": ("8gaussians", {}),
    "weighted": ("mixture", {"dims": 3, "modes": 4, "weights": (1.0, 2.0, 3.0, 10.0)}),
    "explicit": ("mixture", {"dims": 1, "modes": 2, "means": ((-2.0,), (3.0,)), "std": 0.3}),
}


each_task = pytest.mark.parametrize("task", TASKS)


def build(task):
    name, settings = TASKS[task]
    return datasets[name].build(**settings)


@each_task
def test_the_exact_field_solves_the_regression_of_flow_matching(task):
    """E[(x1 - x0 - v(t, x_t)) g(x_t)] = 0 for every function g, and for no other field."""
    data = build(task)
    n, d = 100_000, data.event.shape[0]
    x0 = torch.randn(n, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x1 = data.train.take(n, 0).x.double()
    for t in (0.05, 0.5, 0.95):
        x = (1 - t) * x0 + t * x1
        residual = x1 - x0 - data.truth.velocity(torch.tensor(t, dtype=torch.float64), x)
        for g in (torch.ones_like(x), x, torch.sin(3 * x), x.roll(1, 1), (x[:, :1] > 0).double()):
            product = residual * g
            assert (product.mean(0).abs() / (product.std(0) / math.sqrt(n))).max() < 5


@each_task
def test_the_exact_field_carries_the_source_to_the_exact_density(task):
    data = build(task)
    x = data.test.take(40, 0).x.double()
    solved = log_density(data.truth.velocity, x, Normal(data.event.shape).log_prob, tol=1e-8)
    torch.testing.assert_close(solved.x, data.truth.log_prob(x), rtol=0, atol=1e-4)


@pytest.mark.parametrize("dims", [2, 50])
def test_mixture_against_torch(dims):
    data = datasets["mixture"].build(dims=dims, modes=3, weights=(1.0, 1.0, 2.0), std=0.4)
    law = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.tensor([1.0, 1.0, 2.0])),
        torch.distributions.Independent(torch.distributions.Normal(data.truth.modes, 0.4), 1),
    )
    x = data.train.take(1000, 0).x
    torch.testing.assert_close(data.truth.log_prob(x), law.log_prob(x))
    shares = torch.bincount(data.train.take(100_000, 1).label) / 100_000
    torch.testing.assert_close(shares, torch.tensor([0.25, 0.25, 0.5]), rtol=0, atol=0.01)
    assert torch.bincount(data.test.take(101, 0).label).tolist() in ([25, 25, 51], [26, 25, 50], [25, 26, 50])


def test_the_distance_of_a_mixture_on_a_line_from_the_source():
    """One mode is a Gaussian; narrow modes are points, for which the semidiscrete map gives 0.70890."""
    gaussian = datasets["mixture"].build(dims=3, modes=1, means=((1.0, -2.0, 0.5),), std=0.3)
    assert gaussian.truth.w2_squared() == pytest.approx(5.25 + 3 * 0.49, rel=1e-6)
    line = (-2.0, -0.5, 0.3, 0.4, 3.0)
    points = datasets["mixture"].build(dims=1, modes=5, means=tuple((y,) for y in line), std=1e-3)
    assert points.truth.w2_squared() == pytest.approx(0.70890, abs=2e-3)
    slanted = tuple((1 + 0.6 * y, -1 + 0.8 * y) for y in line)
    tilted = datasets["mixture"].build(dims=2, modes=5, means=slanted, std=0.5).truth.w2_squared()
    straight = (
        datasets["mixture"].build(dims=1, modes=5, means=tuple((y - 0.2,) for y in line), std=0.5).truth.w2_squared()
    )
    assert tilted == pytest.approx(straight + 1.4**2 + 0.25, rel=1e-6)
    assert datasets["mixture"].build(dims=2, modes=3).truth.w2_squared() is None


def test_parts_of_the_rows_have_the_densities_of_all(monkeypatch):
    data = datasets["8gaussians"].build()
    x = data.train.take(50, 0).x
    whole = data.truth.log_prob(x)
    monkeypatch.setattr("genbench.data.synthetic.gaussians.BLOCK", 100)
    torch.testing.assert_close(data.truth.log_prob(x), whole)


def test_ties_of_the_remainder_favor_no_mode():
    data = datasets["mixture"].build(modes=8)
    total = sum(torch.bincount(data.test.take(9, seed).label, minlength=8) for seed in range(400))
    assert total.min() > 400 + 25
    assert total.max() < 400 + 80


def test_gaussian_against_torch_and_scipy():
    data = datasets["gaussian"].build(dims=4, mean=0.7, std=0.8, spread=5.0, correlation=0.6)
    x = data.train.take(200_000, 0).x.double()
    stds = 0.8 * 5.0 ** torch.linspace(-0.5, 0.5, 4, dtype=torch.float64)
    covariance = stds[:, None] * (0.4 * torch.eye(4) + 0.6) * stds
    mean = torch.full((4,), 0.7, dtype=torch.float64)
    law = torch.distributions.MultivariateNormal(mean, covariance)
    torch.testing.assert_close(data.truth.log_prob(x), law.log_prob(x))
    torch.testing.assert_close(x.T.cov(), covariance, rtol=0.02, atol=0.01)
    bures = 4 * 0.7**2 + float(torch.trace(torch.eye(4) + covariance)) - 2 * sqrtm(covariance.numpy()).real.trace()
    assert data.truth.w2_squared() == pytest.approx(bures)


def test_placement_is_seeded_and_any_dimension_is_cheap_to_build():
    modes = [datasets["mixture"].build(dims=3072, placement=seed).truth.modes for seed in (0, 0, 1)]
    torch.testing.assert_close(modes[0], modes[1], rtol=0, atol=0)
    assert not torch.equal(modes[0], modes[2])
    assert datasets["gaussian"].build(dims=1, spread=3.0).train.take(3, 0).x.shape == (3, 1)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("gaussian", {"correlation": 1.0}, "it is at most 0.999999"),
        ("gaussian", {"correlation": 0.99999999}, "it is at most 0.999999"),
        ("mixture", {"modes": 2, "means": ((1.0, 1.0),)}, "write 2 centers"),
        ("mixture", {"modes": 1, "means": ((1.0, 1.0, 1.0),)}, "of 2 coordinates"),
        ("mixture", {"modes": 1, "means": ((1.0, 1.0),), "spread": 9.0}, "omit data.spread and data.placement"),
        ("mixture", {"weights": (1.0, 2.0)}, "write 8 weights"),
    ],
)
def test_impossible_settings_are_refused(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        datasets[name].build(**settings)


def test_a_dry_run_finds_no_exact_truth(cli, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.linalg, "eigh", lambda *_: pytest.fail("the spectrum is found"))
    settings = ("--set", "data.dims=20000", "--results", tmp_path)
    code, out, _ = cli("run", "--model", "cfm", "--dataset", "gaussian", *settings, "--dry-run")
    assert (code, json.loads(out)["spec"]["data"]["dims"]) == (0, 20000)
