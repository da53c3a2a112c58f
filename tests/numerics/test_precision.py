"""Flags of float32 arithmetic on a GPU: set in a block, and restored, whatever a host program has set."""

import pytest
import torch

from genbench.numerics.precision import float32_products

pytestmark = pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch before 2.9 has other flags"
)


def flags():
    backends = torch.backends
    return [each.fp32_precision for each in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)]


@pytest.fixture
def mixed_flags():
    """A host program has set one operator; torch then refuses to read the older flag that covers two."""
    convolutions = torch.backends.cudnn.conv
    before, convolutions.fp32_precision = convolutions.fp32_precision, "ieee"
    yield
    convolutions.fp32_precision = before


@pytest.mark.parametrize("precision", ["ieee", "tf32"])
def test_all_products_have_the_precision_of_the_block_and_then_the_previous_one(precision):
    before = flags()
    with float32_products(precision):
        assert flags() == [precision] * 3
    assert flags() == before


def test_flags_that_differ_between_operators_return_after_an_error(mixed_flags):
    before = flags()
    with pytest.raises(KeyError), float32_products("tf32"):
        raise KeyError
    assert flags() == before
