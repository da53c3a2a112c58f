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


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_named(bad):
    assertions.assert_finite(torch.ones(3), "x")
    with pytest.raises(AssertionError, match="x must be finite"):
        assertions.assert_finite(torch.tensor([1.0, bad]), "x")


def test_draws_from_the_global_state_are_noticed():
    with assertions.no_global_randomness("own"):
        torch.rand(3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(AssertionError, match="the block must not draw"), assertions.no_global_randomness("the block"):
        torch.rand(1)


def test_changes_of_parameters_and_buffers_are_noticed():
    norm = torch.nn.BatchNorm1d(2)
    with assertions.state_unchanged(norm.eval(), "evaluation"):
        norm(torch.randn(4, 2))
    with (
        pytest.raises(AssertionError, match="training must be pure, and changes 'running_mean'"),
        assertions.state_unchanged(norm.train(), "training"),
    ):
        norm(torch.randn(4, 2))


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
