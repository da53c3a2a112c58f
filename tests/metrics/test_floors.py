import pytest
import torch

from genbench.metrics.evaluation import Evaluation
from genbench.metrics.floors import real_vs_real
from genbench.registry import datasets, metrics
from genbench.seeds import derive


def test_the_floor_is_the_metric_of_training_samples():
    moons = datasets["moons"].build()
    real = moons.train.take(64, derive(5, "floor")).x
    expected = metrics["sliced_w2"].build(Evaluation(moons, 5, x=real)).value
    assert real_vs_real(moons, "sliced_w2", (), 5, 64) == {"": pytest.approx(expected)}


def test_a_metric_without_a_value_has_no_floor():
    moons = datasets["moons"].build()
    assert real_vs_real(moons, "kid", (), 5, 64) == {}


def test_of_few_training_samples_all_are_used():
    digits = datasets["digits"].build()
    assert real_vs_real(digits, "norm", (), 0, 5000) == real_vs_real(digits, "norm", (), 0, 1197)
    lengths = digits.train.take(1197, 0).x.flatten(1).norm(dim=1)
    torch.testing.assert_close(real_vs_real(digits, "norm", (), 0, 5000)[""], float(lengths.double().mean()))
