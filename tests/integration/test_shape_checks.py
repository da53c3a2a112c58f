"""Types and shapes in signatures are checked in tests, by jaxtyping's import hook."""

import pytest
import torch

from genbench.metrics.image.frechet import Moments
from genbench.numerics.weighted_pairs import relative_ess


def test_the_functions_of_genbench_are_checked():
    with pytest.raises(TypeError, match="Type-check error"):
        Moments.of(3, torch.ones(2).double(), torch.eye(3).double())
    with pytest.raises(TypeError, match="Type-check error"):
        relative_ess([1.0])
