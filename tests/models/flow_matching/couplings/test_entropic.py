import pytest
import torch
from helpers.toy_flows import gaussian_plan, stream
from torch.testing import assert_close

from genbench.models.flow_matching.couplings.entropic import Entropic, EntropicSettings

SPREAD = 2.0
"""Spread of the cost between two samples of N(0, 1)."""


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 100.0])
def test_the_correlation_of_gaussians_is_the_closed_form(epsilon):
    rho, quantiles = gaussian_plan(epsilon * SPREAD, 1500)
    pairs = Entropic(EntropicSettings(epsilon=epsilon))(quantiles, quantiles, None, stream())
    assert float((pairs.x0 * quantiles).mean()) == pytest.approx(rho, abs=0.08)
    assert torch.equal(pairs.weight, torch.ones(1500))
    assert float(pairs.tilt[:, 0].mean()) < 1e-4


def test_a_penalty_leaves_out_what_is_far_away_and_states_the_tilt():
    near, far = torch.randn(180, 2), torch.randn(20, 2) + 40
    x0, x1 = torch.randn(200, 2), torch.cat([near, far])
    balanced, unbalanced = (
        Entropic(EntropicSettings(epsilon=0.05, penalty=penalty))(x0, x1, None, stream()) for penalty in (None, 0.5)
    )
    assert_close(balanced.weight, torch.ones(200))
    assert float(unbalanced.weight.mean()) == pytest.approx(1)
    assert float(unbalanced.weight[180:].max()) < 1e-3 < 0.5 < float(unbalanced.weight[:180].min())
    data_tilt = (unbalanced.weight - 1).square().mean()
    assert_close(unbalanced.tilt[:, 1].mean(), data_tilt)
    assert float(data_tilt) == pytest.approx(0.1 / 0.9, rel=0.1)  # weight 1 / 0.9 on nine tenths of the data


def test_a_small_penalty_leaves_finite_weights_in_many_dimensions():
    """All masses were 0 in float32, and the weights 0 / 0."""
    x0, x1 = torch.randn(32, 3072), torch.randn(32, 3072) / 2
    weight = Entropic(EntropicSettings(penalty=0.1))(x0, x1, None, stream()).weight
    assert weight.isfinite().all()
    assert weight.mean().item() == pytest.approx(1)


def test_pairs_are_of_one_class():
    label = torch.arange(100) % 3
    x0, x1 = torch.randn(2, 100, 2) + 10 * label[:, None]
    pairs = Entropic(EntropicSettings(epsilon=5.0))(x0, x1, label, stream())
    assert torch.equal((pairs.x0[:, 0] / 10).round(), label.float())
    assert len(pairs.x0.unique(dim=0)) < 100  # drawn, with replacement


def test_a_model_pools_its_batches_and_logs_their_tilt(built):
    model, data = built("eotcfm", "8gaussians", pool=4, epsilon=0.5)
    assert model.coupling.pool == 4
    logged = model.loss(model.example(data.train, 6, 32, 0, stream()))
    assert {"source_tilt", "data_tilt", "ess"} <= logged.keys()


@pytest.mark.parametrize("penalty", [None, 1.0])
@pytest.mark.parametrize("label", [None, torch.arange(2), torch.zeros(2, dtype=torch.int64)])
def test_single_and_equal_points_are_paired(penalty, label):
    coupling = Entropic(EntropicSettings(penalty=penalty))
    x0, x1 = torch.randn(2, 2, 3)
    for data in (x1, torch.ones(2, 3)):
        pairs = coupling(x0, data, label, stream())
        assert torch.isfinite(pairs.weight).all()
        assert {tuple(row) for row in pairs.x0.tolist()} <= {tuple(row) for row in x0.tolist()}
    alone = coupling(x0[:1], x1[:1], None, stream())
    assert torch.equal(alone.x0, x0[:1])
    assert_close(alone.weight, torch.ones(1))
