"""Exact assignments and entropic plans, of a batch and of large samples."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from genbench.errors import RunFailed
from genbench.numerics import optimal_transport
from genbench.numerics.optimal_transport import (
    MIN_REDUCED,
    Kernel,
    assignment,
    draw_rows,
    pot,
    sinkhorn,
    spread,
    streamed_sinkhorn,
)
from genbench.seeds import generator


def total(cost, order):
    assert order.sort().values.tolist() == list(range(len(cost)))
    return cost[order, torch.arange(len(cost))].sum()


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_no_permutation_of_few_is_cheaper(n):
    for seed in range(20):
        cost = torch.randn(n, n, generator=generator(seed), dtype=torch.float64)
        least = min(total(cost, torch.tensor(order)) for order in itertools.permutations(range(n)))
        assert_close(total(cost, assignment(cost)), least)


KINDS = {"plane": 1.0, "space": 1e-200, "twice": 1e70, "grid": 1.0, "uniform": 1e70, "skewed": 1e-200}
"""Kinds of costs, and what they are multiplied by."""


@pytest.mark.parametrize("kind", KINDS)
def test_no_cycle_of_exchanges_is_cheaper(kind):
    n, draws = 160, generator(0, kind)
    points = torch.randn(2, n, 50 if kind == "space" else 2, generator=draws, dtype=torch.float64)
    if kind == "twice":
        points = points[:, : n // 2].repeat(1, 2, 1)
    if kind == "grid":
        points = points.round()
    cost = torch.cdist(*points).square()
    if kind == "uniform":
        cost = torch.rand(n, n, generator=draws, dtype=torch.float64)
    if kind == "skewed":
        cost = (5 * torch.randn(n, n, generator=draws, dtype=torch.float64)).exp()
    order = assignment(cost * KINDS[kind])
    # Duals of the columns are shortest paths over exchanges, which exist where no cycle of exchanges gains.
    exchange = cost[order] - cost[order, torch.arange(n)][:, None]
    v = torch.zeros(n, dtype=torch.float64)
    for _ in range(n):
        v = torch.minimum(v, (v[:, None] + exchange).min(0).values)
    u = (cost - v).min(1).values
    slack = cost - u[:, None] - v
    tiny = 1e-12 * float(cost.max())
    assert slack.min() >= -tiny
    assert slack[order, torch.arange(n)].max() <= tiny


def test_equal_costs_have_any_assignment():
    for n in (3, MIN_REDUCED + 28):
        cost = torch.full((n, n), 2.0, dtype=torch.float64)
        assert total(cost, assignment(cost)) == 2 * n


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("n", [5, MIN_REDUCED + 28])
def test_costs_that_are_not_finite_are_errors(n, value):
    cost = torch.rand(n, n, dtype=torch.float64)
    cost[3, 2] = value
    with pytest.raises(RunFailed, match="not every distance in it is finite"):
        assignment(cost)


def test_a_temperature_at_which_no_pair_has_a_weight_is_an_error():
    kernel = Kernel(1e-308, "norm").log(torch.randn(5, 2), torch.randn(5, 2))
    with pytest.raises(RunFailed, match="every pair has weight 0"):
        sinkhorn(kernel, torch.zeros(5), torch.zeros(5))


@pytest.mark.parametrize(("cost", "epsilon"), [("norm", 0.3), ("norm", 3.0), ("sqnorm", 0.3), ("sqnorm", 1e-2)])
def test_the_plan_of_the_reference_has_its_marginals(cost, epsilon):
    x0, x1 = torch.randn(300, 2), 3 + torch.randn(300, 2)
    uniform = torch.full((300,), -math.log(300))
    kernel = Kernel(epsilon, cost).log(x0, x1)
    phi, psi = sinkhorn(kernel, uniform, uniform)
    plan = torch.exp(kernel + phi[:, None] + psi)
    for side in (0, 1):
        assert_close(plan.mean(side), torch.ones(300), rtol=0, atol=2e-3)


@pytest.fixture
def samples():
    stream = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 60, 3, generator=stream, dtype=torch.float64)
    return x, 0.5 * y + torch.tensor([2.0, 0.0, 0.0])


@pytest.fixture
def exactly(monkeypatch):
    monkeypatch.setattr(optimal_transport, "TOLERANCE", 1e-9)
    monkeypatch.setattr(optimal_transport, "STEPS", 20_000)


def plan(x, y, epsilon, damping=1.0):
    """Return the whole plan, as shares of the mass of independent pairs."""
    kernel = Kernel(epsilon, "sqnorm")
    found = streamed_sinkhorn(kernel, x, y, damping)
    log = kernel.log(x, y) + found.phi[:, None]
    psi = math.log(len(x)) - torch.logsumexp(log, 0) + found.log_mass1
    whole = (log + psi).exp()
    assert_close(whole.mean(0), found.log_mass1.exp())
    assert_close(whole.mean(1), found.log_mass0.exp(), rtol=1e-6, atol=0)
    return whole


def test_the_plan_is_pots(samples, exactly):
    x, y = samples
    a = torch.full((60,), 1 / 60, dtype=torch.float64)
    expected = pot("bregman").sinkhorn(a.numpy(), a.numpy(), torch.cdist(x, y).square().numpy(), 0.7, stopThr=1e-12)
    assert_close(plan(x, y, 0.7) / 3600, torch.from_numpy(expected), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("penalty", [0.2, 5.0])
def test_the_unbalanced_plan_is_pots(samples, exactly, penalty):
    x, y = samples
    a = torch.full((60,), 1 / 60, dtype=torch.float64)
    cost = torch.cdist(x, y).square().numpy()
    expected = pot("unbalanced").sinkhorn_unbalanced(
        a.numpy(), a.numpy(), cost, 0.7, penalty, reg_type="kl", stopThr=1e-13, numItermax=100_000
    )
    found = plan(x, y, 0.7, penalty / (penalty + 0.7)) / 3600
    assert_close(found, torch.from_numpy(expected), rtol=1e-6, atol=1e-12)


def test_rows_are_drawn_from_the_columns_of_the_plan(samples):
    x, y = samples
    x, y, kernel = x[:4], y[:1].expand(40_000, 3), Kernel(2.0, "sqnorm")
    phi = torch.tensor([0.0, 1.0, -1.0, 0.3], dtype=torch.float64)
    drawn = draw_rows(kernel, x, y, phi, torch.Generator().manual_seed(0))
    share = torch.softmax(kernel.log(x, y[:1])[:, 0] + phi, 0)
    assert_close(torch.bincount(drawn, minlength=4) / 40_000, share.float(), rtol=0, atol=0.012)


def test_blocks_change_nothing(samples, monkeypatch):
    x, y = samples
    whole = plan(x, y, 0.7)
    monkeypatch.setattr("genbench.numerics.optimal_transport.CHUNK", 100)
    monkeypatch.setattr(optimal_transport, "CHUNK", 100)
    assert_close(plan(x, y, 0.7), whole)


@pytest.mark.parametrize("dims", [3, 100])
def test_the_spread_is_what_potentials_cannot_take_out(dims):
    x, y = torch.randn(50, dims) + 5, torch.randn(40, dims) - 1
    cost = torch.cdist(x.double(), y.double()).square()
    centered = cost - cost.mean(0) - cost.mean(1, keepdim=True) + cost.mean()
    assert float(spread(x, y)) == pytest.approx(float(centered.std(correction=0)), rel=1e-4)


def test_infinite_points_and_no_convergence_are_errors(samples, monkeypatch):
    x, y = samples
    with pytest.raises(RunFailed, match="not every distance"):
        spread(torch.full((60, 3), math.inf), y.float())
    monkeypatch.setattr(optimal_transport, "STEPS", 1)
    monkeypatch.setattr(optimal_transport, "TOLERANCE", 1e-9)
    with pytest.raises(RunFailed, match="choose a larger epsilon"):
        streamed_sinkhorn(Kernel(0.1, "sqnorm"), x, y)
