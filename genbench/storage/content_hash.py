"""Content hashes: the sha256 of files and folders, and the same remembered until something in them changes."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from genbench.errors import ConfigError
from genbench.storage import cache


def sha256(path: Path) -> str:
    """Return the sha256 of a file, or that of the names and contents of all files in a folder."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return _combined(path, lambda entry: sha256(Path(entry.path)))


def remembered(path: Path) -> str:
    """Return the `sha256` of a path, from the cache as long as its `stamp` stays the same.

    Raises:
        ConfigError: if the path does not exist or cannot be read.
    """
    with _readable(path):
        signature = stamp(path)

    def make() -> str:
        with _readable(path):
            return sha256(path)

    return cache.text("content", cache.key(path=str(path.resolve()), signature=signature), make)


def stamp(path: Path) -> str:
    """Return what changes with the content of a file or folder: sizes, times, and which files there are."""
    return _stamp(path.stat()) if not path.is_dir() else _combined(path, lambda entry: _stamp(entry.stat()))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error


def _combined(folder: Path, describe: Callable[[os.DirEntry], str]) -> str:
    """Return a digest of the names in a folder: of all files, with a description each, and of empty folders."""
    digest = hashlib.sha256()
    for name, entry in _walk(str(folder), ""):
        line = f"{name}/\n" if entry.is_dir() else f"{name}\0{describe(entry)}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, os.DirEntry]]:
    """Yield all files and empty folders below a folder, in the order of their names."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = f"{prefix}{entry.name}"
            below = _walk(entry.path, f"{name}/") if entry.is_dir(follow_symlinks=False) else iter(())
            first = next(below, None)
            if first is not None:
                yield first
                yield from below
            elif entry.is_file() or (entry.is_dir() and not os.listdir(entry.path)):
                yield name, entry


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
