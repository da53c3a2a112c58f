"""Collections: images of one size in one stored array, split after split, and the splits made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from genbench.core import Rows
from genbench.data.splits import Arrays, Finite, stratified
from genbench.errors import ConfigError
from genbench.space import Space


class LabeledImages(NamedTuple):
    """All images (n, channels, height, width) of a collection, in memory or on disk, with their classes."""

    raw: Rows
    label: Int[Tensor, " n"]


@dataclass(frozen=True)
class Collection:
    """A collection of images of which everything but the images is known without loading them.

    Args:
        counts: {split: images of each class}, in the order in which the splits are stored; "train" is one of them.
    """

    counts: Mapping[str, tuple[int, ...]]
    classes: tuple[str, ...]
    load: Callable[[], LabeledImages]
    provenance: Mapping[str, Any]


def make_splits(
    collection: Collection, *, valid: int, test: int, space: Space, flip: bool
) -> tuple[Finite, Finite, Finite]:
    """Return the training, validation and test split; a missing one is held out from train.

    Held-out images are stratified by class and always the same.

    Args:
        valid: images held out for validation if the collection has no such split.
        test: images held out for testing if the collection has no such split.
        flip: whether training images are mirrored at random.

    Raises:
        ConfigError: if train has too few images for that.
    """
    sizes = {split: sum(counts) for split, counts in collection.counts.items()}
    held_out = {split: n for split, n in (("valid", valid), ("test", test)) if split not in sizes}
    total, wanted = sizes["train"], sum(held_out.values())
    if wanted >= total:
        raise ConfigError(f"{wanted} of {total} training images are to be held out for {' and '.join(held_out)}")
    rarest, name = min(zip(collection.counts["train"], collection.classes, strict=True))
    if 0 < rarest * held_out.get("test", 0) < total:
        raise ConfigError(
            f"class '{name}' has {rarest} images in train, too few for one to be among the {held_out['test']} of "
            f"{total} that are held out for test"
        )

    @cache
    def arrays() -> dict[str, Arrays]:
        raw, label = collection.load()
        borders = np.cumsum([0, *sizes.values()]).tolist()
        rows = {split: torch.arange(a, b) for split, a, b in zip(sizes, borders, borders[1:], strict=False)}
        cut = stratified(label[rows["train"]], tuple(held_out.values()), seed=0)
        rows |= {split: rows["train"][chosen] for split, chosen in zip(("train", *held_out), cut, strict=True)}
        return {split: Arrays(raw, label, chosen) for split, chosen in rows.items()}

    final = {**sizes, **held_out, "train": total - wanted}
    return (
        Finite(lambda: arrays()["train"], final["train"], space, flip=flip),
        Finite(lambda: arrays()["valid"], final["valid"], space),
        Finite(lambda: arrays()["test"], final["test"], space),
    )
