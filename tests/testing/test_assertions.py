"""Assertions of the conformance tests: each lets pass what conforms, and names what does not."""

import pytest
import torch

from genbench.testing import assertions


def test_equality_is_up_to_the_scale_and_of_the_same_shape():
    big = torch.tensor([1000.0, 1.0])
    assertions.assert_equal(big, big + 0.5, "close", tolerance=1e-3)
    with pytest.raises(AssertionError, match=r"far: they differ by 0\.5"):
        assertions.assert_equal(big, big + 0.5, "far", tolerance=1e-4)
    with pytest.raises(AssertionError, match=r"shapes \(2,\) and \(1, 2\)"):
        assertions.assert_equal(big, big[None], "shaped")
    with pytest.raises(AssertionError):
        assertions.assert_equal(big, big * float("nan"), "no number", tolerance=1.0)
    assertions.assert_equal(torch.zeros(0), torch.zeros(0), "empty")


def test_a_builder_needs_a_docstring_and_a_meaning_for_every_setting():
    def bare(*, width: int = 1): ...

    def half(*, width: int = 1):
        """Build."""

    def whole(*, width: int = 1):
        """Build.

        Args:
            width: of a layer.
        """

    assertions.assert_documented(whole, "whole")
    for builder, message in ((bare, "bare has no docstring"), (half, r"half\.width has no meaning")):
        with pytest.raises(AssertionError, match=message):
            assertions.assert_documented(builder, builder.__name__)
    with pytest.raises(AssertionError, match="must say why"):
        assertions.reason_of(ValueError(), "x")
