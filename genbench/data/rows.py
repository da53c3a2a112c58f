"""Rows of arrays in .npy files of the cache, read when they are indexed, and how rows are cut into parts."""

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from genbench.core import LazyRows, Rows
from genbench.errors import ConfigError
from genbench.seeds import generator
from genbench.space import Space
from genbench.storage import content_hash, files

NumberedRows = Iterable[tuple[int, np.ndarray]]
"""Every row of an array with its index, in any order."""


class CachedRows(LazyRows):
    """The rows of an array in the cache. Only requested and prefetched rows are in memory.

    They are read by `os.pread`: pages of a `numpy.memmap` count as memory of the process, and reading a truncated file
    would kill it.

    Args:
        name: file name, which contains the `cache.key` of everything that determines the rows.
        make: function that yields the rows; called only if the file is missing or damaged.
    """

    def __init__(
        self, kind: str, name: str, shape: tuple[int, ...], dtype: type, make: Callable[[], NumberedRows]
    ) -> None:
        self.shape = shape
        self._dtype = np.dtype(dtype)
        self._size = self._dtype.itemsize * math.prod(shape[1:])
        self._make = make
        self.name = name
        self._file = files.open_regular(content_hash.cached_file(kind, name, self._write))
        self._start = os.fstat(self._file.fileno()).st_size - math.prod(shape) * self._dtype.itemsize
        self._reader = ThreadPoolExecutor(1)
        self._ahead: tuple[Tensor, Future[Tensor]] | None = None

    def __getitem__(self, rows: Int[Tensor, " b"]) -> Shaped[Tensor, "b *event"]:
        if self._ahead is not None and torch.equal(self._ahead[0], rows):
            return self._ahead[1].result()
        return self._read(rows)

    def read_ahead(self, rows: Int[Tensor, " b"]) -> None:
        """Start to read, in a thread, the rows that are needed next."""
        self._ahead = (rows, self._reader.submit(self._read, rows))

    def _read(self, rows: Tensor) -> Tensor:
        file = self._file.fileno()
        data = bytearray().join(os.pread(file, self._size, self._start + row * self._size) for row in rows.tolist())
        return torch.from_numpy(np.frombuffer(data, self._dtype).reshape(len(rows), *self.shape[1:]))

    def _write(self, path: Path) -> None:
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": self.shape}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()
            for row, values in self._make():
                file.seek(start + row * self._size)
                file.write(np.ascontiguousarray(values, self._dtype).data)


class SelectedRows(LazyRows):
    """Some rows of an array in a given order; each is read when it is indexed."""

    def __init__(self, rows: Rows, indices: Int[Tensor, " n"]) -> None:
        self.shape = (len(indices), *rows.shape[1:])
        self._rows = rows
        self._indices = indices

    def __getitem__(self, rows: Int[Tensor, " b"]) -> Shaped[Tensor, "b *event"]:
        return self._rows[self._indices[rows]]


def hash_of(raw: Rows, rows: Int[Tensor, " n"], space: Space) -> str:
    """Return a hash of samples; rows of the cache, which may be too many to read, count by the name of their file."""
    digest = hashlib.sha256(rows.numpy().data)
    if isinstance(raw, CachedRows):
        digest.update(raw.name.encode())
    else:
        for part in rows.split(256):
            digest.update(space.encode(raw[part]).numpy().tobytes())
    return digest.hexdigest()


def stratified(label: Int[Tensor, " n"], counts: tuple[int, ...], seed: int) -> list[Int[Tensor, " rows"]]:
    """Cut rows into disjoint parts with the class proportions of the whole, drawn from the seed.

    Args:
        label: the class of each row.
        counts: size of each part but the first, which gets the remaining rows.
        seed: decides which rows go where.

    Returns:
        Sorted rows of each part. The share of every class is exact to within one row in the first part that is held
        out, and to within two in the others. How many rows of each class a part has depends on the counts of classes
        only.
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


def require_each_class(label: Int[Tensor, " n"], names: Sequence[str], parts: Mapping[str, Tensor]) -> None:
    """Raise ConfigError if a class has no row in the training part, or none in a test part that is not empty.

    Args:
        parts: {"train": its rows, "valid": ..., "test": ...}.
    """
    whole = label.bincount(minlength=len(names))
    for part, rows in parts.items():
        missing = (whole > 0) & (label[rows].bincount(minlength=len(names)) == 0)
        if part != "valid" and len(rows) and missing.any():
            name, n = names[int(missing.int().argmax())], int(whole[missing][0])
            raise ConfigError(
                f"class '{name}' has too few samples ({n}), of which none would be in {part}: add some, or change how "
                "many are held out"
            )
