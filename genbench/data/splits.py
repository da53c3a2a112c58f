"""Splits: fresh draws from a distribution, or rows of a finite array, each visited once per epoch."""

import hashlib
from collections.abc import Callable
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from genbench.core import Batch, Encode, Rows, Split
from genbench.data.image_files.rows import Chosen, Streamed
from genbench.errors import RunFailed, Unsupported
from genbench.seeds import generator
from genbench.space import Space
from genbench.storage import files

Draw = Callable[[int, torch.Generator], Batch]
"""Draw n labelled samples in model space."""

View = Callable[[Shaped[Tensor, "b *event"]], Shaped[Tensor, "b *event"]]
"""A way to look at raw samples that keeps their shape, such as in a mirror."""

BLOCK = 2**17
"""Numbers drawn at once from a distribution: a call costs as much as a small batch, so batches share it."""


KEPT = 64
"""Seeds of which the current block or order is kept: those of a stack take turns."""

Key = TypeVar("Key")
Value = TypeVar("Value")


def keep(kept: dict[Key, Value], key: Key, value: Value) -> Value:
    """Keep a value, of at most KEPT those that were made last, and return it."""
    kept.pop(key, None)
    while len(kept) >= KEPT:
        del kept[next(iter(kept))]
    kept[key] = value
    return value


