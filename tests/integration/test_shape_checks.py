"""Types and shapes in signatures are checked in tests, by jaxtyping's import hook."""

import pytest
import torch

from genbench.metrics.image.frechet import Moments
from genbench.numerics.weighted_pairs import relative_ess


def test_the_functions_of_genbench_are_checked():
    with pytest.raises(TypeError, match="Type-check error"):
        Moments.of(3, torch.ones(2).double(), torch.eye(3).double())
    for _ in range(10):
        relative_ess(torch.ones(3))
    for wrong in ([1.0], torch.ones(3, 3)):  # another shape is checked, however often there was a call
        with pytest.raises(TypeError, match="Type-check error"):
            relative_ess(wrong)
