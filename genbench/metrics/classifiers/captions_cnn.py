"""A small classifier of captioned 8x8 digits: of their class and their look, in all combinations."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float64, Int, UInt8
from torch import Tensor

from genbench.core import Batch, Data
from genbench.data.transforms import TRANSFORMS
from genbench.errors import Unsupported
from genbench.metrics.classifiers.digits_cnn import (
    LEVELS,
    SHAPE,
    Classifier,
    Recipe,
    raw_images,
    require_accuracy,
    trained_classifier,
)
from genbench.space import Pixels

RECIPE = Recipe("captions_cnn", version=1, epochs=25)
MIN_ACCURACY = 0.95
"""On test images, of class and look together."""


@dataclass(frozen=True, eq=False)
class CaptionClassifier:
    """The classifier of combinations, and the attributes that each is composed of.

    Args:
        classifier: of combinations, one class each.
        sizes: number of values of each attribute; the last attribute varies fastest over combinations.
        accuracy: {attribute, or "both": share of test images on which it is right}, all images in all looks.
    """

    classifier: Classifier
    sizes: Mapping[str, int]
    accuracy: Mapping[str, float]

    def predict(self, images: UInt8[Tensor, "n 1 8 8"]) -> dict[str, Int[Tensor, " n"]]:
        """Return the most probable value of each attribute, marginally."""
        return marginal_argmax(self.classifier.probabilities(images), self.sizes)


@lru_cache(maxsize=4)
def caption_classifier(data: Data) -> CaptionClassifier:
    """Return the classifier of a captioned data set, trained once in a quarter of a minute.

    It is trained on the plain images of the training split in every look. So it knows combinations that the captions
    of that split lack, but sees no other image than the models do.

    Raises:
        Unsupported: if the data is not captioned 8x8 digits, or the classifier does not learn them.
    """
    if data.captions is None:
        raise Unsupported("its labels are not captions")
    attributes = data.captions.attributes
    if set(attributes) != {"class", "look"} or not set(attributes["look"]) <= set(TRANSFORMS):
        raise Unsupported(f"no classifier tells {' and '.join(attributes)} apart; captions_cnn is for class and look")
    if data.event.shape != SHAPE or data.space != Pixels(LEVELS):
        raise Unsupported("the classifier captions_cnn is for 8x8 images of 17 levels")
    sizes = {name: len(attributes[name]) for name in ("class", "look")}
    train, test = (_in_every_look(data, split) for split in ("train", "test"))
    classifier = require_accuracy(trained_classifier(RECIPE, train, test, sizes["class"] * sizes["look"]), MIN_ACCURACY)
    predicted = marginal_argmax(classifier.probabilities(test.x), sizes)
    expected = {"class": test.label // sizes["look"], "look": test.label % sizes["look"]}
    correct = {name: predicted[name] == expected[name] for name in sizes}
    correct["both"] = correct["class"] & correct["look"]
    accuracy = {name: float(each.double().mean()) for name, each in correct.items()}
    return CaptionClassifier(classifier, sizes, accuracy)


def marginal_argmax(
    probability: Float64[Tensor, "n combinations"], sizes: Mapping[str, int]
) -> dict[str, Int[Tensor, " n"]]:
    """Return the most probable value of each of two attributes, summed over the other one."""
    table = probability.unflatten(1, tuple(sizes.values()))
    return {name: table.sum(2 - axis).argmax(1) for axis, name in enumerate(sizes)}


def _in_every_look(data: Data, split: str) -> Batch:
    """Return the plain images of a split in every look, labeled by the combination of class and look."""
    assert data.captions is not None
    images = raw_images(data, split)
    kind, look = (torch.tensor(data.captions.values[name])[images.label] for name in ("class", "look"))
    looks = data.captions.attributes["look"]
    plain = look == looks.index("plain")
    x = [TRANSFORMS[name](images.x[plain], LEVELS - 1) for name in looks]
    label = [kind[plain] * len(looks) + i for i in range(len(looks))]
    return Batch(torch.cat(x), torch.cat(label))
