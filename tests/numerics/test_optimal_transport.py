import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from genbench.errors import RunFailed
from genbench.numerics.optimal_transport import MIN_REDUCED, Kernel, assignment, sinkhorn
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
