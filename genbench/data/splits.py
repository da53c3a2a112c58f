"""Splits: fresh draws from a distribution, or rows of a finite array, each visited once per epoch."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from genbench.core import Batch
from genbench.errors import RunFailed, Unsupported
from genbench.seeds import generator
from genbench.space import Space

Draw = Callable[[int, torch.Generator], Batch]
"""Draw n labelled samples in model space."""

Augment = Callable[[Shaped[Tensor, "b *event"], torch.Generator], Shaped[Tensor, "b *event"]]
"""Change raw samples at random, keeping their shape."""

BLOCK = 2**17
"""Numbers drawn at once from a distribution: a call costs as much as a small batch, so batches share it."""


class Endless:
    """One part of a distribution: every batch is fresh, and the same again for the same step, size and seed.

    Training batches are cut from blocks, each drawn from a generator of its own; the current block is kept.

    Args:
        draw: draws independent samples.
        part: name of the part, so that no two parts share a stream.
        take: draws samples for evaluation, if not in the same way (stratified by mode, say).
    """

    size = None

    def __init__(self, draw: Draw, part: str, *, take: Draw | None = None) -> None:
        self._draw = draw
        self._take = take or draw
        self._part = part
        self._dims = 0
        self._block: tuple[tuple[int, int, int], Batch] | None = None

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Return the step-th batch of that size under that seed."""
        batches = max(1, BLOCK // (self._dimension() * size))
        number, place = divmod(step, batches)
        key = (number, size, seed)
        block = self._block
        if block is None or block[0] != key:
            stream = generator(seed, "data", self._part, size, number)
            block = self._block = (key, self._draw(batches * size, stream))
        x, label = block[1]
        return Batch(x[place * size : (place + 1) * size], label[place * size : (place + 1) * size])

    def take(self, n: int, seed: int) -> Batch:
        """Return n fresh samples for evaluation."""
        return self._take(n, generator(seed, "take", self._part))

    def _dimension(self) -> int:
        if not self._dims:
            self._dims = self._draw(1, torch.Generator().manual_seed(0)).x[0].numel()
        return self._dims


class Arrays(NamedTuple):
    """Raw samples (uint8 for images) with their labels, and which rows of them make up one part."""

    raw: Shaped[Tensor, "n *event"]
    label: Int[Tensor, " n"]
    rows: Int[Tensor, " rows"]


class Finite:
    """Some rows of an array that is loaded when it is first needed, kept raw and encoded when served.

    Training visits every row once per epoch in an order drawn from the seed and the epoch; batches continue
    across the border of two epochs.

    Args:
        load: returns the arrays.
        size: number of rows of this part.
        space: encodes raw samples.
        augment: changes raw training samples at random; evaluation never sees it.
    """

    def __init__(self, load: Callable[[], Arrays], size: int, space: Space, *, augment: Augment | None = None) -> None:
        self.size = size
        self._load = load
        self._space = space
        self._augment = augment
        self._order: tuple[tuple[int, int], Tensor] | None = None

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Return the step-th batch of that size under that seed.

        Raises:
            Unsupported: if this part is empty.
        """
        if self.size == 0:
            raise Unsupported("this part of the data is empty")
        epoch, place = divmod(step * size, self.size)
        pieces = []
        missing = size
        while missing:
            piece = self._epoch(epoch, seed)[place : place + missing]
            pieces.append(piece)
            missing -= len(piece)
            epoch, place = epoch + 1, 0
        rows = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        raw = self._arrays.raw[rows]
        if self._augment is not None:
            raw = self._augment(raw, generator(seed, "augment", step))
        return Batch(self._space.encode(raw), self._arrays.label[rows])

    def take(self, n: int, seed: int) -> Batch:
        """Return n distinct samples without augmentation: a subset drawn from the seed, or all in stored order.

        Raises:
            Unsupported: if there are fewer than n.
        """
        if n > self.size:
            raise Unsupported(f"needs {n} samples, this part of the data has {self.size}")
        rows = self._arrays.rows
        if n < self.size:
            rows = rows[torch.randperm(self.size, generator=generator(seed, "take"))[:n]]
        return Batch(self._space.encode(self._arrays.raw[rows]), self._arrays.label[rows])

    @cached_property
    def _arrays(self) -> Arrays:
        arrays = self._load()
        if len(arrays.rows) != self.size:
            raise RunFailed(f"this part of the data was said to have {self.size} samples, it has {len(arrays.rows)}")
        return arrays

    def _epoch(self, epoch: int, seed: int) -> Int[Tensor, " rows"]:
        order = self._order
        if order is None or order[0] != (epoch, seed):
            permutation = torch.randperm(self.size, generator=generator(seed, "order", epoch))
            order = self._order = ((epoch, seed), self._arrays.rows[permutation])
        return order[1]


def flip(raw: Shaped[Tensor, "b *event"], generator: torch.Generator) -> Shaped[Tensor, "b *event"]:
    """Mirror each image left to right with probability one half."""
    mirrored = torch.rand(len(raw), generator=generator) < 0.5
    return torch.where(mirrored[:, None, None, None], raw.flip(-1), raw)


def stratified(label: Int[Tensor, " n"], counts: tuple[int, ...], seed: int) -> list[Int[Tensor, " rows"]]:
    """Cut rows into disjoint parts with the class proportions of the whole, drawn from the seed.

    Args:
        label: the class of each row.
        counts: size of each part but the first, which gets the rest.
        seed: decides which rows go where.

    Returns:
        Sorted rows of each part, the rest first. Every class has its share of a part to within one row.
    """
    order = torch.randperm(len(label), generator=generator(seed, "split"))
    order = order[torch.sort(label[order], stable=True).indices]
    parts = []
    for count in counts:
        # Rows are sorted by class and shuffled within each, so an evenly spaced comb is a stratified draw.
        chosen = torch.zeros(len(order), dtype=torch.bool)
        chosen[(torch.arange(count) * len(order) + len(order) // 2) // max(count, 1)] = True
        parts.append(order[chosen].sort().values)
        order = order[~chosen]
    return [order.sort().values, *parts]
