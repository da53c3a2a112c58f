"""Rows of arrays on disk: mapped into memory where the array is small, else read as they are asked for."""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from genbench.core import LazyRows, Rows
from genbench.errors import ConfigError, RunFailed

GIB = 4.0
"""What is mapped into memory at most, unless $GENBENCH_MEMORY says otherwise. No number depends on it."""


class Streamed(LazyRows):
    """Rows that stay on disk: what is asked for is read, what was announced is there already, nothing else is kept.

    Args:
        path: a .npy file.
    """

    def __init__(self, path: Path) -> None:
        self.shape, self._kind, self._start = _header(path)
        self._path = path
        self._bytes = self._kind.itemsize * math.prod(self.shape[1:])
        self._reader = ThreadPoolExecutor(1)
        self._ahead: tuple[Tensor, Future[Tensor]] | None = None

    def __getitem__(self, rows: Int[Tensor, " b"]) -> Shaped[Tensor, "b *event"]:
        """Return some rows. Raises RunFailed if the file is shorter than it says."""
        if self._ahead is not None and torch.equal(self._ahead[0], rows):
            return self._ahead[1].result()
        return self._read(rows)

    def announce(self, rows: Int[Tensor, " b"]) -> None:
        """Begin to read the rows that will be asked for next."""
        self._ahead = (rows, self._reader.submit(self._read, rows))

    def _read(self, rows: Tensor) -> Tensor:
        out = np.empty((len(rows), *self.shape[1:]), self._kind)
        memory = memoryview(out.reshape(-1).view(np.uint8).data)
        with self._path.open("rb", buffering=0) as file:
            for row, place in sorted(zip(rows.tolist(), range(len(rows)), strict=True)):
                file.seek(self._start + row * self._bytes)
                if file.readinto(memory[place * self._bytes : (place + 1) * self._bytes]) != self._bytes:
                    raise RunFailed(f"{self._path} is damaged: it ends in row {row}; delete it, and it is made again")
        return torch.from_numpy(out)


class Chosen(LazyRows):
    """Some rows of others, in an order of their own; none is read before it is asked for.

    Args:
        rows: the others.
        places: which of them.
    """

    def __init__(self, rows: Rows, places: Int[Tensor, " n"]) -> None:
        self.shape = (len(places), *rows.shape[1:])
        self._rows = rows
        self._places = places

    def __getitem__(self, rows: Int[Tensor, " b"]) -> Shaped[Tensor, "b *event"]:
        """Return some rows, in the order in which they are asked for."""
        return self._rows[self._places[rows]]


def opened(path: Path) -> Rows:
    """Return the rows of a .npy file: a map of it, or, of more than `cap` bytes, the file to be read from.

    Pages of a map are shared by all processes; but they count as memory of each as long as nobody else wants it.

    Raises:
        RunFailed: if the file is damaged.
    """
    shape, kind, start = _header(path)
    if path.stat().st_size != start + kind.itemsize * math.prod(shape):
        raise RunFailed(f"{path} is damaged: it is not as long as it says; delete it, and it is made again")
    if path.stat().st_size > cap():
        return Streamed(path)
    # Copy on write, since torch warns of arrays that it could not write to.
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def cap() -> int:
    """Return the bytes of an array that is mapped into memory, at most: $GENBENCH_MEMORY in GiB, 4 by default.

    Raises:
        ConfigError: if that is no number.
    """
    said = os.environ.get("GENBENCH_MEMORY") or GIB
    try:
        return int(float(said) * 2**30)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"GENBENCH_MEMORY={said}: give the GiB of images to keep in memory, such as 4") from error


@contextmanager
def writing(path: Path, shape: tuple[int, ...]) -> Iterator[Callable[[int, np.ndarray], object]]:
    """Make a .npy file of uint8 and yield what writes one row into it, in any order: no more than that is in memory."""
    np.lib.format.open_memmap(path, "w+", np.dtype(np.uint8), shape)
    size, (_, _, start) = math.prod(shape[1:]), _header(path)
    with path.open("r+b") as file:

        def put(row: int, values: np.ndarray) -> None:
            file.seek(start + row * size)
            file.write(np.ascontiguousarray(values, np.uint8).data)

        yield put


def _header(path: Path) -> tuple[tuple[int, ...], np.dtype, int]:
    """Return shape, kind and beginning of the array in a .npy file."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        return shape, kind, file.tell()
