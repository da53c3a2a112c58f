"""Classifiers of digits: extractors of features, and of classes."""

from functools import lru_cache

from genbench.core import Data
from genbench.errors import Unsupported
from genbench.metrics.classifiers.classifier import Classifier, raw_images
from genbench.registry import extractors

MIN_ACCURACY = 0.97


def blank_digits_cnn() -> Classifier:
    """Return the network of `digits_cnn`, without its weights."""
    sha256 = "c26ad11de417d1438cb6efa6dd6812077c9e919fcc234edf984e94707873a76d"
    return Classifier("digits_cnn", sha256, shape=(1, 8, 8), levels=17, classes=10, stages=((32, 64),))


def blank_mnist5k_cnn() -> Classifier:
    """Return the network of `mnist5k_cnn`, without its weights."""
    sha256 = "9e0a1b37edd6554fc300b9ded91a5c8474a0762b6480023450ffa3a6ab3ccb96"
    stages = ((16,), (32,), (64,))
    return Classifier("mnist5k_cnn", sha256, shape=(1, 28, 28), levels=256, classes=10, stages=stages)


@extractors.register("digits_cnn", version=2)
@lru_cache(maxsize=4)
def digits_cnn(data: Data) -> Classifier:
    """A small classifier of 8x8 digits, trained on its training split, with shipped weights: 64 features."""
    if data.captions is not None:
        raise Unsupported("the classifier digits_cnn is not for captions; captions_cnn is")
    return _suited(blank_digits_cnn(), data)


@extractors.register("mnist5k_cnn", version=1)
@lru_cache(maxsize=4)
def mnist5k_cnn(data: Data) -> Classifier:
    """A small classifier of 28x28 digits, trained on 4,500 images of MNIST, with shipped weights: 64 features."""
    return _suited(blank_mnist5k_cnn(), data)


def digit_classifier(data: Data) -> Classifier:
    """Return the classifier for the size of the images. Raises Unsupported if there is none."""
    return (mnist5k_cnn if data.event.shape == (1, 28, 28) else digits_cnn)(data)


def _suited(net: Classifier, data: Data) -> Classifier:
    net.check_images(data)
    return net.load().suited_to(raw_images(data, "test"), MIN_ACCURACY)
