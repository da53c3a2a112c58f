"""The cache: results of long computations, each named by a hash of everything that determines it.

    $GENBENCH_HOME/KIND/NAME          (by default below ~/.cache/genbench)

An entry never changes, so the cache may be deleted at any time. An entry is written atomically and under its own lock:
if several processes need it, one of them makes it. Reading an entry verifies it; a damaged entry is reported in one
line and made again.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from filelock import FileLock

from genbench.errors import ConfigError
from genbench.storage.files import Damaged, read_sealed, shown, write_sealed

log = logging.getLogger("genbench")

Content = TypeVar("Content")


def home() -> Path:
    """Return the folder of downloads and caches: $GENBENCH_HOME, or ~/.cache/genbench.

    Raises:
        ConfigError: if it is below the home directory of a user whom the system does not know.
    """
    folder = Path(os.environ.get("GENBENCH_HOME") or "~/.cache/genbench")
    try:
        return folder.expanduser()
    except RuntimeError as error:
        raise ConfigError(f"no home directory is known for {folder}: set GENBENCH_HOME to a full path") from error


def key(**determinants: Any) -> str:
    """Return a hash of everything that determines an entry, given as plain JSON."""
    text = json.dumps(determinants, sort_keys=True)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:24]


def get(kind: str, name: str, read: Callable[[Path], Content], make: Callable[[Path], object]) -> Content:
    """Return the content of an entry; make it first if it is missing or damaged.

    If the cache folder cannot be written, the entry is made in a temporary folder of this process.

    Args:
        name: file name, which contains the `key` of everything that determines the content.
        read: returns the content of the file. Raises Damaged if it is not what was written.
        make: writes the file, atomically.
    """
    path = home() / kind / name
    with suppress(OSError, Damaged):  # missing, damaged, or being made: decided under the lock
        return read(path)
    with _locked(path) as place:
        try:
            return read(place)
        except (OSError, Damaged) as error:
            if not isinstance(error, FileNotFoundError):
                log.warning("%s; it is made again", error)
        make(place)
        return read(place)


def text(kind: str, name: str, make: Callable[[], str]) -> str:
    """Return a text from the cache. The checksum covers the name of the entry: a copy under another name is damaged."""
    return get(kind, name, read_sealed, lambda path: write_sealed(path, make()))


@contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """Hold the lock of an entry, and yield the path at which it can be written."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        yield Path(_temporary_folder(path.parent, error.strerror or str(error)).name) / path.name
        return
    try:
        yield path
    finally:
        lock.release()


@lru_cache
def _temporary_folder(instead_of: Path, reason: str) -> TemporaryDirectory:
    log.warning("%s cannot be written (%s): entries last for this process only", shown(instead_of), reason)
    return TemporaryDirectory(prefix="genbench-")  # removed when the process ends
