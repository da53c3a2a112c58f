"""Small classifiers whose weights ship with genbench: the same features on every machine.

`python benchmarks/features/train.py NAME` made the weights.
"""

from functools import lru_cache
from itertools import pairwise

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from genbench.core import Batch, Data
from genbench.errors import Unsupported
from genbench.metrics.extractors.feature_extractor import FeatureExtractor
from genbench.registry import extractors
from genbench.space import Pixels
from genbench.storage import tensors

FEATURES = 64

MIN_DIGIT_ACCURACY = 0.97
"""Smallest accuracy of a classifier of digits that is accepted, on test images."""


class Classifier(FeatureExtractor):
    """Stages of 3x3 convolutions, each ended by max pooling; a layer of 64 features; logits.

    Args:
        name: name of the classifier and of the file of its weights.
        levels: number of gray levels.
        stages: widths of the convolutions of each stage.
    """

    test_accuracy: float
    """Share of the test images that it classifies as labeled, set by `suited_to`."""

    def __init__(
        self,
        name: str,
        sha256: str,
        *,
        shape: tuple[int, int, int],
        levels: int,
        classes: int,
        stages: tuple[tuple[int, ...], ...],
    ) -> None:
        super().__init__(name, sha256, "none", FEATURES)
        self.shape, self.levels = shape, levels
        layers: list[nn.Module] = []
        channels, height, width = shape
        for stage in stages:
            # GELU rather than ReLU: a unit that is never active would make every covariance singular.
            for inner, outer in pairwise((channels, *stage)):
                layers += [nn.Conv2d(inner, outer, 3, padding=1), nn.GELU()]
            layers.append(nn.MaxPool2d(2))
            channels, height, width = stage[-1], height // 2, width // 2
        layers += [nn.Flatten(), nn.Linear(channels * height * width, FEATURES), nn.GELU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(FEATURES, classes)

    def features(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Return the layer before the logits."""
        return self.body(images.to(self.head.weight.dtype) / (self.levels - 1))

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Return the features of each image, independent of the batch."""
        return self.features(images)

    def logits(self, features: Float[Tensor, "b k"]) -> Float[Tensor, "b classes"]:
        """Return the class logits of features."""
        return self.head(features)

    @torch.no_grad()
    def probabilities(self, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        """Return the probability of each class."""
        return torch.cat([self.logits(self.features(batch)).softmax(1) for batch in images.split(256)])

    def accuracy(self, images: UInt8[Tensor, "n c h w"], label: Int[Tensor, " n"]) -> float:
        """Return the share of images that it classifies as labeled."""
        return float((self.probabilities(images).argmax(1) == label).double().mean())

    def load(self) -> "Classifier":
        """Load the weights that ship with genbench, and compute in float64 so that no number depends on the batch.

        Raises:
            RunFailed: if the file is damaged.
        """
        self.load_state_dict(tensors.shipped("genbench.metrics.classifiers", self.name, self.sha256))
        return self.double().eval().requires_grad_(False)

    def check_images(self, data: Data) -> None:
        """Raise Unsupported unless images are of its shape and levels."""
        if data.event.shape != self.shape or data.space != Pixels(self.levels):
            size = "x".join(map(str, self.shape[1:]))
            raise Unsupported(f"the classifier {self.name} is for labeled {size} images of {self.levels} levels")

    def suited_to(self, test: Batch, least: float) -> "Classifier":
        """Return itself. Raises Unsupported if its accuracy on raw test images is less than `least`."""
        self.test_accuracy = right = self.accuracy(test.x, test.label)
        if right < least:
            raise Unsupported(f"the classifier {self.name} is right on {right:.1%} of the test images only")
        return self


def raw_images(data: Data, name: str) -> Batch:
    """Return the raw images of the training or the test split with their labels.

    Raises:
        Unsupported: if the split has no end.
    """
    split = data.train if name == "train" else data.test
    if split.size is None:
        raise Unsupported("a classifier needs a finite training and test split")
    batch = split.take(split.size, 0)
    return Batch(data.space.decode(batch.x), batch.label)


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
    return net.load().suited_to(raw_images(data, "test"), MIN_DIGIT_ACCURACY)
