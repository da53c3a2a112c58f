"""Arrays in .npy and .npz files of others: checked against the size of the file before memory is taken."""

import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedIOBase, BytesIO
from lzma import LZMAError
from pathlib import Path
from struct import error as StructError
from tokenize import TokenError
from typing import IO

import numpy as np

from genbench.errors import ConfigError, first_line
from genbench.storage import files, memory

SUFFIXES = (".npy", ".npz")

MAX_HEADER = 10_000
"""Bytes of the header of an array; NumPy parses no longer ones."""

_BAD = (OSError, EOFError, ValueError, RuntimeError, KeyError, OverflowError, StructError)
_BAD += (zipfile.BadZipFile, zlib.error, LZMAError)
"""Errors of NumPy and zipfile for other and for encrypted files."""


def names(path: Path) -> list[str]:
    """Return the names of the arrays in an .npz; of an .npy, which holds one, the empty name.

    Raises:
        ConfigError: if the file is none, or holds something else.
    """
    with _checked(path):
        if path.suffix == ".npy":
            return [""]
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    others = [name for name in members if not name.endswith(".npy")]
    if others or not members:
        raise ConfigError(f"{path} is not an .npz: it holds {others[0] if others else 'nothing'}")
    return [name.removesuffix(".npy") for name in members]


def load(path: Path, name: str = "") -> np.ndarray:
    """Read an array of numbers or texts, in the byte order of this machine; long doubles become float64.

    Args:
        path: .npy or .npz.
        name: one of `names`.

    Raises:
        ConfigError: if the file is damaged, encrypted, or too large, or holds Python objects.
    """
    with _checked(path):
        if path.suffix == ".npy":
            with path.open("rb") as file:
                return _read(file, os.fstat(file.fileno()).st_size, path)
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            with archive.open(member) as file:
                return _read(file, member.file_size, path)


def load_samples(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the array of samples, called samples, by NumPy's default, or anything if it is the only one; and its labels.

    Raises:
        ConfigError: as `load` does, and if no array is the one of samples.
    """
    found = names(path)
    others = [name for name in found if name != "label"]
    chosen = next((name for name in ("samples", "arr_0") if name in others), others[0] if len(others) == 1 else None)
    if chosen is None:
        raise ConfigError(f"{path} holds {', '.join(found)}; call the array of samples 'samples'")
    return load(path, chosen), load(path, "label") if "label" in found else None


def save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays atomically, as a compressed .npz."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # NumPy would append .npz to the name
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    files.replace(path, write)


@contextmanager
def _checked(path: Path) -> Iterator[None]:
    if not path.is_file():
        raise ConfigError(f"{path} does not exist or is not a file")
    try:
        yield
    except _BAD as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} is not a readable {path.suffix}: {first_line(error)}") from error


def read_header(file: IO[bytes] | BufferedIOBase) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of an .npy: its shape, whether its order is Fortran's, and its type.

    Raises:
        ValueError: if it is none. NumPy parses it as Python, which has many errors.
    """
    version = np.lib.format.read_magic(file)
    read, width = {
        (1, 0): (np.lib.format.read_array_header_1_0, 2),
        (2, 0): (np.lib.format.read_array_header_2_0, 4),
    }.get(version, (None, 0))
    if read is None:
        raise ValueError(f"version {version[0]}.{version[1]} of the format")
    length = file.read(width)
    if (size := int.from_bytes(length, "little")) > MAX_HEADER:  # a small archive may unpack to gigabytes of header
        raise ValueError(f"its header has {size:,} bytes")
    try:
        return read(BytesIO(length + file.read(size)))
    except (ValueError, SyntaxError, TokenError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"its header describes no array: {first_line(error)}") from error
    except MemoryError as error:  # of Python's parser
        raise ValueError("its header is nested too deeply") from error


def _read(file: IO[bytes] | BufferedIOBase, size: int, path: Path) -> np.ndarray:
    """Read an array of a file of that size, whose header is compared with it first."""
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError(f"shape {shape}")
    expected, rest = math.prod(shape) * dtype.itemsize, size - file.tell()
    if expected != rest:
        raise ValueError(f"by its header, {shape} of {dtype}, it holds {expected:,} bytes, and it has {rest:,}")
    memory.require(expected, str(path))
    data = file.read(expected)
    if len(data) != expected:
        raise ValueError("it is cut short")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    native = np.float64 if dtype.kind == "f" and dtype.itemsize > 8 else dtype.newbyteorder("=")
    return np.array(array, native, order="C")
