"""Files: written atomically, with a checksum."""

import errno
import hashlib
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from genbench.errors import ConfigError

log = logging.getLogger("genbench")

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of a full or failing disk, which are not errors of the request."""


MAX_TEXT = 64 * 2**20
"""Largest size in bytes of a record or another text file of a results folder that is read."""


class Damaged(ConfigError):
    """A file does not hold what was written into it; the message is one line."""


def read(path: Path, most: int = MAX_TEXT) -> bytes:
    """Return the content of a regular file. Raises as `open_regular` does."""
    with open_regular(path, most) as file:
        return file.read()


def open_regular(path: Path, most: int | None = None, *, follow: bool = True) -> BinaryIO:
    """Open a file that others may have written, without waiting for the writer of a pipe.

    Args:
        most: largest size in bytes; None for any.
        follow: whether a symbolic link is followed.

    Raises:
        Damaged: if the path is not a regular file, or the file is too large.
        FileNotFoundError: if there is no such file.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    except NotADirectoryError as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    except OSError as error:
        if not path.is_symlink() and error.errno != errno.ENXIO:  # ENXIO: a socket
            raise
        raise Damaged(f"{shown(path)} is not a regular file") from error
    status = os.fstat(handle)
    wrong = "" if stat.S_ISREG(status.st_mode) else "is not a regular file"
    if most is not None and status.st_size > most:
        wrong = wrong or f"has {status.st_size:,} bytes; genbench reads at most {most:,}"
    if wrong:
        os.close(handle)
        raise Damaged(f"{shown(path)} {wrong}")
    return open(handle, "rb")


def expanded(path: str | Path) -> Path:
    """Expand ~ in a path. The name of an unknown user is kept; pathlib would raise RuntimeError."""
    return Path(os.path.expanduser(path))


def require_folder(path: Path, *, there: bool = False) -> None:
    """Raise ConfigError if a results folder is not a folder, or is missing although `there` requires it."""
    if there and not path.exists():
        raise ConfigError(f"there is no results folder {path}")
    if os.path.lexists(path) and not path.is_dir():
        raise ConfigError(f"{path} is not a folder: name a folder with --results")


def filename(text: str) -> str:
    """Return a text as part of a file name, in ASCII: other letters have several encodings."""
    return re.sub(r"[^\w.-]", "_", text, flags=re.ASCII)


def write(path: Path, content: bytes | str, *, durable: bool = True) -> None:
    """Write a file atomically: a reader sees the old content or the new, also after a crash if it is durable."""
    data = content.encode() if isinstance(content, str) else content
    replace(path, lambda temporary: temporary.write_bytes(data), durable=durable)


def replace(path: Path, save: Callable[[Path], object], *, durable: bool = True) -> None:
    """Let `save` write a temporary file beside the path, make it durable and move it into place.

    Args:
        durable: whether to wait for the disk, 10 ms a file; False is for views that one command writes again.

    Raises:
        OSError: if the file cannot be written; the error names the path, even if a library's error does not.
    """
    try:
        _replace(path, save, durable)
    except OSError as error:
        # A folder at the path, or one that is read-only: the error names the temporary file. NumPy sets no number if a
        # disk is full.
        if error.errno not in (*FULL, errno.EISDIR, errno.EACCES, errno.EROFS, None):
            raise
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), shown(path)) from error


def _replace(path: Path, save: Callable[[Path], object], durable: bool) -> None:
    make(path.parent)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        save(temporary)
        if durable:
            _sync(temporary)
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        inode = temporary.stat().st_ino
        try:
            temporary.replace(path)
        except FileNotFoundError:  # a rename that NFS repeats fails although it was done the first time
            if path.stat().st_ino != inode:
                raise
        if durable:
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def set_aside(path: Path, *, keep: bool = False) -> Path:
    """Rename a file to make place for another one, report it, and return its new path.

    The new name is NAME.aside, or NAME.aside2 and so on if that exists.

    Args:
        keep: copy the file, because another one will replace it later.
    """
    aside, number = path.with_name(f"{path.name}.aside"), 1
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}.aside{number}")
    if keep:
        replace(aside, partial(shutil.copyfile, path))
    else:
        path.replace(aside)
    log.warning("%s was set aside as %s", shown(path), aside.name)
    return aside


def write_sealed(path: Path, text: str, name: str | None = None) -> None:
    """Write a text atomically, followed by the sha256 of the text and of a name (by default the file name)."""
    write(path, f"{text}\n{hashlib.sha256(f'{text}{name or path.name}'.encode()).hexdigest()}\n")


def read_sealed(path: Path, name: str | None = None) -> str:
    """Return a text that `write_sealed` wrote. Raises Damaged if it is not what was written under this name."""
    text, _, seal = read(path).removesuffix(b"\n").rpartition(b"\n")
    if hashlib.sha256(text + (name or path.name).encode()).hexdigest().encode() != seal:
        raise Damaged(f"{shown(path)} is damaged, or a copy of another file: its checksum differs")
    return text.decode()


def make(folder: Path) -> None:
    """Make a folder and its parents.

    In a path through a lease (see `genbench.storage.lease`), only the part after the last ".." is made: once the lease
    is lost, the path is broken and must stay broken.
    """
    parts = folder.parts
    above = len(parts) - parts[::-1].index("..") if ".." in parts else 0
    for end in range(above + 1, len(parts) + 1):
        Path(*parts[:end]).mkdir(exist_ok=True)


def shown(path: Path) -> str:
    """Return a normalized path, for messages."""
    return os.path.normpath(path)


def drop_temporary(folder: Path) -> None:
    """Remove temporary files that a killed `replace` (or safetensors within it) left in a folder of this process."""
    for pattern in (".*.tmp", ".tmp??????"):
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)
