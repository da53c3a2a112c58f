"""Trees of image files: a folder or a tar archive, with or without split folders and class folders.

```
train/cat/1.png  train/dog/2.png  test/cat/3.png ...     splits and classes
cat/1.png  dog/2.png ...                                 classes
1.png  2.png ...                                         neither
```
Outer folders that only contain the tree are skipped, and so are names that begin with a dot. A folder that holds images
may hold no other files. Classes are numbered in the order of their names. Train, TESTING and val_2017 are also names of
splits: a class cannot have such a name. Classes trainA and testA, or cifar_train and cifar_test, may be splits, and are
refused.
"""

import re
import tarfile
from collections.abc import Callable, Iterator
from itertools import pairwise, takewhile
from pathlib import Path
from posixpath import commonpath, dirname, normpath, splitext

from genbench.errors import ConfigError

EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})

SPLITS = {"train": "train", "val": "valid", "dev": "valid", "test": "test"}
"""{beginning of a folder's name: split}."""

SPLIT_NAME = re.compile(
    r"(train|val|dev|test)(ing|id|idation)?([\W_]*(set|split|data|images?))?[\W_\d]*", re.IGNORECASE
)

SPLIT_WORD = re.compile(r"(?<![^\W\d_])(?i:(train|val|dev|test)(ing|id|idation)?)(?=[A-Z]?([\W\d_]|$))")
"""Word of a split within another name, as in cifar_train, or before one capital, as in trainA."""

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
    images = sorted(filter(_is_image, names))
    if not images:
        raise ConfigError(f"{path} holds no images ({', '.join(sorted(EXTENSIONS))})")
    repeated = next((name for name, after in pairwise(images) if name == after), None)
    if repeated is not None:
        raise ConfigError(f"{path} holds {repeated} twice: remove one of them")
    holders = {dirname(name) for name in images}
    for name in names:
        if not name.endswith("/") and not _is_image(name) and dirname(name) in holders:
            raise ConfigError(f"{path}: {name} is in a folder of images, but is not an image: move or remove it")
    # A README above the images is skipped, but an empty folder is not: it may be a class.
    ancestors = {above for holder in holders for above in _ancestors(holder)}
    empty = sorted(name for name in names if name.endswith("/") and name[:-1] not in ancestors)
    around = filter(None, commonpath([*holders, *map(dirname, empty)]).split("/"))
    depth = len(list(takewhile(lambda folder: split_of(folder) is None, around)))
    split_names = _split_folders(path, {name.split("/")[depth] for name in (*images, *empty)})
    splits: Layout = {}
    for name in (*images, *empty):
        *folders, file = name.split("/")[depth:]
        split = split_names[folders.pop(0)] if split_names else "train"
        inner = next((folder for folder in folders if split_of(folder)), None)
        if inner:
            raise ConfigError(
                f"{path}: {name} lies in {inner} inside another folder: move it to {split_of(inner)}/CLASS"
            )
        of_class = splits.setdefault(split, {}).setdefault(folders[0] if folders else "", [])
        of_class += [name] if file else []
    for split, classes in splits.items():
        loose = classes.get("")
        if loose and len(classes) > 1:
            raise ConfigError(f"{path}: {loose[0]} is beside class folders: move it into one of them")
        without = next((name for name, members in classes.items() if not members), None)
        if without is not None:
            what = f"class '{without}' of {split}" if without else split
            raise ConfigError(f"{path}: {what} holds no images: add some, or remove the folder")
    for split, classes in splits.items():
        odd = min(splits["train"].keys() ^ classes.keys(), default=None)
        if odd is not None:
            there, missing = ("train", split) if odd in splits["train"] else (split, "train")
            raise ConfigError(
                f"{path}: class '{odd}' is in {there} but not in {missing}: every split needs every class"
            )
    return {split: dict(sorted(splits[split].items())) for split in ("train", "valid", "test") if split in splits}


def split_of(folder: str) -> str | None:
    """Return the split that the name of a folder means, if any.

    >>> split_of("Training"), split_of("val2017"), split_of("DEV-set"), split_of("trains"), split_of("value")
    ('train', 'valid', 'valid', None, None)
    """
    match = SPLIT_NAME.fullmatch(folder)
    return SPLITS[match[1].lower()] if match else None


def _split_folders(path: Path, children: set[str]) -> dict[str, str]:
    """Return {folder: split}; empty where classes or images lie directly inside the tree."""
    found = {child: split for child in sorted(children) if (split := split_of(child))}
    other, named = min(children - found.keys(), default=None), ", ".join(found)
    if found and other is not None:
        remedy = f"move {other} into a split, or rename {named} if it is a class"
        raise ConfigError(f"{path}: {other} is beside {named}, which is read as a split: {remedy}")
    if found and "train" not in found.values():
        raise ConfigError(f"{path} has {named} but no folder train: add one")
    if len(set(found.values())) < len(found):
        raise ConfigError(f"{path}: two of {named} are names of one split: keep one of them")
    if not found:
        _refuse_pooled_splits(path, children)
    return found


def _refuse_pooled_splits(path: Path, children: set[str]) -> None:
    """Refuse class names of which one looks like a training split and another like a validation or test split."""
    seeming: dict[str, str] = {}
    for folder in sorted(child for child in children if not _is_image(child)):
        for match in SPLIT_WORD.finditer(folder):
            seeming.setdefault(SPLITS[match[1].lower()], folder)
    held_out = seeming.get("test") or seeming.get("valid")
    if "train" in seeming and held_out:
        raise ConfigError(
            f"{path}: {seeming['train']} and {held_out} may be splits: arrange splits as train/CLASS and "
            "test/CLASS; if the two are classes, rename them"
        )


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
    """Yield the relative name of each entry of the tree, folders with a final slash, and a function that reads it."""
    if not path.is_dir():
        yield from _members(path)
        return
    for item in path.rglob("*"):
        name = item.relative_to(path).as_posix()
        if not item.is_file() and not item.is_dir():
            raise ConfigError(f"{path}: {name} is neither a file nor a folder")
        yield name + ("/" if item.is_dir() else ""), item.read_bytes


def _members(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Stream the members of an archive: each can be read until the next one is asked for."""
    if not path.exists():
        raise ConfigError(f"{path} does not exist")
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = normpath(member.name).lstrip("/")
                if not member.isdir() and not member.isfile():
                    raise ConfigError(f"{path}: {member.name} is a link; give an archive of files")
                if name != ".":
                    file = archive.extractfile(member)
                    yield name + ("/" if member.isdir() else ""), file.read if file else bytes
                archive.members = []  # type: ignore[attr-defined]  # otherwise memory would grow with the archive
    except ConfigError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        raise ConfigError(f"{path} is neither a folder nor a readable tar archive: {error}") from error


def _is_image(name: str) -> bool:
    return splitext(name)[1].lower() in EXTENSIONS and not name.endswith("/")


def _ancestors(folder: str) -> Iterator[str]:
    """Yield a folder and those above it."""
    while folder:
        yield folder
        folder = dirname(folder)
