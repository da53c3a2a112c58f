"""Real images in an order that depends only on the set of them, with a hash of that set."""

import hashlib
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from genbench.core import Data, LazyRows, Rows, Split
from genbench.seeds import derive

SplitName = Literal["train", "test"]
"""Real images to compare with; "train" includes those held out for validation, as published statistics do.

It does not where the validation split takes the place of the test split: its images are the held-out ones then."""

MAX_REAL = 50_000
"""Number of images of published statistics."""

BATCH = 64


class RealImages(LazyRows):
    """Real images of several sources, sorted by their hashes and read when they are indexed."""

    def __init__(self, *sources: Rows) -> None:
        self._sources = sources
        self.shape = (sum(source.shape[0] for source in sources), *sources[0].shape[1:])
        batches = torch.arange(self.shape[0]).split(BATCH)
        hashes = [hashlib.sha256(image.tobytes()).digest() for rows in batches for image in self._read(rows).numpy()]
        self._order = torch.tensor(sorted(range(len(hashes)), key=hashes.__getitem__))
        self.sha256 = hashlib.sha256(b"".join(hashes[i] for i in self._order.tolist())).hexdigest()
        """Hash of the set of images."""

    def __getitem__(self, rows: Int[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
        """Return the images with these indices."""
        return self._read(self._order[rows])

    def _read(self, rows: Int[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
        if len(self._sources) == 1:  # a second copy of a batch would count in memory
            return self._sources[0][rows]
        images, start = torch.empty(len(rows), *self.shape[1:], dtype=torch.uint8), 0
        for source in self._sources:
            stop = start + source.shape[0]
            here = (rows >= start) & (rows < stop)
            if bool(here.any()):
                images[here] = source[rows[here] - start]
            start = stop
        return images


def available(data: Data, split: SplitName) -> int:
    """Return the number of real images; `MAX_REAL` if every draw is fresh."""
    train = (data.train,) if data.valid is data.test else (data.train, data.valid)
    sizes = [part.size for part in (train if split == "train" else (data.test,))]
    return MAX_REAL if None in sizes else sum(size for size in sizes if size is not None)


@lru_cache(maxsize=8)
def real_images(data: Data, split: SplitName, n: int) -> RealImages:
    """Return n of the `available` real images, always the same ones."""
    first = data.test if split == "test" else data.train
    count = n if first.size is None else min(n, first.size)
    sources = [_raw(data, first, count, derive(0, "reference", split))]
    if n > count:
        sources.append(_raw(data, data.valid, n - count, derive(0, "reference", "valid")))
    return RealImages(*sources)


def _raw(data: Data, split: Split, n: int, seed: int) -> Rows:
    raw = split.raw(n, seed)
    return raw if raw is not None else data.space.decode(split.take(n, seed).x)
