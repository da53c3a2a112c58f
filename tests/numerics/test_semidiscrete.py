"""Semidiscrete transport: exact cells on the line, the linear program in the plane, an unbiased test of masses."""

import math

import pytest
import torch
from helpers.toy_flows import stream
from scipy.stats import norm
from torch.testing import assert_close

from genbench.errors import RunFailed
from genbench.numerics import semidiscrete
from genbench.numerics.semidiscrete import assign, inequality, potentials

POINTS = torch.tensor([-2.0, -0.5, 0.3, 0.4, 3.0])[:, None]


def exact_line(points):
    """Potentials of points on the line for N(0, 1): cells end at the quantiles k / n."""
    y = points[:, 0].double().sort().values
    ends = torch.tensor(norm.ppf([k / len(y) for k in range(1, len(y))]))
    h = torch.cat([torch.zeros(1, dtype=y.dtype), -(ends * y.diff()).cumsum(0)])
    return h - h.mean()


def normal(d, seed=0):
    draws = stream(seed)
    return lambda n: torch.randn(n, d, generator=draws)


def cost(points, h, n=200_000):
    x = normal(points.shape[1], seed=9)(n)
    return (x - points[assign(x, points, h, 0.0, stream())]).square().sum(1).mean().item()


def test_exact_potentials_on_the_line_have_the_known_cells_and_distance():
    h = exact_line(POINTS).float()
    edges = torch.tensor(norm.ppf([0.2, 0.4, 0.6, 0.8])).float()
    x = torch.cat([edges - 1e-3, edges + 1e-3])[:, None]
    assert assign(x, POINTS, h, 0.0, stream()).tolist() == [0, 1, 2, 3, 1, 2, 3, 4]
    assert cost(POINTS, h) == pytest.approx(0.70890, abs=0.01)


def test_the_solver_finds_them():
    found = potentials(POINTS, normal(1), tolerance=2e-3)
    assert inequality(POINTS, found, normal(1, seed=3), 20_000) <= 4e-3
    assert_close(found.double(), exact_line(POINTS), rtol=0, atol=0.1)
    assert cost(POINTS, found) == pytest.approx(0.70890, abs=0.01)


@pytest.mark.parametrize("many", [2048, 100])
def test_the_cost_of_many_points_is_that_of_the_linear_program(monkeypatch, many):
    import ot

    monkeypatch.setattr(semidiscrete, "MANY", many)
    n, y = 250, 1.5 * torch.randn(250, 2, generator=stream(1)).sign() + 0.4 * torch.randn(250, 2, generator=stream(2))
    found = potentials(y, normal(2), tolerance=0.03)
    x = normal(2, seed=5)(8 * n)
    costs = torch.cdist(x, y).square().double()
    plan = ot.emd2(
        torch.full((8 * n,), 1 / (8 * n)).double().numpy(), torch.full((n,), 1 / n).double().numpy(), costs.numpy()
    )
    dual = (costs - (2 * found + y.square().sum(1))).min(1).values.mean() + (2 * found + y.square().sum(1)).mean()
    assert dual.item() == pytest.approx(float(plan), rel=0.01)
    own = (x - y[assign(x, y, found, 0.0, stream())]).square().sum(1).mean()
    assert own.item() == pytest.approx(float(plan), rel=0.05)  # masses are equal up to the tolerance only


def test_every_mode_receives_its_mass():
    """A hundredth of the mass that goes to the wrong mode costs more than all errors within modes together."""
    angle = 2 * math.pi * (torch.arange(400) % 8) / 8
    y = 5 * torch.stack([angle.cos(), angle.sin()], 1) + 0.56 * torch.randn(400, 2, generator=stream(4))
    found = potentials(y, normal(2))
    x = normal(2, seed=6)(200_000)
    mode = torch.cat([assign(part, y, found, 0.0, stream()) for part in x.split(50_000)]) % 8
    assert_close(8 * torch.bincount(mode, minlength=8) / len(x), torch.ones(8), rtol=0, atol=0.03)


def test_the_inequality_is_unbiased_and_sees_unequal_masses():
    n, h = 50, torch.zeros(50)
    angle = torch.arange(n) * 2 * math.pi / n
    ring = torch.stack([angle.cos(), angle.sin()], 1)  # equal masses by symmetry
    draws = normal(2)
    values = torch.tensor([inequality(ring, h, draws, 500) for _ in range(400)])
    assert abs(values.mean()) < 4 * values.std() / 20
    assert values.std().item() == pytest.approx(math.sqrt(2 * n) / 500, rel=0.15)
    every_other = torch.where(torch.arange(n) % 2 == 0, 100.0, 0.0)
    assert inequality(ring, every_other, draws, 20_000) == pytest.approx(1, abs=0.05)  # the others receive nothing


def test_with_much_entropy_every_point_is_equally_likely_and_with_little_the_nearest_is_taken():
    x = normal(1)(20_000)
    h = exact_line(POINTS).float()
    spread = torch.bincount(assign(x, POINTS, h, 1e4, stream()), minlength=5) / len(x)
    assert_close(spread, torch.full((5,), 0.2), rtol=0, atol=0.02)
    assert (assign(x, POINTS, h, 1e-6, stream()) == assign(x, POINTS, h, 0.0, stream())).float().mean() > 0.999
    found = potentials(POINTS, normal(1), epsilon=0.5, tolerance=2e-3)
    counts = torch.bincount(assign(x, POINTS, found, 0.5, stream()), minlength=5) / len(x)
    assert_close(counts, torch.full((5,), 0.2), rtol=0, atol=0.02)


def test_parts_of_the_points_do_not_change_the_assignment(monkeypatch):
    x, y = normal(3)(40), torch.randn(57, 3)
    whole = assign(x, y, torch.zeros(57), 0.0, stream())
    monkeypatch.setattr(semidiscrete, "CHUNK", 40 * 10)
    assert torch.equal(assign(x, y, torch.zeros(57), 0.0, stream()), whole)


@pytest.mark.parametrize("epsilon", [1e-308, 1e-40])
def test_potentials_that_are_not_finite_are_an_error_at_once(epsilon):
    with pytest.raises(RunFailed, match="not finite: entropy="):
        potentials(torch.randn(20, 2), normal(2), epsilon=epsilon)


def test_any_tolerance_is_met_and_rounds_that_do_not_suffice_are_an_error(monkeypatch):
    assert potentials(torch.randn(20, 2), normal(2), tolerance=1e308).isfinite().all()
    monkeypatch.setattr(semidiscrete, "MAX_ROUNDS", 1)
    monkeypatch.setattr(semidiscrete, "STEPS", 1)
    with pytest.raises(RunFailed, match=r"chi2 = .* above tolerance=0\.001"):
        potentials(torch.randn(50, 2), normal(2), tolerance=1e-3)
