import torch
from helpers.toy_flows import stream
from torch.testing import assert_close

from genbench.models.flow_matching.couplings.base import Independent


def test_independent_changes_nothing():
    x0, x1 = torch.randn(2, 10, 2)
    pairs = Independent()(x0, x1, None, stream())
    assert_close(pairs.x0, x0)
    assert_close(pairs.weight, torch.ones(10))
