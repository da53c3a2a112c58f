import math

import pytest
import torch
from torch.testing import assert_close

from genbench.errors import RunFailed
from genbench.models.flow_matching.couplings import Gibbs, Independent, MinibatchOT, Sinkhorn, effective_share


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_optimal_transport_undoes_a_permutation_and_a_shift():
    x1 = torch.randn(200, 3)
    order = torch.randperm(200)
    pairs = MinibatchOT()(x1[order] + 0.01, x1, None, stream())
    assert_close(pairs.x0, x1 + 0.01)
    assert_close(pairs.weight, torch.ones(200))


def test_optimal_transport_in_one_dimension_sorts():
    x0, x1 = torch.randn(300, 1), torch.randn(300, 1) * 2 + 1
    paired = MinibatchOT()(x0, x1, None, stream()).x0
    assert_close(paired[x1[:, 0].argsort()], x0.sort(0).values)


def test_resampling_weights_are_multiplicities_that_lose_37_percent():
    pairs = MinibatchOT(resample=True)(torch.randn(1000, 2), torch.randn(1000, 2), None, stream())
    assert pairs.weight.sum() == 1000
    assert (pairs.weight == 0).float().mean().item() == pytest.approx(math.exp(-1), abs=0.04)


def test_pairing_stays_within_classes():
    label = torch.arange(100) % 2
    x1 = torch.randn(100, 2) + 10 * label[:, None]
    x0 = torch.randn(100, 2)
    paired = MinibatchOT()(x0, x1, label, stream()).x0
    for one in (0, 1):
        mine, theirs = x0[label == one], paired[label == one]
        assert_close(theirs[theirs[:, 0].argsort()], mine[mine[:, 0].argsort()])


def test_sinkhorn_goes_from_independent_to_the_exact_plan():
    x0, x1 = torch.randn(128, 1), torch.randn(128, 1)
    exact = MinibatchOT()(x0, x1, None, stream()).x0

    def correlation(reg):
        paired = Sinkhorn(reg=reg)(x0, x1, None, stream()).x0
        return torch.corrcoef(torch.stack([paired[:, 0], x1[:, 0]]))[0, 1].item()

    best = torch.corrcoef(torch.stack([exact[:, 0], x1[:, 0]]))[0, 1].item()
    assert correlation(0.02) == pytest.approx(best, abs=0.03)
    assert abs(correlation(1000.0)) < 0.2


def test_sinkhorn_correlation_of_gaussians_is_the_closed_form():
    # The entropic plan of N(0,1) with itself for cost c = |x-y|^2 and strength reg is Gaussian with correlation
    # rho solving rho / (1 - rho^2) = 2 / reg (Janati et al., 2020).
    reg = 1.0
    rho = (math.sqrt(1 + 16 / reg**2) - 1) / (4 / reg)
    quantiles = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(1000) + 0.5) / 1000)[:, None]
    paired = Sinkhorn(reg=reg)(quantiles, quantiles, None, stream()).x0
    assert (paired * quantiles).mean().item() == pytest.approx(rho, abs=0.04)


def test_sinkhorn_that_cannot_converge_says_so():
    with pytest.raises(RunFailed, match="larger reg"):
        Sinkhorn(reg=1e-6)(torch.randn(64, 2) * 100, torch.randn(64, 2), None, stream())


@pytest.mark.parametrize("cost", ["norm", "sqnorm"])
def test_large_epsilon_weighs_all_pairs_alike(cost):
    gibbs = Gibbs(epsilon=1e9, cost=cost, normaliser="batch")
    assert_close(gibbs(torch.randn(64, 5), torch.randn(64, 5), None, stream()).weight, torch.ones(64))


def test_weights_survive_where_raw_ones_underflow():
    d = 200_000
    x0, x1 = torch.randn(32, d), torch.randn(32, d)
    gibbs = Gibbs(epsilon=0.5, normaliser="batch")
    assert torch.exp(gibbs.log_weight(x0, x1)).float().max() == 0
    weight = gibbs(x0, x1, None, stream()).weight
    assert torch.isfinite(weight).all()
    assert weight.mean().item() == pytest.approx(1.0, abs=1e-4)


def test_constant_and_running_normalisers_agree_with_the_mean_weight():
    # E exp(-(x-y)^2 / eps) for x, y ~ N(0, 1) is (1 + 4/eps)^(-1/2): x - y has variance 2.
    eps = 2.0
    expected = -0.5 * math.log(1 + 4 / eps)
    constant = Gibbs(epsilon=eps, cost="sqnorm")
    x, y = torch.randn(2, 200_000, 1)
    constant.calibrate(constant.log_weight(x, y), torch.zeros(200_000).long())
    assert constant.log_mean.item() == pytest.approx(expected, abs=0.01)
    running = Gibbs(epsilon=eps, cost="sqnorm", normaliser="running")
    for _ in range(1000):
        running(torch.randn(256, 1), torch.randn(256, 1), None, stream())
    assert running.log_mean.item() == pytest.approx(expected, abs=0.02)
    assert set(running.state_dict()) == {"log_mean", "seen"}


def test_weights_average_to_one_within_each_class():
    label = torch.arange(512) % 2
    x1 = torch.randn(512, 2) + 8 * label[:, None]
    gibbs = Gibbs(epsilon=2.0, normaliser="batch", classes=2)
    weight = gibbs(torch.randn(512, 2), x1, label, stream()).weight
    for one in (0, 1):
        assert_close(weight[label == one].mean(), torch.tensor(1.0))


def test_a_constant_normaliser_without_its_constant_is_refused():
    with pytest.raises(RunFailed, match="prepare"):
        Gibbs(epsilon=1.0)(torch.randn(4, 2), torch.randn(4, 2), None, stream())


def test_weights_of_data_are_the_mean_over_its_pairs_and_couple_nothing():
    x0, x1 = torch.randn(64, 2), torch.randn(64, 2) * 3
    group = torch.arange(64) % 2
    gibbs = Gibbs(epsilon=2.0, normaliser="batch", classes=2, weigh="data")
    pairs = gibbs(x0, x1, group, stream())
    mine = group == 0
    by_hand = torch.exp(-(x0[mine][:, None] - x1[mine]).norm(dim=2) / 2).mean(0)
    assert_close(pairs.weight[mine], by_hand / by_hand.mean())
    shuffled = x0.clone()
    shuffled[mine] = x0[mine].flip(0)
    assert_close(gibbs(shuffled, x1, group, stream()).weight, pairs.weight)


def test_effective_share_of_equal_and_of_single_weights():
    assert_close(effective_share(torch.full((50,), 3.0)), torch.tensor(1.0))
    assert_close(effective_share(torch.eye(50)[0]), torch.tensor(1 / 50))


def test_independent_changes_nothing():
    x0, x1 = torch.randn(10, 2), torch.randn(10, 2)
    pairs = Independent()(x0, x1, None, stream())
    assert_close(pairs.x0, x0)
    assert_close(pairs.weight, torch.ones(10))
