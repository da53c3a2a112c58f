"""A small classifier of captioned 8x8 digits: of their class and their look, in all combinations."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from genbench.core import Batch, Data
from genbench.data.digits import STYLES
from genbench.errors import Unsupported
from genbench.metrics.classifiers.classifier import Classifier, raw_images

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LOOKS = ("plain", "inverted", "thick")
SIZES = {"class": len(CLASSES), "look": len(LOOKS)}
"""Number of values of each attribute; the look varies fastest over the 30 combinations."""
MIN_ACCURACY = 0.95
"""Smallest accuracy that is accepted: on test images, of class and look together."""


@dataclass(frozen=True, eq=False)
class CaptionClassifier:
    """The classifier of combinations of class and look.

    Args:
        classifier: its classes are the combinations.
        accuracy: {attribute, or "both": share of test images on which it is right}, all images in all looks.
    """

    classifier: Classifier
    accuracy: Mapping[str, float]

    def predict(self, images: UInt8[Tensor, "n 1 8 8"]) -> dict[str, Int[Tensor, " n"]]:
        """Return the most probable value of each attribute, marginally."""
        return marginal_argmax(self.classifier.probabilities(images), SIZES)


def blank_captions_cnn() -> Classifier:
    """Return the network of `captions_cnn`, without its weights."""
    sha256 = "287cb41a68cb36f9f0131edc93df92eceb4a6a5b8276e00ed247e5302e160d90"
    return Classifier("captions_cnn", sha256, shape=(1, 8, 8), levels=17, classes=30, stages=((32, 64),))


@lru_cache(maxsize=4)
def caption_classifier(data: Data) -> CaptionClassifier:
    """Return the classifier of a captioned data set; its weights ship with genbench.

    It was trained on the plain images of the training split of `digits` in every look. So it knows combinations that
    captions may lack, but has seen no other image than the models do.

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
    net = blank_captions_cnn()
    net.check_images(data)
    test = in_every_look(data, "test")
    classifier = net.load().suited_to(test, MIN_ACCURACY)
    predicted = marginal_argmax(classifier.probabilities(test.x), SIZES)
    expected = {"class": test.label // len(LOOKS), "look": test.label % len(LOOKS)}
    correct = {name: predicted[name] == expected[name] for name in SIZES}
    correct["both"] = correct["class"] & correct["look"]
    accuracy = {name: float(each.double().mean()) for name, each in correct.items()}
    return CaptionClassifier(classifier, accuracy)


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
