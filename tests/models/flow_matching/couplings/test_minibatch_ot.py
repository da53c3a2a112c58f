import math
import warnings

import pytest
import torch
from helpers.toy_flows import gaussian_plan, stream
from torch.testing import assert_close

from genbench.errors import ConfigError, RunFailed
from genbench.models.flow_matching.couplings import minibatch_ot
from genbench.models.flow_matching.couplings.minibatch_ot import MinibatchOT, Sinkhorn, weight_of_conditions
from genbench.numerics.optimal_transport import pot


def test_resampling_weights_are_multiplicities_that_lose_37_percent():
    pairs = MinibatchOT(resample=True)(torch.randn(1000, 2), torch.randn(1000, 2), None, stream())
    assert pairs.weight.sum() == 1000
    assert (pairs.weight == 0).float().mean().item() == pytest.approx(math.exp(-1), abs=0.04)


def test_a_pool_pairs_the_batches_of_several_steps_together(built):
    """The data of every step stays the same; the pairs are those of the optimal plan of the whole pool."""
    pooled, data = built("otcfm", "8gaussians", pool=4)
    plain, _ = built("otcfm", "8gaussians")
    steps = range(4, 8)
    examples = [pooled.example(data.train, step, 32, 0, stream()) for step in steps]
    x1 = torch.cat([data.train.batch(step, 32, 0).x for step in steps])
    ends = torch.cat([e.x + (1 - e.t[:, None]) * e.velocity for e in examples])
    assert_close(ends, x1)
    x0 = ends - torch.cat([e.velocity for e in examples])
    again = MinibatchOT()(x0, x1, None, stream()).x0
    assert_close(again, x0)  # no permutation of the pool is better
    assert torch.equal(pooled.example(data.train, 6, 32, 0, stream()).x, examples[2].x)  # as after an interruption
    costs = []
    for model in (pooled, plain):
        drawn = [model.example(data.train, step, 32, 0, stream()) for step in range(40)]
        costs.append(torch.cat([e.velocity.square().sum(1) for e in drawn]).mean())
    assert costs[0] < costs[1]


def test_plain_transport_skews_the_noise_of_a_class_and_c2ot_does_not():
    label = torch.arange(600) % 2
    x1 = torch.randn(600, 2) + torch.tensor([[-3.0, 0.0], [3.0, 0.0]])[label]
    x0 = torch.randn(600, 2)
    means = {}
    for mismatch in (0.0, 1e8, None):
        paired = MinibatchOT(mismatch=mismatch)(x0, x1, label, stream()).x0
        means[mismatch] = paired[label == 1, 0].mean().item()
    assert means[0.0] > 0.6  # the noise of class 1 is the half plane on its side: its mean is sqrt(2 / pi)
    assert abs(means[1e8]) < 0.15
    assert means[1e8] == pytest.approx(means[None], abs=1e-5)


def test_data_with_conditions_are_paired_within_classes():
    label = torch.arange(400) % 2
    c = torch.rand(400, 1)
    x1 = torch.cat([6.0 * label[:, None] - 3 + torch.randn(400, 1), c], 1)
    x0 = torch.cat([torch.randn(400, 1), c], 1)
    paired = MinibatchOT(conditions=1)(x0, x1, label, stream()).x0
    for value in (0, 1):
        assert_close(paired[label == value].sort(0).values, x0[label == value].sort(0).values)


def conditioned(n, levels=0):
    """Return noise and data around (3 c, 0) with the condition c as the last coordinate, of so many equal values."""
    c = torch.linspace(-1, 1, n)[torch.randperm(n), None] if not levels else torch.randint(levels, (n, 1)).float()
    x1 = torch.cat([3 * c + 0.3 * torch.randn(n, 1), torch.randn(n, 1)], 1)
    return torch.cat([torch.randn(n, 2), c], 1), torch.cat([x1, c], 1)


def test_without_weight_real_conditions_do_not_count_and_with_a_large_one_pairs_are_of_equal_conditions():
    x0, x1 = conditioned(200)
    assert_close(MinibatchOT(mismatch=0.0, conditions=1)(x0, x1, None, stream()).x0[:, :2], plain(x0, x1))
    assert_close(MinibatchOT(mismatch=1e9, conditions=1)(x0, x1, None, stream()).x0, x0)  # no two are equal
    x0, x1 = conditioned(200, levels=3)
    paired = MinibatchOT(mismatch=1e9, conditions=1)(x0, x1, None, stream()).x0
    assert torch.equal(paired[:, 2], x1[:, 2])
    for c in range(3):
        rows = x1[:, 2] == c
        assert_close(paired[rows, :2], plain(x0[rows], x1[rows]))


