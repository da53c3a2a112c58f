"""Trees of image files: a folder or a tar archive, with or without split folders and class folders.

```
train/cat/1.png  train/dog/2.png  test/cat/3.png ...     splits and classes
cat/1.png  dog/2.png ...                                 classes
1.png  2.png ...                                         neither
```
Folders around all of it are skipped, and so are names that begin with a dot. A folder that holds images holds nothing
else. Classes are numbered in the order of their names.
"""

import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import takewhile
from lzma import LZMAError
from pathlib import Path
from posixpath import commonpath, dirname, normpath, splitext

from genbench.errors import ConfigError

EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
LARGEST = 2**30
"""Bytes of an image file."""

MAX_UNPACKED = 100
"""Size of the members of an archive in terms of its own, above `LARGEST` bytes; images hardly get smaller."""

MANY, MIN_PACKED = 10_000, 8
"""Members of an archive above which each takes so many bytes of it on average, however well it is compressed."""

EXTENDING = frozenset({tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, *tarfile.GNU_TYPES[:2]})
MAX_HEADER = 2**20
"""Types of headers that extend the next one, as by a long name, and their bytes."""

SPLITS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
"""{folder name: split}."""

Layout = dict[str, dict[str, list[str]]]
"""{split: {class: names of its images}}, all sorted; the class is "" where there are no class folders."""


def layout(path: Path) -> Layout:
    """Return which images belong to which class of which split; a tree without splits is all "train".

    Args:
        path: a folder, or a tar archive of any compression.

    Raises:
        ConfigError: if the path cannot be read, holds no images, or mixes these layouts.
    """
    names = [n for n, _ in _entries(path) if not any(part.startswith((".", "__MACOSX")) for part in n.split("/"))]
    images = sorted(name for name in names if _is_image(name))
    if not images:
        raise ConfigError(f"{path} holds no images ({', '.join(sorted(EXTENSIONS))})")
    repeated = next((name for name, count in Counter(images).items() if count > 1), None)
    if repeated is not None:
        raise ConfigError(f"{path} holds {repeated} twice")
    holders = {dirname(name) for name in images}
    for name in names:
        if not name.endswith("/") and not _is_image(name) and dirname(name) in holders:
            raise ConfigError(f"{path}: {name} is in a folder of images, but is not an image")
    # A README above the images is skipped, an empty folder is not: it may be a class.
    ancestors = {above for holder in holders for above in _ancestors(holder)}
    empty = sorted(name[:-1] for name in names if name.endswith("/") and name[:-1] not in ancestors)
    around = commonpath([*holders, *empty]).split("/")
    root = "/".join(takewhile(lambda folder: folder not in SPLITS, around))
    children = sorted({_child(name, root) for name in (*images, *empty)})
    folders = [child for child in children if child in SPLITS]
    others = [child for child in children if child not in SPLITS]
    if others and len(folders) > 1:
        raise ConfigError(
            f"{path}: {_join(root, others[0])} is beside {', '.join(folders)}, which are splits, but is not a split"
        )
    if others:
        return {"train": _classes(path, root, images, empty)}
    if "train" not in folders:
        raise ConfigError(f"{path} has {', '.join(folders)} and no train")
    splits = {}
    for folder in folders:
        inside = _join(root, folder)
        below = ([name for name in some if f"{name}/".startswith(f"{inside}/")] for some in (images, empty))
        splits[SPLITS[folder]] = _classes(path, inside, *below)
    if len(splits) < len(folders):
        raise ConfigError(f"{path}: {', '.join(folders)} are two names of one split")
    for split, classes in splits.items():
        odd = min(splits["train"].keys() ^ classes.keys(), default=None)
        if odd is not None:
            there, missing = ("train", split) if odd in splits["train"] else (split, "train")
            raise ConfigError(f"{path}: class '{odd}' is in {there} and not in {missing}")
    return {split: splits[split] for split in ("train", "valid", "test") if split in splits}


def names_in(layout: Layout) -> Iterator[str]:
    """Yield the names of all images, by split and class."""
    return (name for classes in layout.values() for images in classes.values() for name in images)


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each image, in the order in which they are stored.

    Raises:
        ConfigError: if the path cannot be read.
    """
    return ((name, read()) for name, read in _entries(path) if _is_image(name))


def _entries(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the relative name of everything in the tree, folders with a slash at the end, and what reads it."""
    if not path.is_dir():
        yield from _members(path)
        return
    for item in path.rglob("*"):
        name = item.relative_to(path).as_posix()
        if not item.is_file() and not item.is_dir():
            raise ConfigError(f"{path}: {name} is neither a file nor a folder")
        if _is_image(name):
            _check_size(path, name, item.stat().st_size)
        yield name + ("/" if item.is_dir() else ""), item.read_bytes


def _members(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Stream the members of an archive: each can be read until the next one is asked for."""
    if not path.exists():
        raise ConfigError(f"{path} does not exist")
    try:
        with tarfile.open(path, "r|*", tarinfo=_Member) as archive:
            size = path.stat().st_size
            left = MAX_UNPACKED * size + LARGEST
            for number, member in enumerate(archive):
                if number > size // MIN_PACKED + MANY:  # small archives may hold millions, each without content
                    raise ConfigError(f"{path} holds more than {number:,} members in {size:,} bytes")
                name = normpath(member.name).lstrip("/")
                if not member.isdir() and not member.isfile():
                    raise ConfigError(f"{path}: {member.name} is a link; give an archive of files")
                if _is_image(name):
                    _check_size(path, name, member.size)
                left -= member.size
                if left < 0:
                    raise ConfigError(f"{path} would unpack to more than {MAX_UNPACKED} times its size")
                if name != ".":
                    file = archive.extractfile(member)
                    yield name + ("/" if member.isdir() else ""), file.read if file else bytes
                archive.members = []  # type: ignore[attr-defined]  # or memory would grow with the archive
    except (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} is neither a folder nor a readable tar archive: {error}") from error


class _Member(tarfile.TarInfo):
    """A member whose header is refused before memory is taken for what it claims."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:  # tarfile lets subclasses override it
        if self.size < 0 or (self.type in EXTENDING and self.size > MAX_HEADER):
            raise tarfile.ReadError(f"a header claims {self.size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


def _check_size(path: Path, name: str, size: int) -> None:
    if size > LARGEST:
        raise ConfigError(f"{path}: {name} has {size:,} bytes, more than an image may have ({LARGEST:,})")


def _classes(path: Path, root: str, images: list[str], empty: list[str]) -> dict[str, list[str]]:
    """Return the images of each class folder inside a folder, or of the folder itself."""
    loose = [name for name in images if dirname(name) == root]
    if loose and (len(loose) < len(images) or empty):
        raise ConfigError(f"{path}: {loose[0]} is beside class folders: move it into one of them")
    if loose:
        return {"": loose}
    names: dict[str, list[str]] = {}
    for name in images:
        names.setdefault(_child(name, root), []).append(name)
    without = [folder for folder in empty if _child(folder, root) not in names]
    if without:
        raise ConfigError(f"{path}: {without[0]} holds no images")
    return dict(sorted(names.items()))


def _is_image(name: str) -> bool:
    return splitext(name)[1].lower() in EXTENSIONS and not name.endswith("/")


def _ancestors(folder: str) -> Iterator[str]:
    """Yield a folder and those above it."""
    while folder:
        yield folder
        folder = dirname(folder)


def _join(root: str, name: str) -> str:
    return f"{root}/{name}" if root else name


def _child(name: str, root: str) -> str:
    """Return the name directly inside a folder that leads to another name."""
    return name[len(root) + 1 if root else 0 :].split("/")[0]
