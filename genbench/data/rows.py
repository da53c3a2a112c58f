"""Rows of arrays on disk: read when they are indexed, each verified by its checksum.

A file is a .npy file, followed by the CRC-32 of every row (uint32, little-endian).
"""

import math
import os
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from genbench.core import LazyRows, Rows
from genbench.storage import arrays, cache, files
from genbench.storage.files import Damaged

NumberedRows = Iterable[tuple[int, np.ndarray]]
"""Every row of an array with its index, in any order."""


class CachedRows(LazyRows):
    """The rows of an array in the cache. Only requested and prefetched rows are in memory.

    A row is verified when this object first reads it; a damaged file is made again, also in the middle of a run.

    Args:
        make: yields the rows if they have to be made.
    """

    def __init__(
        self, kind: str, name: str, shape: tuple[int, ...], dtype: type, make: Callable[[], NumberedRows]
    ) -> None:
        self.shape = shape
        self._entry = kind, name
        self._dtype = np.dtype(dtype)
        self._make = make
        self._verified = bytearray(shape[0])
        self._file = self._get(self._opened)
        self._reader = ThreadPoolExecutor(1)
        self._ahead: tuple[Tensor, Future[Tensor]] | None = None

    def __getitem__(self, rows: Int[Tensor, " b"]) -> Shaped[Tensor, "b *event"]:
        """Return some rows."""
        if self._ahead is not None and torch.equal(self._ahead[0], rows):
            return self._ahead[1].result()
        return self._read(rows)

    def read_ahead(self, rows: Int[Tensor, " b"]) -> None:
        """Start to read, in a thread, the rows that are needed next."""
        self._ahead = (rows, self._reader.submit(self._read, rows))

    def _read(self, rows: Tensor) -> Tensor:
        try:
            return self._gather(self._file, rows.tolist())
        except Damaged:
            self._file = self._get(self._checked)
            return self._gather(self._file, rows.tolist())

    def _gather(self, file: "_File", rows: list[int]) -> Tensor:
        out = np.empty((len(rows), *self.shape[1:]), self._dtype)
        size = self._dtype.itemsize * math.prod(self.shape[1:])
        memory = memoryview(out.reshape(-1).view(np.uint8).data)
        for row, place in sorted(zip(rows, range(len(rows)), strict=True)):
            data = memory[place * size : (place + 1) * size]
            length = os.preadv(file.handle.fileno(), [data], file.start + row * size)
            if length != size or not (self._verified[row] or self._checksum(data) == file.checksums[row]):
                raise Damaged(f"{files.shown(file.path)} is damaged: row {row} is not what was written")
            self._verified[row] = 1
        return torch.from_numpy(out)

    def _get(self, read: Callable[[Path], "_File"]) -> "_File":
        return cache.get(*self._entry, read, self._write)

    def _opened(self, path: Path) -> "_File":
        handle = files.open_regular(path)
        try:
            shape, fortran, dtype = arrays.read_header(handle)
            start = handle.tell()
            end = start + self._dtype.itemsize * math.prod(self.shape)
            sound = (shape, fortran, dtype) == (self.shape, False, self._dtype)
            sound = sound and os.fstat(handle.fileno()).st_size == end + 4 * self.shape[0]
        except ValueError:
            sound = False
        if not sound:
            raise Damaged(f"{files.shown(path)} is damaged: it is not an array of shape {self.shape}, with checksums")
        handle.seek(end)
        return _File(path, handle, start, np.fromfile(handle, "<u4"))

    def _checked(self, path: Path) -> "_File":
        file = self._opened(path)
        self._verified = bytearray(self.shape[0])
        for rows in torch.arange(self.shape[0]).split(256):
            self._gather(file, rows.tolist())
        return file

    def _write(self, path: Path) -> None:
        files.replace(path, self._save)

    def _save(self, path: Path) -> None:
        checksums = np.zeros(self.shape[0], "<u4")
        size = self._dtype.itemsize * math.prod(self.shape[1:])
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": self.shape}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()
            for row, values in self._make():
                data = np.ascontiguousarray(values, self._dtype).reshape(-1).view(np.uint8).data
                file.seek(start + row * size)
                file.write(data)
                checksums[row] = self._checksum(data)
            file.seek(start + len(checksums) * size)
            file.write(checksums.tobytes())

    def _checksum(self, data: memoryview) -> int:
        # Begun with the name, so that a file under another name counts as damaged.
        return zlib.crc32(data, zlib.crc32(self._entry[1].encode()))


class _File(NamedTuple):
    """An open file of rows: where the first one starts, and the checksum of each."""

    path: Path
    handle: BinaryIO
    start: int
    checksums: np.ndarray


class SelectedRows(LazyRows):
    """Some rows of an array in a given order; each is read when it is indexed."""

    def __init__(self, rows: Rows, indices: Int[Tensor, " n"]) -> None:
        self.shape = (len(indices), *rows.shape[1:])
        self._rows = rows
        self._indices = indices

    def __getitem__(self, rows: Int[Tensor, " b"]) -> Shaped[Tensor, "b *event"]:
        """Return some rows, in the given order."""
        return self._rows[self._indices[rows]]