def plain(x0, x1):
    return MinibatchOT()(x0[:, :2], x1[:, :2], None, stream()).x0


def test_plain_transport_makes_noise_depend_on_a_real_condition_and_c2ot_hardly_does():
    x0, x1 = conditioned(500)
    dependence, cost = {}, {}
    for mismatch in (0.0, None, 1e9):
        paired = MinibatchOT(mismatch=mismatch, conditions=1)(x0, x1, None, stream()).x0
        dependence[mismatch] = abs(torch.corrcoef(torch.stack([paired[:, 0], x1[:, 2]]))[0, 1].item())
        cost[mismatch] = (paired - x1)[:, :2].square().sum(1).mean().item()
    assert dependence[0.0] > 0.9
    assert dependence[None] < dependence[0.0] / 2
    assert dependence[1e9] < 0.1
    assert cost[0.0] < cost[None] < cost[1e9]


def test_the_weight_lets_a_fifth_of_all_pairs_improve_on_the_pairs_as_drawn():
    x0, x1 = conditioned(100)
    cost, between = (
        torch.cdist(a.double(), b.double()).square() for a, b in ((x0[:, :2], x1[:, :2]), (x0[:, 2:], x1[:, 2:]))
    )
    weight = weight_of_conditions(cost, between)
    allowed = (cost + weight * between <= cost.diagonal()).double().mean().item()
    assert allowed == pytest.approx(0.2, abs=0.001)
    assert 0 <= weight_of_conditions(cost, torch.zeros_like(between)) < math.inf


@pytest.mark.parametrize("n", [1, 2, 3])
def test_small_batches_with_conditions_are_paired(n):
    x0, x1 = torch.randn(n, 3), torch.randn(n, 3)
    pairs = MinibatchOT(conditions=1)(x0, x1, None, stream())
    assert sorted(pairs.x0.tolist()) == sorted(x0.tolist())


def test_a_model_keeps_the_conditions_of_its_noise(built):
    for name, settings in (
        ("otcfm", {}),
        ("sdcfm", {"points": 64, "tolerance": 0.5}),
        ("wcfm", {}),
        ("meanflow", {"coupling": "ot"}),
        ("sbcfm", {}),
    ):
        model, data = built(name, "branches", **settings)
        model.prepare(data, 0)
        example = model.example(model.batch_source(data), 0, 64, 0, stream())
        assert (example.velocity[:, 2] == 0).all()
        assert (example.x[:, 2].abs() <= 1).all()
        noise = data.source.sample(32, stream())
        assert torch.equal(model.sample(noise).x[:, 2], noise[:, 2])


def test_settings_that_do_not_apply_are_refused(built):
    with pytest.raises(ConfigError, match="conditional"):
        built("otcfm", "moons", mismatch=1.0)
    with pytest.raises(ConfigError, match=r"need model\.plan=exact"):
        built("otcfm", "moons", plan="sinkhorn", pool=2)


@pytest.mark.parametrize("reg", [0.1, 1.0, 1000.0])
def test_sinkhorn_correlation_of_gaussians_is_the_closed_form(reg):
    rho, quantiles = gaussian_plan(reg, 1000)
    paired = Sinkhorn(reg=reg)(quantiles, quantiles, None, stream()).x0
    assert (paired * quantiles).mean().item() == pytest.approx(rho, abs=0.08)


@pytest.mark.parametrize(("reg", "scale"), [(1e-6, 100.0), (1.0, math.nan)])
def test_sinkhorn_without_convergence_is_an_error(reg, scale, monkeypatch):
    monkeypatch.setattr(minibatch_ot, "STEPS", 100)
    with pytest.raises(RunFailed, match=r"raise model\.reg"):
        Sinkhorn(reg=reg)(torch.randn(8, 2) * scale, torch.randn(8, 2), None, stream())


def test_a_warning_of_another_thread_is_no_error(monkeypatch):
    """Pairs are drawn in a thread; filters of warnings are those of all threads."""
    sinkhorn = pot("bregman").sinkhorn

    def beside(*args, **settings):
        warnings.warn("of another thread", stacklevel=1)
        return sinkhorn(*args, **settings)

    monkeypatch.setattr(pot("bregman"), "sinkhorn", beside)
    with pytest.warns(UserWarning, match="of another thread"):
        Sinkhorn(reg=1.0)(torch.randn(8, 2), torch.randn(8, 2), None, stream())
