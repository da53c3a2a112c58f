"""Splits: fresh draws from a distribution, or rows of a finite array, each visited once per epoch."""

import functools
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from genbench.core import Batch, Encode, Rows, Split
from genbench.data.rows import CachedRows, NumberedRows, SelectedRows, hash_of, require_each_class, stratified
from genbench.errors import ConfigError, RunFailed, TooFewSamples, Unsupported
from genbench.seeds import generator
from genbench.space import Space
from genbench.storage import cache

Draw = Callable[[int, torch.Generator], Batch]
"""Draw n labeled samples in model space."""

BLOCK = 2**17
"""Numbers drawn per call from a distribution: a call has a fixed cost, so that several batches share one."""

RESIDENT = 2**30
"""Raw rows of a split of at most this size in bytes all stay on the training device."""

REMEMBERED = 64
"""Number of seeds whose current block or order stays in memory: the members of an ensemble take turns."""

Value = TypeVar("Value")


def remember(known: dict[Any, Value], key: Any, value: Value) -> Value:
    """Store a value, drop all but the REMEMBERED latest ones, and return it."""
    known.pop(key, None)
    while len(known) >= REMEMBERED:
        del known[next(iter(known))]
    known[key] = value
    return value


def move(x: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; the host does not wait for the copy."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


class Endless(Split):
    """A split of data generated on the fly: each batch is a fresh draw that step, size and seed determine.

    Training batches are cut from blocks, each drawn from its generator; the current block of each seed stays in memory.

    Args:
        name: name of the split, so that no two splits share a random stream.
        take: draws samples for evaluation, such as draws stratified by mode; by default as for training.
        stand_in: draws samples that represent the distribution; by default as for evaluation.
        weights: probability of each class up to a common factor; by default all are equal.
    """

    size = None

    def __init__(
        self,
        draw: Draw,
        name: str,
        *,
        take: Draw | None = None,
        stand_in: Draw | None = None,
        weights: Float[Tensor, " classes"] | None = None,
    ) -> None:
        self._draw = draw
        self._weights = weights
        self._take = take or draw
        self._stand_in = stand_in or self._take
        self._name = name
        self._blocks: dict[tuple[int, int], tuple[int, Batch]] = {}
        self._device = torch.device("cpu")

    def on(self, device: torch.device) -> "Endless":
        """Return this split with its blocks on a device: they are drawn as before, and moved once."""
        there = copy(self)
        there._blocks, there._device = {}, device
        return there

    def batch(self, step: int, size: int, seed: int) -> Batch:
        batches = max(1, BLOCK // (self._dims * size))
        number, place = divmod(step, batches)
        block = self._blocks.get((size, seed))
        if block is None or block[0] != number:
            stream = generator(seed, "data", self._name, size, number)
            drawn = Batch(*(move(part, self._device) for part in self._draw(batches * size, stream)))
            block = remember(self._blocks, (size, seed), (number, drawn))
        x, label = block[1]
        return Batch(x[place * size : (place + 1) * size], label[place * size : (place + 1) * size])

    def take(self, n: int, seed: int) -> Batch:
        return self._take(n, generator(seed, "take", self._name))

    def stand_in(self, n: int, seed: int) -> Batch:
        return self._stand_in(n, generator(seed, "take", self._name))

    def frequencies(self, classes: int) -> Float64[Tensor, " classes"]:
        return (torch.ones(classes) if self._weights is None else self._weights).double()

    @cached_property
    def _dims(self) -> int:
        return self._draw(1, torch.Generator().manual_seed(0)).x[0].numel()


class Arrays(NamedTuple):
    """Raw samples (n, *event), uint8 for images, with their labels, and the indices of the rows of a split."""

    raw: Rows
    label: Int[Tensor, " n"]
    rows: Int[Tensor, " rows"]


class Finite(Split):
    """Some rows of an array that is loaded when it is first needed, kept raw and encoded when served.

    Training visits every row once per epoch, in an order drawn from the seed and the epoch; batches continue across
    the border of two epochs.

    Args:
        flip: whether training images are mirrored left to right at random; evaluation never mirrors.
    """

    size: int

    def __init__(self, load: Callable[[], Arrays], size: int, space: Space, *, flip: bool = False) -> None:
        self.size, self.augmented = size, flip
        self._load = load
        self._space = space
        self._orders: dict[int, tuple[int, Tensor]] = {}
        self._device = torch.device("cpu")
        self._resident: Arrays | None = None

    def batch(self, step: int, size: int, seed: int) -> Batch:
        indices, mirrored = self.batch_indices(step, size, seed)
        if self._resident is not None:
            rows = move(indices, self._device)
            raw, label = self._resident.raw[rows], self._resident.label[rows]
        else:
            arrays = self._arrays
            rows = arrays.rows[indices]
            raw, label = move(arrays.raw[rows], self._device), move(arrays.label[rows], self._device)
            if isinstance(arrays.raw, CachedRows):
                arrays.raw.read_ahead(arrays.rows[self.batch_indices(step + 1, size, seed)[0]])
        if self.augmented:
            raw = torch.where(move(mirrored, self._device)[:, None, None, None], raw.flip(-1), raw)
        return Batch(self._space.encode(raw), label)

    def on(self, device: torch.device) -> "Finite":
        """Return this split with its batches on a device: raw rows, which stay there if they fit, are encoded there."""
        there, arrays = copy(self), self._arrays
        there._device = device
        if device.type != "cpu" and self.size * arrays.raw[arrays.rows[:1]].nbytes <= RESIDENT:
            raw, label = arrays.raw[arrays.rows].to(device), arrays.label[arrays.rows].to(device)
            there._resident = Arrays(raw, label, torch.arange(self.size))
        return there

    def take(self, n: int, seed: int) -> Batch:
        """Return n distinct samples without augmentation: the whole split in stored order, or a subset by the seed.

        Raises:
            Unsupported: if there are fewer than n.
        """
        rows = self._arrays.rows[self.sample_indices(n, seed)]
        return Batch(self._space.encode(self._arrays.raw[rows]), self._arrays.label[rows])

    def views(self, seed: int) -> Batch:
        x, label = self.take(self.size, seed)
        if not self.augmented:
            return Batch(x, label)
        mirrored = self._space.encode(self._arrays.raw[self._arrays.rows].flip(-1))
        return Batch(torch.cat([x, mirrored]), label.repeat(2))

    def raw(self, n: int, seed: int) -> Rows:
        """Return the samples of `take` as raw data, each read when it is indexed.

        Raises:
            Unsupported: if there are fewer than n.
        """
        return SelectedRows(self._arrays.raw, self._arrays.rows[self.sample_indices(n, seed)])

    def frequencies(self, classes: int) -> Float64[Tensor, " classes"]:
        return torch.bincount(self._arrays.label[self._arrays.rows], minlength=classes).double()

    def batch_indices(self, step: int, size: int, seed: int) -> tuple[Int[Tensor, " b"], Bool[Tensor, " b"]]:
        """Return which rows of this split are in the step-th batch, and which of them are mirrored."""
        if self.size == 0:
            raise Unsupported("this split of the data is empty")
        epoch, start = divmod(step * size, self.size)
        pieces = []
        missing = size
        while missing:
            piece = self._order(epoch, seed)[start : start + missing]
            pieces.append(piece)
            missing -= len(piece)
            epoch, start = epoch + 1, 0
        indices = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        if not self.augmented:
            return indices, torch.zeros(size, dtype=torch.bool)
        return indices, torch.rand(size, generator=generator(seed, "augment", step)) < 0.5

    def sample_indices(self, n: int, seed: int) -> Int[Tensor, " n"]:
        """Return n different rows of this split, drawn from the seed; all are in stored order."""
        if n > self.size:
            raise TooFewSamples(n, self.size, "this split of the data has")
        if n == self.size:
            return torch.arange(n)
        return torch.randperm(self.size, generator=generator(seed, "take"))[:n]

    def encoded(self, encode: Encode, shape: tuple[int, ...], key: str) -> "Encoded":
        """Return the latents of this split. Each row, and its mirror image if rows are mirrored, is encoded once.

        Args:
            encode: from samples in model space to latents.
            key: identifies the encoder.
        """
        rows = self._arrays.rows
        views = 2 if self.augmented else 1

        def latents() -> NumberedRows:
            for view in range(views):
                for part in torch.arange(self.size).split(256):
                    raw = self._arrays.raw[rows[part]]
                    mirrored = self.augmented and view == 0
                    z = encode(self._space.encode(raw.flip(-1) if mirrored else raw)).cpu().numpy()
                    yield from zip((view * self.size + part).tolist(), z, strict=True)

        name = cache.key(
            latents=key, shape=shape, augmentations=views, rows=hash_of(self._arrays.raw, rows, self._space)
        )
        stored = CachedRows("latents", f"{name}.npy", (views * self.size, *shape), np.float32, latents)
        return Encoded(self, stored, self._arrays.label[rows])

    @cached_property
    def _arrays(self) -> Arrays:
        arrays = self._load()
        if len(arrays.rows) != self.size:
            raise RunFailed(f"this split of the data should have {self.size} samples, it has {len(arrays.rows)}")
        return arrays

    def _order(self, epoch: int, seed: int) -> Int[Tensor, " rows"]:
        known = self._orders.get(seed)
        if known is None or known[0] != epoch:
            order = torch.randperm(self.size, generator=generator(seed, "order", epoch))
            known = remember(self._orders, seed, (epoch, order))
        return known[1]


class Encoded(Split):
    """Latents of a finite split, served in the order in which the split serves its samples.

    Args:
        split: decides which rows, and which of them are mirrored.
        latents: every row mirrored, if it may be, then every row as it is.
    """

    def __init__(self, split: Finite, latents: Rows, label: Int[Tensor, " rows"]) -> None:
        self.size, self.augmented = split.size, split.augmented
        self._split = split
        self._latents = latents
        self._unchanged = latents.shape[0] - split.size
        self._label = label
        self._device = torch.device("cpu")

    def batch(self, step: int, size: int, seed: int) -> Batch:
        indices, mirrored = self._split.batch_indices(step, size, seed)
        z = self._latents[torch.where(mirrored, 0, self._unchanged) + indices]
        return Batch(move(z, self._device), move(self._label[indices], self._device))

    def on(self, device: torch.device) -> "Encoded":
        there = copy(self)
        there._device = device
        return there

    def take(self, n: int, seed: int) -> Batch:
        indices = self._split.sample_indices(n, seed)
        return Batch(self._latents[self._unchanged + indices], self._label[indices])

    def views(self, seed: int) -> Batch:
        n = len(self._label)
        starts = range(self._unchanged, -1, -n)  # the rows as they are, then mirrored
        latents = [self._latents[start + torch.arange(n)] for start in starts]
        return Batch(torch.cat(latents), self._label.repeat(len(starts)))


@dataclass(frozen=True)
class Collection:
    """A collection of images whose classes and counts are known before the images are loaded.

    Args:
        counts: {split: images of each class}, in the order in which the splits are stored; "train" is one of them.
        copies: number of images whose files are copies of others.
    """

    counts: Mapping[str, tuple[int, ...]]
    classes: tuple[str, ...]
    load: Callable[[], tuple[Rows, Int[Tensor, " n"]]]
    provenance: Mapping[str, Any]
    copies: int = 0

    def splits(self, held_out: Mapping[str, int], space: Space, *, flip: bool) -> dict[str, Finite]:
        """Return the training, validation and test split; a missing one is held out from train.

        Held-out images are stratified by class and always the same.

        Args:
            held_out: images to hold out for "valid" and "test", in that order, if the collection has no such split.
            flip: whether training images are mirrored at random.

        Raises:
            ConfigError: if train has too few images for that, or a class has.
        """
        sizes = {split: sum(counts) for split, counts in self.counts.items()}
        held_out = {split: n for split, n in held_out.items() if split not in sizes}
        total, wanted = sizes["train"], sum(held_out.values())
        if wanted >= total:
            splits = " and ".join(held_out)
            raise ConfigError(f"{wanted} of {total} training images would be held out for {splits}: hold out fewer")
        label = torch.arange(len(self.classes)).repeat_interleave(torch.tensor(self.counts["train"]))
        cut = dict(zip(("train", *held_out), stratified(label, tuple(held_out.values()), seed=0), strict=True))
        require_each_class(label, self.classes, cut)

        @functools.cache
        def arrays() -> dict[str, Arrays]:
            raw, label = self.load()
            stored = torch.arange(len(label)).split([*sizes.values()])
            rows = dict(zip(sizes, stored, strict=True))
            cut = stratified(label[rows["train"]], tuple(held_out.values()), seed=0)
            rows |= {split: rows["train"][chosen] for split, chosen in zip(("train", *held_out), cut, strict=True)}
            return {split: Arrays(raw, label, chosen) for split, chosen in rows.items()}

        final = {**sizes, **held_out, "train": total - wanted}
        return {
            split: Finite(lambda split=split: arrays()[split], n, space, flip=flip and split == "train")
            for split, n in final.items()
        }
