"""Arrays in .npy and .npz files."""

import zipfile
import zlib
from collections.abc import Mapping
from lzma import LZMAError
from pathlib import Path

import numpy as np

from genbench.errors import ConfigError, first_line
from genbench.storage import files

SUFFIXES = (".npy", ".npz")

_UNREADABLE = (OSError, EOFError, ValueError, LookupError, RuntimeError, MemoryError)
_UNREADABLE += (zipfile.BadZipFile, zlib.error, LZMAError)
"""Errors of NumPy and zipfile for damaged and encrypted files, and for arrays that do not fit into memory."""


def load(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz by name, or the array of an .npy, whose name is empty.

    Numbers have the byte order of this machine; long doubles become float64.

    Raises:
        ConfigError: if the file cannot be read, or holds Python objects or nothing.
    """
    if not path.is_file():
        raise ConfigError(f"{path} does not exist or is not a file")
    try:
        loaded = np.load(path, allow_pickle=False)
        found = dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {"": loaded}
    except _UNREADABLE as error:
        raise ConfigError(f"{path} is not a readable {path.suffix}: {first_line(error)}") from error
    if not all(isinstance(array, np.ndarray) for array in found.values()):  # NumPy returns other members as bytes
        raise ConfigError(f"{path} is not a readable {path.suffix}: it holds something other than arrays")
    if not found:
        raise ConfigError(f"{path} holds no arrays")
    return {name: _native(array) for name, array in found.items()}


def samples(path: Path, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the array of samples: `samples`, the first unnamed one, or the only one that is not `label`.

    Raises:
        ConfigError: if there is no such array.
    """
    others = [name for name in arrays if name.casefold() != "label"]
    chosen = next((name for name in ("samples", "arr_0") if name in others), others[0] if len(others) == 1 else None)
    if chosen is None:
        raise ConfigError(f"{path} holds {', '.join(arrays)}; call the array of samples 'samples'")
    return arrays[chosen]


def save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays atomically, as a compressed .npz."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # NumPy would append .npz to the name
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    files.replace(path, write)


def _native(array: np.ndarray) -> np.ndarray:
    wide = array.dtype.kind == "f" and array.dtype.itemsize > 8
    return np.ascontiguousarray(array, np.float64 if wide else array.dtype.newbyteorder("="))
