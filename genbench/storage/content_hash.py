"""Content hashes: the sha256 of files and folders, remembered until a size or a modification time in them changes."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genbench.errors import ConfigError
from genbench.storage import cache, files


def sha256(path: Path) -> str:
    """Return what `files.sha256` returns, from the cache if the path is unchanged.

    Raises:
        ConfigError: if the path does not exist or cannot be read.
    """
    with _readable(path):
        name = cache.key(path=str(path.resolve()), signature=_signature(path))

    def write(entry: Path) -> None:
        with _readable(path):
            found = files.sha256(path)
        files.write_sealed(entry, found)

    return cache.get("content", name, files.read_sealed, write)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error


def _signature(path: Path) -> str:
    if path.is_file():
        return _stamp("", path.stat())
    if not path.is_dir():
        raise FileNotFoundError(2, "no such file or folder")
    digest = hashlib.sha256()
    for line in sorted(_stamps(path, "")):
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _stamps(folder: Path, prefix: str) -> list[str]:
    lines = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                lines += _stamps(Path(entry.path), f"{name}/") or [f"{name}/\n"]
            else:
                lines.append(_stamp(name, entry.stat()))
    return lines


def _stamp(name: str, status: os.stat_result) -> str:
    return f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"
