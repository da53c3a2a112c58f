"""Content hashes: the sha256 of files and folders, cached until something in them changes."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from genbench.errors import ConfigError
from genbench.settings import OnDisk, Setting, Settings, each_setting, marker_in
from genbench.storage import cache, files
from genbench.storage.files import Damaged


def sha256(path: Path) -> str:
    """Return the sha256 of a file, or of the names and contents of all files in a folder."""
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


DOUBT = 2.0
"""A change within so many seconds after another one may leave times unchanged: file systems have coarse clocks."""


def stamp(path: Path) -> str:
    """Return a text that changes with the content of a file or folder: names, sizes, times and inodes.

    Programs such as rsync and tar can restore the time of modification, but not the time at which the inode changed. If
    the last change is only seconds old, times prove nothing, and the stamp contains the hash of the content.
    """
    changes: list[float] = []

    def one(status: os.stat_result) -> str:
        changes.append(status.st_ctime)
        return _stamp(status)

    text = _combined(path, lambda entry: one(entry.stat())) if path.is_dir() else one(path.stat())
    return f"{text} {sha256(path)}" if max(changes, default=0.0) > time.time() - DOUBT else text


def paths_in(builder: Callable, settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield the name and the path of each bound setting that is a path; nested ones are called COMPONENT.SETTING."""
    for name, setting, value in each_setting(builder, settings):
        marker = path_marker(setting)
        if value is not None and marker is not None:
            path = files.expanded(str(value))
            is_default = str(value) == str(setting.default)  # the file need not exist yet
            if path.exists() or not (marker.or_name or is_default):
                yield name, path


def of_settings(builder: Callable, settings: Settings, what: str) -> dict[str, str]:
    """Return {setting: sha256} of the files and folders that bound settings name.

    Args:
        what: name of the builder in messages.

    Raises:
        ConfigError: if a file or folder does not exist or cannot be read.
    """
    found = {}
    for name, path in paths_in(builder, settings):
        if not path.exists():
            raise ConfigError(f"{what}.{name}: {path} does not exist")
        found[name] = remembered(path)
    return found


def path_marker(setting: Setting) -> OnDisk | None:
    """Return the marker of a setting that is a path; None for others."""
    return _marker(setting.type)


@lru_cache(maxsize=512)
def _marker(annotation: Any) -> OnDisk | None:
    return marker_in(annotation, OnDisk) or (OnDisk() if _takes_path(annotation) else None)


def _takes_path(annotation: Any) -> bool:
    return annotation is Path or any(map(_takes_path, get_args(annotation)))


def cached_file(kind: str, name: str, make: Callable[[Path], object]) -> Path:
    """Return a large file of the cache, beside which its sha256 is stored; a damaged file is made again.

    The file is hashed when it is made, and again only after its size or modification time has changed.

    Args:
        name: file name, which contains the `cache.key` of everything that determines the content.
        make: writes the file.
    """

    def read(entry: Path) -> Path:
        expected, path = files.read_sealed(entry), entry.with_name(name)
        if path.is_symlink() or not path.is_file() or remembered(path) != expected:
            raise Damaged(f"{files.shown(path)} is damaged: it is missing, or not what was written")
        return path

    def write(entry: Path) -> None:
        path = entry.with_name(name)
        files.replace(path, make)
        files.write_sealed(entry, remembered(path))

    return cache.get(kind, f"{name}.sha256", read, write)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


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
            if entry.is_file() or (entry.is_dir() and not os.listdir(entry.path)):
                yield name, entry
            elif entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{name}/")


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