class Endless(Split):
    """One part of a distribution: every batch is fresh, and the same again for the same step, size and seed.

    Training batches are cut from blocks, each drawn from a generator of its own; the current block of each
    seed is kept.

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
        self._blocks: dict[tuple[int, int], tuple[int, Batch]] = {}

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Return the step-th batch of that size under that seed."""
        batches = max(1, BLOCK // (self._dimension() * size))
        number, place = divmod(step, batches)
        kept = self._blocks.get((size, seed))
        if kept is None or kept[0] != number:
            stream = generator(seed, "data", self._part, size, number)
            kept = keep(self._blocks, (size, seed), (number, self._draw(batches * size, stream)))
        x, label = kept[1]
        return Batch(x[place * size : (place + 1) * size], label[place * size : (place + 1) * size])

    def take(self, n: int, seed: int) -> Batch:
        """Return n fresh samples for evaluation."""
        return self._take(n, generator(seed, "take", self._part))

    def _dimension(self) -> int:
        if not self._dims:
            self._dims = self._draw(1, torch.Generator().manual_seed(0)).x[0].numel()
        return self._dims


class Arrays(NamedTuple):
    """Raw samples (n, *event), uint8 for images, with their labels, and which rows of them make up one part."""

    raw: Rows
    label: Int[Tensor, " n"]
    rows: Int[Tensor, " rows"]


def mirror(raw: Shaped[Tensor, "b *event"]) -> Shaped[Tensor, "b *event"]:
    """Mirror images left to right."""
    return raw.flip(-1)


def same(raw: Shaped[Tensor, "b *event"]) -> Shaped[Tensor, "b *event"]:
    """Leave samples as they are."""
    return raw


class Finite(Split):
    """Some rows of an array that is loaded when it is first needed, kept raw and encoded when served.

    Training visits every row once per epoch in an order drawn from the seed and the epoch; batches continue
    across the border of two epochs.

    Args:
        load: returns the arrays.
        size: number of rows of this part.
        space: encodes raw samples.
        views: how training sees raw samples, each in one of these views at random; evaluation sees them as they are.
    """

    def __init__(
        self, load: Callable[[], Arrays], size: int, space: Space, *, views: tuple[View, ...] = (same,)
    ) -> None:
        self.size = size
        self._load = load
        self._space = space
        self._views = views
        self._orders: dict[int, tuple[int, Tensor]] = {}
        self._device = torch.device("cpu")

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Return the step-th batch of that size under that seed.

        Raises:
            Unsupported: if this part is empty.
        """
        arrays = self._arrays
        places, view = self.visit(step, size, seed)
        rows = arrays.rows[places]
        raw = arrays.raw[rows].to(self._device)
        if isinstance(arrays.raw, Streamed):
            arrays.raw.announce(arrays.rows[self.visit(step + 1, size, seed)[0]])
        if len(self._views) > 1:
            seen = torch.stack([look(raw) for look in self._views])
            raw = seen[view.to(self._device), torch.arange(len(raw), device=self._device)]
        return Batch(self._space.encode(raw), arrays.label[rows].to(self._device))

    def on(self, device: torch.device) -> "Finite":
        """Return this part with its batches on a device: raw rows go there, and are viewed and encoded there."""
        there = copy(self)
        there._device = device
        return there

    def take(self, n: int, seed: int) -> Batch:
        """Return n distinct samples as they are: a subset drawn from the seed, or all in stored order.

        Raises:
            Unsupported: if there are fewer than n.
        """
        rows = self._arrays.rows[self.choose(n, seed)]
        return Batch(self._space.encode(self._arrays.raw[rows]), self._arrays.label[rows])

    def raw(self, n: int, seed: int) -> Rows:
        """Return what `take` takes as raw data, of which no more is read than is asked for.

        Raises:
            Unsupported: if there are fewer than n.
        """
        return Chosen(self._arrays.raw, self._arrays.rows[self.choose(n, seed)])

    def visit(self, step: int, size: int, seed: int) -> tuple[Int[Tensor, " b"], Int[Tensor, " b"]]:
        """Return which rows of this part the step-th batch has, and in which view."""
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
        places = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        if len(self._views) == 1:
            return places, torch.zeros_like(places)
        return places, (torch.rand(size, generator=generator(seed, "augment", step)) * len(self._views)).long()

    def choose(self, n: int, seed: int) -> Int[Tensor, " n"]:
        """Return n different rows of this part, drawn from the seed; all are in stored order."""
        if n > self.size:
            raise Unsupported(f"needs {n} samples, this part of the data has {self.size}")
        if n == self.size:
            return torch.arange(n)
        return torch.randperm(self.size, generator=generator(seed, "take"))[:n]

    def encoded(self, encode: Encode, shape: tuple[int, ...], key: str) -> "Encoded":
        """Return the latents of this part, every view of every row encoded once and kept on disk.

        Args:
            encode: from samples in model space to latents.
            shape: of one latent.
            key: tells apart encoders, and collections of raw samples.
        """
        digest = hashlib.sha256(f"{key} {len(self._views)}".encode())
        digest.update(self._arrays.rows.numpy().tobytes())
        path = files.home() / "latents" / f"{digest.hexdigest()[:16]}.npy"
        if not path.exists():
            files.replace(path, lambda temporary: self._write(temporary, encode, shape))
        return Encoded(self, torch.from_numpy(np.load(path, mmap_mode="c")), self._arrays.label[self._arrays.rows])

    def _write(self, path: Path, encode: Encode, shape: tuple[int, ...]) -> None:
        latents = np.lib.format.open_memmap(path, "w+", np.float32, (len(self._views), self.size, *shape))
        for view, look in enumerate(self._views):
            for rows in torch.arange(self.size).split(256):
                raw = look(self._arrays.raw[self._arrays.rows[rows]])
                latents[view, rows[0] : rows[-1] + 1] = encode(self._space.encode(raw)).cpu().numpy()
        latents.flush()

    @cached_property
    def _arrays(self) -> Arrays:
        arrays = self._load()
        if len(arrays.rows) != self.size:
            raise RunFailed(f"this part of the data was said to have {self.size} samples, it has {len(arrays.rows)}")
        return arrays

    def _epoch(self, epoch: int, seed: int) -> Int[Tensor, " rows"]:
        kept = self._orders.get(seed)
        if kept is None or kept[0] != epoch:
            order = torch.randperm(self.size, generator=generator(seed, "order", epoch))
            kept = keep(self._orders, seed, (epoch, order))
        return kept[1]


class Encoded(Split):
    """Latents of a finite split, served in the order in which the split serves its samples.

    Args:
        split: decides which rows, and in which view.
        latents: of every row in every view.
        label: of every row.
    """

    def __init__(
        self, split: Finite, latents: Float[Tensor, "views rows *latent"], label: Int[Tensor, " rows"]
    ) -> None:
        self.size = split.size
        self._split = split
        self._latents = latents
        self._label = label

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Return the step-th batch of that size under that seed."""
        places, view = self._split.visit(step, size, seed)
        return Batch(self._latents[view, places], self._label[places])

    def take(self, n: int, seed: int) -> Batch:
        """Return the latents of n distinct samples as they are, seen in the last view."""
        places = self._split.choose(n, seed)
        return Batch(self._latents[-1, places], self._label[places])


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
