"""Whether images show what their captions say, and how far they are from real ones, as one classifier sees them."""

import torch
from jaxtyping import Bool
from torch import Tensor

from genbench.core import Captions
from genbench.errors import Unsupported
from genbench.metrics.classifiers.captions_cnn import judge
from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.image.frechet import between
from genbench.registry import metrics
from genbench.settings import Count

CLEAR = 0.8
"""A class counts as shown where more of its samples than this are seen as it."""

Right = dict[str, Bool[Tensor, " n"]]
"""{attribute, or "both": whether each image shows what its caption says}."""


@metrics.register("caption_accuracy", version=1, better="higher", of="samples")
def caption_accuracy(evaluation: Evaluation, *, n: Count | None = None) -> list[Value]:
    """Share of samples that show what their caption says: its class, its look, both; a classifier is asked.

    `class`, `look` and `both` are of combinations that were trained on, and so is `classes_above_80`, the number of
    classes of whose samples more than 80 % are seen as that class; `held_out_*` are of the other combinations. The
    floor is what the same classifier reads on test images of the same captions.

    Args:
        n: samples; by default all there are. Captions come in turn, so it should be a multiple of their number.

    Raises:
        Unsupported: if there is no classifier for the data, or the samples were not asked for by caption.
    """
    data = evaluation.data
    seer = judge(data)
    captions = data.captions
    assert captions is not None
    if evaluation.label is None:
        raise Unsupported("its samples were not asked for by caption")
    images = evaluation.decoded(n or len(evaluation.x))
    label = evaluation.label[: len(images)]
    test = evaluation.reference(data.test.size or len(images))
    found = _read(seer.see(images), label, captions)
    floor = _read(seer.see(data.space.decode(test.x)), test.label, captions)
    protocol = f"seen by {seer.classifier.name} {seer.classifier.sha256[:8]}"
    details = {f"classifier_accuracy_{name}": value for name, value in seer.accuracy.items()}
    return [
        Value(value, count, protocol, part=part, floor=floor[part][0] if part in floor else None, details=details)
        for part, (value, count) in found.items()
    ]


@metrics.register("fd-captions_cnn", version=1, better="lower", of="samples")
def fd_captions_cnn(evaluation: Evaluation, *, n: Count | None = None) -> Value:
    """Frechet distance to test images in the features of a small classifier of class and look. Not an FID.

    Combinations of class and look that training lacks are left out on both sides. It is biased upward, the more the
    fewer images: `bias` is an estimate for Gaussian features, and the floor, that of training images, has the same.

    Args:
        n: samples; by default all there are. The test split is always taken whole.

    Raises:
        Unsupported: if there is no classifier for the data.

    Reference: Heusel et al., 2017.
    """
    data = evaluation.data
    seer = judge(data)
    assert data.captions is not None
    held = torch.tensor(data.captions.held_out)
    images = evaluation.decoded(n or len(evaluation.x))
    if evaluation.label is not None:
        images = images[~held[evaluation.label[: len(images)]]]
    test = evaluation.reference(data.test.size or len(images))
    return between(seer.classifier, images, data.space.decode(test.x[~held[test.label]]))


def _read(seen: dict[str, Tensor], label: Tensor, captions: Captions) -> dict[str, tuple[float, int]]:
    """Return {part: (value, number of images it is over)} for the parts that have images."""
    said = {name: torch.tensor(values)[label] for name, values in captions.values.items()}
    right: Right = {name: seen[name] == said[name] for name in said}
    right["both"] = torch.stack(list(right.values())).all(0)
    held = torch.tensor(captions.held_out)[label]
    parts = {}
    for prefix, among in (("", ~held), ("held_out_", held)):
        count = int(among.sum())
        if count:
            parts |= {f"{prefix}{name}": (float(hit[among].double().mean()), count) for name, hit in right.items()}
    kinds = range(len(captions.attributes["class"]))
    shares = [right["class"][~held & (said["class"] == kind)].double().mean() for kind in kinds]
    parts["classes_above_80"] = (float(sum(share > CLEAR for share in shares)), int((~held).sum()))
    return parts
