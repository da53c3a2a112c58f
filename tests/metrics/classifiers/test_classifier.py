import hashlib
from importlib.resources import files

import pytest
import torch

from genbench.errors import RunFailed
from genbench.metrics.classifiers.classifier import Classifier, raw_images
from genbench.metrics.classifiers.digit_classifiers import blank_digits_cnn, digits_cnn
from genbench.metrics.extractors.feature_extractor import extract


def test_weights_are_those_in_the_package_and_never_those_of_another_file():
    content = (files("genbench.metrics.classifiers") / "weights" / "digits_cnn.safetensors").read_bytes()
    net = blank_digits_cnn()
    assert net.sha256 == hashlib.sha256(content).hexdigest()
    assert net.load().head.weight.abs().sum() > 0
    net.sha256 = "1" * 64
    with pytest.raises(RunFailed, match="weights of digits_cnn are damaged"):
        net.load()


def test_features_do_not_depend_on_the_batch(digits, digit_samples):
    images = digits.space.decode(digit_samples.x[:40])
    cnn = digits_cnn(digits)
    alone = torch.cat([cnn(images[i : i + 1]) for i in range(40)])
    torch.testing.assert_close(extract(cnn, images), alone, rtol=1e-9, atol=1e-9)
    assert alone.shape[1] == cnn.num_features
    assert not cnn.train().training


def test_probabilities_are_those_of_the_logits(digits, digit_samples):
    images = digits.space.decode(digit_samples.x[:40])
    cnn = digits_cnn(digits)
    torch.testing.assert_close(cnn.logits(cnn(images)).softmax(1), cnn.probabilities(images))
    torch.testing.assert_close(cnn.probabilities(images).sum(1), torch.ones(40, dtype=torch.float64))


def test_accuracy_is_the_share_of_right_classes(digits):
    test = raw_images(digits, "test")
    cnn = digits_cnn(digits)
    right = cnn.accuracy(test.x, test.label)
    assert cnn.test_accuracy == right > 0.98
    predicted = cnn.probabilities(test.x).argmax(1)
    assert cnn.accuracy(test.x, predicted) == 1
    assert cnn.accuracy(test.x, (predicted + 1) % 10) == 0


def test_stages_halve_the_images():
    net = Classifier("x", "0" * 64, shape=(3, 12, 9), levels=256, classes=4, stages=((5,), (6, 7)))
    images = torch.randint(256, (2, 3, 12, 9), dtype=torch.uint8)
    assert net(images).shape == (2, 64)
    assert net.probabilities(images).shape == (2, 4)
