"""Collections: images of one size in one stored array, part after part, and the splits made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from genbench.core import Rows
from genbench.data.splits import Arrays, Finite, View, same, stratified
from genbench.errors import ConfigError
from genbench.space import Space


class Stored(NamedTuple):
    """All images (n, channels, height, width) of a collection, in memory or on disk, with their classes."""

    raw: Rows
    label: Int[Tensor, " n"]


@dataclass(frozen=True)
class Collection:
    """A collection of images, of which everything but the images is known without loading them.

    Args:
        counts: {part: images of each class}, in the order in which the parts are stored; "train" is among them.
        classes: names of the classes, one or more.
        load: returns the images.
        provenance: where they come from.
    """

    counts: Mapping[str, tuple[int, ...]]
    classes: tuple[str, ...]
    load: Callable[[], Stored]
    provenance: Mapping[str, Any]


def splits(
    collection: Collection, *, valid: int, test: int, space: Space, views: tuple[View, ...] = (same,)
) -> tuple[Finite, Finite, Finite]:
    """Return the training, validation and test split; a part that is missing is taken out of train.

    What is taken out is stratified by class and always the same.

    Args:
        collection: the images.
        valid: images taken out of train for validation, if there is no such part.
        test: images taken out of train for testing, if there is no such part.
        space: encodes them.
        views: how training sees images; the last is as they are.

    Raises:
        ConfigError: if train has too few images for that.
    """
    sizes = {part: sum(counts) for part, counts in collection.counts.items()}
    carved = {part: n for part, n in (("valid", valid), ("test", test)) if part not in sizes}
    total, wanted = sizes["train"], sum(carved.values())
    if wanted >= total:
        raise ConfigError(f"{wanted} images are to be taken out of train for {' and '.join(carved)}, it has {total}")
    rarest, name = min(zip(collection.counts["train"], collection.classes, strict=True))
    if 0 < rarest * carved.get("test", 0) < total:
        raise ConfigError(
            f"class '{name}' has {rarest} images in train, too few for one among the {carved['test']} of {total} "
            "that are taken out for test"
        )

    @cache
    def parts() -> dict[str, Arrays]:
        raw, label = collection.load()
        borders = np.cumsum([0, *sizes.values()]).tolist()
        rows = {p: torch.arange(a, b) for p, a, b in zip(sizes, borders, borders[1:], strict=False)}
        cut = stratified(label[rows["train"]], tuple(carved.values()), seed=0)
        rows |= {part: rows["train"][chosen] for part, chosen in zip(("train", *carved), cut, strict=True)}
        return {part: Arrays(raw, label, chosen) for part, chosen in rows.items()}

    final = {**sizes, **carved, "train": total - wanted}
    return (
        Finite(lambda: parts()["train"], final["train"], space, views=views),
        Finite(lambda: parts()["valid"], final["valid"], space),
        Finite(lambda: parts()["test"], final["test"], space),
    )
