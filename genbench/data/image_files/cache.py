"""Caches: what a path holds is read once and remembered by its sha256."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from genbench.errors import ConfigError
from genbench.storage import files


def content(path: Path) -> str:
    """Return the sha256 of a file or a tree, remembered as long as no size and no time of change in it differs.

    Raises:
        ConfigError: if the path does not exist or cannot be read.
    """
    try:
        now = _signature(path)
        note = files.home() / "known" / f"{_digest(str(path.resolve()))}.json"
        known = _read(note)
        if known.get("signature") == now:
            return known["sha256"]
        found = files.sha256(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    files.write(note, json.dumps({"signature": now, "sha256": found}))
    return found


def place(sha256: str, **settings: Any) -> Path:
    """Return the folder for what is made from that content with those settings."""
    text = json.dumps({"content": sha256, **settings}, sort_keys=True)
    return files.home() / "data" / _digest(text)


def _signature(path: Path) -> str:
    if path.is_file():
        return _stamp("", path.stat())
    if not path.is_dir():
        raise FileNotFoundError(2, "no such file or folder")
    digest = hashlib.sha256()
    for line in sorted(_stamps(path, "")):
        digest.update(line.encode())
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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:24]


def _read(note: Path) -> dict[str, Any]:
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
