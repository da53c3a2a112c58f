"""Arrays in .npy and .npz files from elsewhere: headers are checked against file sizes before memory is taken."""

import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from genbench.errors import ConfigError, first_line
from genbench.storage import files, memory

SUFFIXES = (".npy", ".npz")


def names(path: Path) -> list[str]:
    """Return the names of the arrays in an .npz; an .npy holds one, whose name is empty.

    Raises:
        ConfigError: if the file cannot be read, is empty, or holds something other than arrays.
    """
    with _checked(path):
        if path.suffix == ".npy":
            return [""]
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    others = [name for name in members if not name.endswith(".npy")]
    if others or not members:
        raise ConfigError(f"{path} is not an .npz of arrays: it holds {others[0] if others else 'nothing'}")
    return [name.removesuffix(".npy") for name in members]


def load(path: Path, name: str = "") -> np.ndarray:
    """Read one array of numbers or texts.

    Numbers have the byte order of this machine; long doubles become float64.

    Args:
        path: .npy or .npz.
        name: one of `names`.

    Raises:
        ConfigError: if the array is missing, damaged, encrypted or too large, or holds Python objects.
    """
    with _checked(path):
        if path.suffix == ".npy":
            with path.open("rb") as file:
                return _read(file, os.fstat(file.fileno()).st_size, path)
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            with archive.open(member) as file:
                return _read(file, member.file_size, path)


def samples(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the array of samples and their labels: the array called `label`, in any case.

    The samples are the array `samples`, the first unnamed one, or the only one that holds no labels.

    Raises:
        ConfigError: as `load` does, and if there is no array of samples, or more than one of labels.
    """
    found = names(path)
    labels = [name for name in found if name.casefold() == "label"]
    others = [name for name in found if name not in labels]
    chosen = next((name for name in ("samples", "arr_0") if name in others), others[0] if len(others) == 1 else None)
    if chosen is None:
        how = "write one array of all samples, called 'samples': genbench splits data itself"
        raise ConfigError(f"{path} holds {', '.join(found)}; {how}")
    if len(labels) > 1:
        raise ConfigError(f"{path} holds {', '.join(labels)}; give one array of labels, called 'label'")
    return load(path, chosen), load(path, labels[0]) if labels else None


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
    except ConfigError:
        raise
    except Exception as error:  # NumPy parses headers as Python, and zipfile raises many types on a damaged file
        raise ConfigError(f"{path} is not a readable {path.suffix}: {first_line(error)}") from error


def _read(file: IO[bytes], size: int, path: Path) -> np.ndarray:
    """Read an array of a file with that many bytes, which its header must account for."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):  # NumPy writes later versions only for named fields, and their headers may have gigabytes
        raise ValueError(f"it has version {version[0]}.{version[1]} of the format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    expected, rest = math.prod(shape) * dtype.itemsize, size - file.tell()
    if expected != rest and not dtype.hasobject:
        raise ValueError(f"its header, {shape} of {dtype}, needs {expected:,} bytes, but the file has {rest:,}")
    memory.require(expected, str(path))
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    wide = dtype.kind == "f" and dtype.itemsize > 8
    return np.ascontiguousarray(array, np.float64 if wide else dtype.newbyteorder("="))
