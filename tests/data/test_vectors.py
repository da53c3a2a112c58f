"""Tasks on vectors: what they measure by default, their units, and that no draw is used twice."""

import torch

from genbench.core import Batch, Normal, Truth
from genbench.data.vectors import unlabeled, vectors
from genbench.registry import metrics


def draw(n, generator):
    return Batch(torch.randn(n, 3, generator=generator), torch.zeros(n, dtype=torch.long))


def stratified(n, generator):
    return Batch(torch.ones(n, 3), torch.arange(n) % 2)


def test_a_task_of_several_modes_measures_their_coverage_too():
    one = vectors("it", draw, dims=3)
    several = vectors("it", draw, dims=3, truth=Truth(modes=torch.zeros(2, 3)))
    assert set(several.metrics) - set(one.metrics) == {"mode_coverage"}
    assert vectors("it", draw, dims=3, truth=Truth(modes=torch.zeros(1, 3))).metrics == one.metrics
    assert all(name in metrics for name in several.metrics)
    assert one.source == Normal((3,))


def test_only_evaluation_is_stratified():
    data = vectors("it", draw, dims=3, classes=2, stratified=stratified)
    assert torch.equal(data.test.take(6, 0).x, torch.ones(6, 3))
    assert torch.equal(data.valid.take(6, 0).label, torch.arange(6) % 2)
    assert not torch.equal(data.train.take(6, 0).x, torch.ones(6, 3))
    assert not torch.equal(data.train.batch(0, 6, 0).x, data.train.batch(1, 6, 0).x)


def test_raw_data_is_in_the_units_of_the_data():
    data = vectors("it", draw, dims=3, scale=5.0)
    x = data.test.take(4, 0).x
    torch.testing.assert_close(data.space.decode(x), 5 * x)


def test_data_without_classes_has_the_label_zero():
    x = torch.randn(4, 2)
    assert torch.equal(unlabeled(x).x, x)
    assert not unlabeled(x).label.any()
