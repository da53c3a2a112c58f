"""Small classifiers whose weights ship with genbench: the same features on every machine.

`python benchmarks/features/train.py NAME` made the weights.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from genbench.core import Batch, Data
from genbench.data.digits import CLASSES, STYLES
from genbench.errors import Unsupported
from genbench.metrics.extractors.feature_extractor import FeatureExtractor
from genbench.registry import extractors
from genbench.space import Pixels
from genbench.storage import tensors

FEATURES = 64

NETWORKS: dict[str, dict[str, Any]] = {
    "digits_cnn": {
        "sha256": "c26ad11de417d1438cb6efa6dd6812077c9e919fcc234edf984e94707873a76d",
        "shape": (1, 8, 8),
        "levels": 17,
        "classes": 10,
        "stages": ((32, 64),),
    },
    "mnist5k_cnn": {
        "sha256": "9e0a1b37edd6554fc300b9ded91a5c8474a0762b6480023450ffa3a6ab3ccb96",
        "shape": (1, 28, 28),
        "levels": 256,
        "classes": 10,
        "stages": ((16,), (32,), (64,)),
    },
    "captions_cnn": {
        "sha256": "287cb41a68cb36f9f0131edc93df92eceb4a6a5b8276e00ed247e5302e160d90",
        "shape": (1, 8, 8),
        "levels": 17,
        "classes": 30,
        "stages": ((32, 64),),
    },
}

LOOKS = tuple(STYLES)
SIZES = {"class": len(CLASSES), "look": len(LOOKS)}
"""Number of values of each attribute of captions; the look varies fastest over the 30 combinations."""


class Classifier(FeatureExtractor):
    """Stages of 3x3 convolutions, each ended by max pooling; a layer of 64 features; logits.

    Args:
        name: name of the classifier and of the file of its weights.
        levels: number of gray levels.
        stages: widths of the convolutions of each stage.
    """

    test_accuracy: float
    """Share of the test images that the classifier gets right."""

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
        """Return the layer before the logits, with a gradient."""
        return self.body(images.to(self.head.weight.dtype) / (self.levels - 1))

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.features(images)

    def logits(self, features: Float[Tensor, "b k"]) -> Float[Tensor, "b classes"]:
        return self.head(features)

    @torch.no_grad()
    def probabilities(self, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        """Return the probability of each class."""
        return torch.cat([self.logits(self.features(batch)).softmax(1) for batch in images.split(256)])

    def accuracy(self, images: UInt8[Tensor, "n c h w"], label: Int[Tensor, " n"]) -> float:
        """Return the share of images that the classifier gets right."""
        return float((self.probabilities(images).argmax(1) == label).double().mean())

    def load(self) -> "Classifier":
        """Load the weights that ship with genbench, and compute in float64 so that no number depends on the batch.

        Raises:
            RunFailed: if the file is damaged.
        """
        self.load_state_dict(tensors.shipped("genbench.metrics.image", self.name, self.sha256))
        return self.double().eval().requires_grad_(False)


def blank(name: str) -> Classifier:
    """Return a classifier without its weights."""
    return Classifier(name, **NETWORKS[name])


def raw_images(data: Data, name: str) -> Batch:
    """Return the raw images of the training or the test split with their labels.

    Raises:
        Unsupported: if the data is generated on the fly.
    """
    split = data.train if name == "train" else data.test
    if split.size is None:
        raise Unsupported("a classifier needs a finite training and test split")
    batch = split.take(split.size, 0)
    return Batch(data.space.decode(batch.x), batch.label)


@extractors.register("digits_cnn", version=2)
@lru_cache(maxsize=4)
def digits_cnn(data: Data) -> Classifier:
    """A small classifier of 8x8 digits, with shipped weights from the training split of `digits`: 64 features."""
    if data.captions is not None:
        raise Unsupported("the classifier digits_cnn is not for captions; captions_cnn is")
    return _suited("digits_cnn", data, raw_images, least=0.97)


@extractors.register("mnist5k_cnn", version=1)
@lru_cache(maxsize=4)
def mnist5k_cnn(data: Data) -> Classifier:
    """A small classifier of 28x28 digits, with shipped weights from 4,500 images of MNIST: 64 features."""
    return _suited("mnist5k_cnn", data, raw_images, least=0.97)


def digit_classifier(data: Data) -> Classifier:
    """Return the classifier for the size of the images. Raises Unsupported if there is none."""
    return (mnist5k_cnn if data.event.shape == (1, 28, 28) else digits_cnn)(data)


class CaptionClassifier(NamedTuple):
    """A classifier of the combinations of class and look.

    Args:
        accuracy: {attribute, or "both": share of test images on which it is right}, all images in all looks.
    """

    classifier: Classifier
    accuracy: Mapping[str, float]

    def predict(self, images: UInt8[Tensor, "n 1 8 8"]) -> dict[str, Int[Tensor, " n"]]:
        """Return the value of each attribute with the largest marginal probability."""
        return marginal_argmax(self.classifier.probabilities(images), SIZES)


@lru_cache(maxsize=4)
def caption_classifier(data: Data) -> CaptionClassifier:
    """Return the classifier of a captioned data set.

    It was trained on the plain images of the training split of `digits` in every look. It learned combinations that
    the captions may lack, but only from images that models also train on.

    Raises:
        Unsupported: if the data is not captioned 8x8 digits, or the classifier does not recognize them.
    """
    if data.captions is None:
        raise Unsupported("its labels are not captions")
    attributes = data.captions.attributes
    if dict(attributes) != {"class": CLASSES, "look": LOOKS}:
        raise Unsupported(
            f"no classifier recognizes {' and '.join(attributes)}; captions_cnn recognizes class and look"
        )
    classifier = _suited("captions_cnn", data, in_every_look, least=0.95)
    test = in_every_look(data, "test")
    predicted = marginal_argmax(classifier.probabilities(test.x), SIZES)
    expected = {"class": test.label // len(LOOKS), "look": test.label % len(LOOKS)}
    correct = {name: predicted[name] == expected[name] for name in SIZES}
    correct["both"] = correct["class"] & correct["look"]
    return CaptionClassifier(classifier, {name: float(each.double().mean()) for name, each in correct.items()})


def marginal_argmax(
    probability: Float[Tensor, "n combinations"], sizes: Mapping[str, int]
) -> dict[str, Int[Tensor, " n"]]:
    """Return the most probable value of each of two attributes, summed over the other one."""
    table = probability.unflatten(1, tuple(sizes.values()))
    return {name: table.sum(2 - axis).argmax(1) for axis, name in enumerate(sizes)}


def in_every_look(data: Data, split: str) -> Batch:
    """Return the plain images of a split in every look, labeled by the combination of class and look."""
    assert data.captions is not None
    images = raw_images(data, split)
    kind, look = (torch.tensor(data.captions.values[name])[images.label] for name in SIZES)
    plain = look == LOOKS.index("plain")
    x = [STYLES[name](images.x[plain]) for name in LOOKS]
    label = [kind[plain] * len(LOOKS) + i for i in range(len(LOOKS))]
    return Batch(torch.cat(x), torch.cat(label))


def _suited(name: str, data: Data, images: Callable[[Data, str], Batch], *, least: float) -> Classifier:
    """Return a trained classifier. Raises Unsupported if it is for other images, or its accuracy is too low."""
    net = blank(name)
    if data.event.shape != net.shape or data.space != Pixels(net.levels):
        size = "x".join(map(str, net.shape[1:]))
        raise Unsupported(f"the classifier {name} is for labeled {size} images of {net.levels} levels")
    test = images(data, "test")
    net.test_accuracy = right = net.load().accuracy(test.x, test.label)
    if right < least:
        raise Unsupported(f"the classifier {name} classifies only {right:.1%} of the test images correctly")
    return net
