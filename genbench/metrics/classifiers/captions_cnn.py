"""A small classifier of what captioned 8x8 digits show: their class and their look, in all combinations."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float64, Int, UInt8
from torch import Tensor

from genbench.core import Batch, Data
from genbench.data.transforms import TRANSFORMS
from genbench.errors import Unsupported
from genbench.metrics.classifiers.digits_cnn import LEVELS, SHAPE, Classifier, Recipe, kept, whole
from genbench.space import Pixels

RECIPE = Recipe("captions_cnn", version=1, epochs=25)
ACCURACY = 0.95
"""Of class and look at once, on test images."""


@dataclass(frozen=True, eq=False)
class Judge:
    """The classifier of combinations, and what each of them is made of.

    Args:
        classifier: tells all combinations of class and look apart.
        sizes: number of values of each attribute; a combination counts through the last one fastest.
        accuracy: {attribute, or "both": share of test images on which it is right}, all images in all looks.
    """

    classifier: Classifier
    sizes: Mapping[str, int]
    accuracy: Mapping[str, float]

    def see(self, images: UInt8[Tensor, "n 1 8 8"]) -> dict[str, Int[Tensor, " n"]]:
        """Return the most probable value of each attribute, whatever the other one is."""
        probability = torch.cat([self.classifier.probabilities(part) for part in images.split(256)])
        return seen(probability, self.sizes)


@lru_cache(maxsize=4)
def judge(data: Data) -> Judge:
    """Return the judge of a captioned data set: from the cache, or trained in a quarter of a minute and kept.

    It learns from the plain images of the training split, each given every look in turn: so it knows combinations
    that the captions of that split lack, and no other image than the models do.

    Raises:
        Unsupported: if the data is not captioned 8x8 digits, or the classifier does not learn them.
    """
    if data.captions is None:
        raise Unsupported("its labels are not captions")
    attributes = data.captions.attributes
    if set(attributes) != {"class", "look"} or not set(attributes["look"]) <= set(TRANSFORMS):
        raise Unsupported(f"no classifier tells {' and '.join(attributes)} apart; captions_cnn knows class and look")
    if data.event.shape != SHAPE or data.space != Pixels(LEVELS):
        raise Unsupported("the classifier captions_cnn knows 8x8 images of 17 levels only")
    sizes = {name: len(attributes[name]) for name in ("class", "look")}
    train, test = (_every_look(data, part) for part in ("train", "test"))
    classifier = kept(RECIPE, train, test, sizes["class"] * sizes["look"])
    if classifier.accuracy < ACCURACY:
        raise Unsupported(f"the classifier captions_cnn is right on {classifier.accuracy:.1%} of the test images only")
    probability = torch.cat([classifier.probabilities(part) for part in test.x.split(256)])
    found, said = seen(probability, sizes), _split(test.label, sizes)
    right = {name: float((found[name] == said[name]).double().mean()) for name in sizes}
    both = float(torch.stack([found[name] == said[name] for name in sizes]).all(0).double().mean())
    return Judge(classifier, sizes, {**right, "both": both})


def seen(probability: Float64[Tensor, "n combinations"], sizes: Mapping[str, int]) -> dict[str, Int[Tensor, " n"]]:
    """Return the most probable value of each of two attributes, the other one summed out."""
    table = probability.unflatten(1, tuple(sizes.values()))
    return {name: table.sum(2 - axis).argmax(1) for axis, name in enumerate(sizes)}


def _split(combination: Int[Tensor, " n"], sizes: Mapping[str, int]) -> dict[str, Int[Tensor, " n"]]:
    _, looks = sizes.values()
    return dict(zip(sizes, (combination // looks, combination % looks), strict=True))


def _every_look(data: Data, part: str) -> Batch:
    """Return the plain images of a part in every look, labelled by the combination of class and look."""
    assert data.captions is not None
    images = whole(data, part)
    kind, look = (torch.tensor(data.captions.values[name])[images.label] for name in ("class", "look"))
    looks = data.captions.attributes["look"]
    plain = look == looks.index("plain")
    every = [TRANSFORMS[name](images.x[plain], LEVELS - 1) for name in looks]
    label = [kind[plain] * len(looks) + i for i in range(len(looks))]
    return Batch(torch.cat(every), torch.cat(label))
