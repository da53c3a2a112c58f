import math

import pytest
import torch
from torch.testing import assert_close

from genbench.errors import RunFailed
from genbench.numerics import streamed_sinkhorn as streamed
from genbench.numerics.optimal_transport import Kernel, pot
from genbench.numerics.streamed_sinkhorn import draw_rows, spread, streamed_sinkhorn


@pytest.fixture
def samples():
    stream = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 60, 3, generator=stream, dtype=torch.float64)
    return x, 0.5 * y + torch.tensor([2.0, 0.0, 0.0])


@pytest.fixture
def exactly(monkeypatch):
    monkeypatch.setattr(streamed, "TOLERANCE", 1e-9)
    monkeypatch.setattr(streamed, "STEPS", 20_000)


def plan(x, y, epsilon, damping=1.0):
    """Return the whole plan, as shares of the mass of independent pairs."""
    kernel = Kernel(epsilon, "sqnorm")
    found = streamed_sinkhorn(kernel, x, y, damping)
    log = kernel.log(x, y) + found.phi[:, None]
    psi = math.log(len(x)) - torch.logsumexp(log, 0) + found.mass1.log()
    whole = (log + psi).exp()
    assert_close(whole.mean(0), found.mass1)
    assert_close(whole.mean(1), found.mass0, rtol=1e-6, atol=0)
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
    monkeypatch.setattr(streamed, "CHUNK", 100)
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
    monkeypatch.setattr(streamed, "STEPS", 1)
    monkeypatch.setattr(streamed, "TOLERANCE", 1e-9)
    with pytest.raises(RunFailed, match="choose a larger epsilon"):
        streamed_sinkhorn(Kernel(0.1, "sqnorm"), x, y)
