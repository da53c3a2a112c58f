import ot
import pytest
import torch

from genbench.assignment import COLD, assignment


def draw(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def clustered(n, seed):
    centres = 100 * draw(8, 2, 0)
    return centres[torch.arange(n) % 8 if seed else torch.arange(n) % 3] + draw(n, 2, seed)


COSTS = {
    "plane": lambda n: torch.cdist(draw(n, 2, 0), draw(n, 2, 1) * 3 + 1).square(),
    "clusters": lambda n: torch.cdist(clustered(n, 0), clustered(n, 1)).square(),
    "pixels": lambda n: torch.cdist(draw(n, 3072, 0), draw(n, 3072, 1)).square(),
    "apart": lambda n: torch.cdist(draw(n, 2, 0) * 1e-3, draw(n, 2, 1) + 1e4).square(),
    "one far": lambda n: torch.cdist(draw(n, 2, 0), draw(n, 2, 1)).square() + 1e9 * torch.eye(n)[:, :1],
    "any sign": lambda n: draw(n, n, 0),
}


@pytest.mark.parametrize("n", [COLD - 1, 200])
@pytest.mark.parametrize("name", COSTS)
def test_no_matching_is_cheaper(name, n):
    cost = COSTS[name](n)
    rows = assignment(cost)
    assert sorted(rows.tolist()) == list(range(n))
    found = float(cost[rows, torch.arange(n)].sum())
    best = n * ot.emd2([], [], cost.numpy(), numItermax=10**9)
    torch.testing.assert_close(found, best, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 150])
def test_where_all_matchings_cost_the_same_one_is_found(n):
    for cost in (torch.zeros(n, n), torch.full((n, n), 7.0), draw(n, 1, 0) + draw(n, 1, 1).T):
        assert sorted(assignment(cost.double()).tolist()) == list(range(n))


def test_repeated_points_are_matched_among_themselves():
    x = draw(20, 2, 0).repeat(10, 1)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x[order][assignment(torch.cdist(x[order], x).square())], x)
