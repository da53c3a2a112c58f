import pytest

from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure


def test_class_balance_and_accuracy_follow_the_classes_of_the_samples(digits, digit_samples):
    def values(x, label=None):
        rows = measure(Evaluation(digits, 0, x=x, label=label), "class_balance", {}, True)
        return {row["metric"]: row["value"] for row in rows}

    x, label = digit_samples
    assert values(x) == pytest.approx({"class_balance": 0.96}, abs=0.03)
    whole = digits.train.take(1197, 0)
    assert values(whole.x[whole.label == 1]) == pytest.approx({"class_balance": 0.1}, abs=0.02)
    assert values(x, label)["class_balance.accuracy"] > 0.98
    assert values(x, (label + 1) % 10)["class_balance.accuracy"] < 0.02


def test_the_floor_of_accuracy_is_that_of_test_images(digits):
    """The classifier was trained on the training images."""
    x, label = digits.test.take(digits.test.size, 0)
    _, row = measure(Evaluation(digits, 0, x=x, label=label), "class_balance", {}, True)
    assert row["metric"] == "class_balance.accuracy"
    assert row["floor"] == pytest.approx(row["value"], abs=1e-9)
    assert row["floor"] < 1
