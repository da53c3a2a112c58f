"""Assertions of the conformance tests; broken models and data sets show the others."""

import pytest
import torch

from genbench.testing.assertions import assert_documented, assert_equal, state_unchanged


def test_equality_is_up_to_the_scale_and_of_the_same_shape():
    big = torch.tensor([1000.0, 1.0])
    assert_equal(big, big + 0.5, "close", tolerance=1e-3)
    with pytest.raises(AssertionError, match=r"far: they differ by 0\.5"):
        assert_equal(big, big + 0.5, "far", tolerance=1e-4)
    with pytest.raises(AssertionError, match=r"shapes \(2,\) and \(1, 2\)"):
        assert_equal(big, big[None], "shaped")
    with pytest.raises(AssertionError):
        assert_equal(big, big * float("nan"), "no number", tolerance=1.0)
    assert_equal(torch.zeros(0), torch.zeros(0), "empty")


def test_a_builder_needs_a_docstring():
    with pytest.raises(AssertionError, match="bare has no docstring"):
        assert_documented(lambda: None, "bare")


def test_a_state_may_change_in_training_only():
    norm = torch.nn.BatchNorm1d(2)
    with state_unchanged(norm.eval(), "evaluation"):
        norm(torch.randn(4, 2))
    with pytest.raises(AssertionError, match="running_mean"), state_unchanged(norm.train(), "training"):
        norm(torch.randn(4, 2))
