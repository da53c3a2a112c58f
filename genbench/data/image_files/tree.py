"""Trees of images: a folder or a tar archive, with class folders or without, whole or in parts.

```
train/cat/1.png  train/dog/2.png  test/cat/3.png ...     parts and classes
cat/1.png  dog/2.png ...                                 classes
1.png  2.png ...                                         neither
```
Folders around all of it do not count, nor do names that begin with a dot. A folder that holds images holds nothing
else. Classes are numbered in the order of their names.
"""

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from posixpath import dirname, normpath, splitext

from genbench.errors import ConfigError

ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
PARTS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}

Layout = dict[str, dict[str, list[str]]]
"""{part: {class: names of its images}}, all sorted; the class is "" where there are no class folders."""


def layout(path: Path) -> Layout:
    """Return which images belong to which class of which part; a tree without parts is all "train".

    Args:
        path: a folder, or a tar archive of any compression.

    Raises:
        ConfigError: if the path cannot be read, holds no images, or is laid out in no such way.
    """
    names = list(_names(path))
    names = [name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))]
    images = sorted(name for name in names if _is_image(name))
    if not images:
        raise ConfigError(f"{path} holds no images ({', '.join(sorted(ENDINGS))})")
    twice = next((a for a, b in pairwise(images) if a == b), None)
    if twice is not None:
        raise ConfigError(f"{path} holds {twice} twice")
    holders = {dirname(name) for name in images}
    for name in names:
        if not name.endswith("/") and not _is_image(name) and dirname(name) in holders:
            raise ConfigError(f"{path}: {name} lies among images and is none")
    # A README above the images does not count, an empty folder does: it may be a class.
    folders = {name for name in names if name.endswith("/")}
    above = holders - {""}
    while above:
        folders |= {f"{folder}/" for folder in above}
        above = {dirname(folder) for folder in above} - {""}
    entries = sorted({*images, *folders})
    root = ""
    while True:
        inside = _children(entries, root)
        if len(inside) != 1 or inside[0] in PARTS or not any(name == f"{root}{inside[0]}/" for name in entries):
            break
        root += f"{inside[0]}/"
    parts = [name for name in inside if name in PARTS and f"{root}{name}/" in folders]
    others = [name for name in inside if name not in parts]
    if others and len(parts) > 1:
        raise ConfigError(f"{path}: {root}{others[0]} lies beside {', '.join(parts)}: is it a part or a class?")
    if others:
        return {"train": _classes(path, entries, root)}
    if "train" not in parts:
        raise ConfigError(f"{path} has {', '.join(parts)} and no train")
    found = {PARTS[name]: _classes(path, entries, f"{root}{name}/") for name in parts}
    if len(found) < len(parts):
        raise ConfigError(f"{path}: {', '.join(parts)} are two names of one part")
    for part, classes in found.items():
        odd = sorted(found["train"].keys() ^ classes.keys())
        if odd:
            there, missing = ("train", part) if odd[0] in found["train"] else (part, "train")
            raise ConfigError(f"{path}: class '{odd[0]}' is in {there} and not in {missing}")
    return {part: found[part] for part in ("train", "valid", "test") if part in found}


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each image, in whatever order they are stored.

    Raises:
        ConfigError: if the path cannot be read.
    """
    if path.is_dir():
        for name in _names(path):
            if _is_image(name):
                yield name, (path / name).read_bytes()
        return
    with _opened(path) as archive:
        for member in archive:
            name = normpath(member.name).lstrip("/")
            file = archive.extractfile(member) if member.isfile() and _is_image(name) else None
            if file is not None:
                yield name, file.read()
            archive.members = []  # type: ignore[attr-defined]


def _names(path: Path) -> Iterator[str]:
    """Yield all names in the tree, relative, folders with a slash at the end."""
    if path.is_dir():
        for item in path.rglob("*"):
            yield item.relative_to(path).as_posix() + ("/" if item.is_dir() else "")
        return
    with _opened(path) as archive:
        for member in archive:
            if not member.isdir() and not member.isfile():
                raise ConfigError(f"{path}: {member.name} is a link; give an archive of files")
            name = normpath(member.name).lstrip("/")
            if name != ".":
                yield name + ("/" if member.isdir() else "")
            archive.members = []  # type: ignore[attr-defined]


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive to stream it; who walks it forgets its members, so that memory stays bounded."""
    if not path.exists():
        raise ConfigError(f"{path} does not exist")
    try:
        with tarfile.open(path, "r|*") as archive:
            yield archive
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ConfigError(f"{path} is neither a folder nor a readable tar archive: {error}") from error


def _is_image(name: str) -> bool:
    return splitext(name)[1].lower() in ENDINGS and not name.endswith("/")


def _children(entries: list[str], root: str) -> list[str]:
    """Return the names directly inside a folder."""
    below = (name[len(root) :] for name in entries if name.startswith(root) and name != root)
    return sorted({name.split("/")[0] for name in below})


def _classes(path: Path, entries: list[str], root: str) -> dict[str, list[str]]:
    """Return the images of each class folder inside a folder, or of the folder itself."""
    images = [name for name in entries if name.startswith(root) and not name.endswith("/")]
    loose = [name for name in images if "/" not in name[len(root) :]]
    inside = _children(entries, root)
    if len(loose) == len(inside) and loose:
        return {"": loose}
    if loose:
        raise ConfigError(f"{path}: {loose[0]} lies beside class folders")
    found: dict[str, list[str]] = {name: [] for name in inside}
    for name in images:
        found[name[len(root) :].split("/")[0]].append(name)
    empty = [name for name, members in found.items() if not members]
    if empty or not found:
        raise ConfigError(f"{path}: {root}{empty[0] if empty else ''} holds no images")
    return found
