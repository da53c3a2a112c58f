import math

import pytest
import torch
from helpers.toy_flows import stream
from torch.testing import assert_close

from genbench.core import Event, Normal
from genbench.errors import RunFailed
from genbench.models.flow_matching.couplings.wcfm_weights import (
    Gibbs,
    KernelCoupling,
    KernelSettings,
    WeightSettings,
    elbow,
)
from genbench.registry import datasets


def gibbs_of(classes=0, epsilon=2.0, cost="norm", **weights):
    kernel = KernelSettings(epsilon=epsilon, cost=cost)
    return Gibbs(Event((1,)), classes, kernel=kernel, settings=WeightSettings(**weights))


def test_weights_are_finite_where_the_kernel_underflows():
    d = 200_000
    x0, x1 = torch.randn(32, d), torch.randn(32, d)
    gibbs = gibbs_of(epsilon=0.5, normalizer="batch")
    assert torch.exp(gibbs.log_kernel(x0, x1)).float().max() == 0
    weight = gibbs(x0, x1, None, stream()).weight
    assert torch.isfinite(weight).all()
    assert weight.mean().item() == pytest.approx(1.0, abs=1e-4)


def test_constant_and_running_normalizers_agree_with_the_mean_weight():
    # E exp(-(x-y)^2 / eps) for x, y ~ N(0, 1) is (1 + 4/eps)^(-1/2): x - y has variance 2.
    eps = 2.0
    expected = -0.5 * math.log(1 + 4 / eps)
    constant = gibbs_of(epsilon=eps, cost="sqnorm")
    x, y = torch.randn(2, 200_000, 1)
    constant.calibrate(constant.log_kernel(x, y), torch.zeros(200_000).long())
    assert constant.log_mean.item() == pytest.approx(expected, abs=0.01)
    running = gibbs_of(epsilon=eps, cost="sqnorm", normalizer="running")
    for _ in range(1000):
        running(torch.randn(256, 1), torch.randn(256, 1), None, stream())
    assert running.log_mean.item() == pytest.approx(expected, abs=0.02)
    assert set(running.state_dict()) == {"epsilon", "log_mean", "seen"}


def test_weights_of_data_are_the_mean_over_its_pairs_and_couple_nothing():
    x0, x1 = torch.randn(64, 2), torch.randn(64, 2) * 3
    group = torch.arange(64) % 2
    gibbs = gibbs_of(2, normalizer="batch", weigh="data")
    pairs = gibbs(x0, x1, group, stream())
    mine = group == 1
    by_hand = torch.exp(-(x0[mine][:, None] - x1[mine]).norm(dim=2) / 2).mean(0)
    assert_close(pairs.weight[mine], by_hand / by_hand.mean())
    shuffled = x0.clone()
    shuffled[mine] = x0[mine].flip(0)
    assert_close(gibbs(shuffled, x1, group, stream()).weight, pairs.weight)


@pytest.mark.parametrize("name", ["wcfm", "wcfm-balanced"])
def test_by_default_every_seed_has_the_kappa_of_the_elbow(built, name):
    first, data = built("wcfm", "gaussian")
    tilts = first.coupling._tilts(*first.coupling._sample(data))
    chosen = elbow([(kappa, tilt.variance) for kappa, tilt in tilts if tilt.known])
    for seed in (0, 1):
        model, data = built(name, "gaussian")
        model.prepare(data, seed)
        assert model.chosen == pytest.approx({"kappa": chosen})
        assert model.coupling.epsilon.item() == pytest.approx(chosen * 2**0.5)
        again, _ = built(name, "gaussian")
        again.load_state_dict(model.state_dict())
        assert again.chosen == model.chosen
    given, data = built(name, "gaussian", kappa=1.0)
    given.prepare(data, 0)
    assert given.chosen == {}
    assert given.coupling.epsilon.item() == pytest.approx(2**0.5)


def test_the_choice_of_kappa_is_kept_by_the_content_of_the_data(built, monkeypatch):
    curves = []
    compute = KernelCoupling._tilts
    monkeypatch.setattr(KernelCoupling, "_tilts", lambda *given: curves.append(given) or compute(*given))
    chosen = []
    for std in (0.41, 0.41, 3.1):
        model, _ = built("wcfm", "gaussian")
        model.prepare(datasets["gaussian"].build(std=std), seed=len(chosen))
        chosen.append(model.chosen["kappa"])
    assert len(curves) == 2
    assert chosen[0] == chosen[1] != chosen[2]


def test_without_a_normalizer_or_a_chosen_kappa_no_training_starts(built):
    with pytest.raises(RunFailed, match="prepare"):
        gibbs_of().attach(datasets["moons"].build().train, Normal((2,)), torch.device("cpu"))
    model, data = built("wcfm", "gaussian")
    with pytest.raises(RunFailed, match=r"kappa of W-CFM was not chosen: call prepare"):
        model.batch_source(data)
