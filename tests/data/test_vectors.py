"""Tasks on vectors: what they measure by default."""

import torch

from genbench.core import Batch, Normal, Truth
from genbench.data.vectors import vectors
from genbench.registry import metrics


def draw(n, generator):
    return Batch(torch.randn(n, 3, generator=generator), torch.zeros(n, dtype=torch.long))


def test_a_task_of_several_modes_measures_their_coverage_too():
    one = vectors("it", draw, dims=3)
    several = vectors("it", draw, dims=3, truth=Truth(modes=torch.zeros(2, 3)))
    assert set(several.metrics) - set(one.metrics) == {"mode_coverage"}
    assert vectors("it", draw, dims=3, truth=Truth(modes=torch.zeros(1, 3))).metrics == one.metrics
    assert all(name in metrics for name in several.metrics)
    assert one.source == Normal((3,))
