"""Content hashes: the sha256 of files and folders, and the same remembered until something in them changes."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from genbench.errors import ConfigError
from genbench.settings import OnDisk, Settings, marker_in, settings_of
from genbench.storage import cache, files
from genbench.storage.files import Damaged


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


def paths_in(builder: Callable, settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield the name and the path of each bound setting that is a path; nested ones are called COMPONENT.SETTING."""
    for name, setting in settings_of(builder).items():
        value, marker = settings.get(name), marker_in(setting.type, OnDisk)
        if marker is None and _takes_path(setting.type):
            marker = OnDisk()
        if setting.nested is not None and isinstance(value, Mapping):
            nested = paths_in(setting.nested.registry[value["name"]].build, value)
            yield from ((f"{name}.{inner}", path) for inner, path in nested)
        if value is not None and marker is not None:
            path = Path(str(value)).expanduser()
            is_default = str(value) == str(setting.default)  # such as the name of a file that is yet to be written
            if path.exists() or not (marker.or_name or is_default):
                yield name, path


def of_settings(builder: Callable, settings: Settings, what: str) -> dict[str, str]:
    """Return {setting: sha256} of the files and folders that bound settings name.

    Args:
        what: how messages call the builder.

    Raises:
        ConfigError: if one does not exist or cannot be read.
    """
    found = {}
    for name, path in paths_in(builder, settings):
        if not path.exists():
            raise ConfigError(f"{what}.{name}: {path} does not exist")
        found[name] = remembered(path)
    return found


def _takes_path(annotation: Any) -> bool:
    return annotation is Path or any(map(_takes_path, get_args(annotation)))


def cached_file(kind: str, name: str, make: Callable[[Path], object]) -> Path:
    """Return a large file of the cache, whose sha256 is kept beside it; a damaged one is made again.

    It is hashed when it was made, and again only after its size or modification time has changed.

    Args:
        name: file name, with the `cache.key` of everything that determines the content.
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
    except (OSError, ValueError) as error:  # a ValueError of a path with a null byte
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


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
