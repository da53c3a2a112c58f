import math

import pytest
import torch
from torch.testing import assert_close

from genbench.models.flow_matching.couplings.minibatch_ot import MinibatchOT


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
