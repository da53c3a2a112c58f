"""Archives of images: links, odd names, repetitions, bombs, broken headers, flipped bits."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from campaign.files import BYTES, damaged
from campaign.harness import DONE, EITHER, REFUSED, Case
from campaign.images import BOMB, RUN, member, sound_archive, sound_members, write_tar
from helpers.image_trees import HOSTILE, encoded, image

PACKED: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": lambda data: gzip.compress(data, mtime=0),
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}


def _with(*more: tuple[tarfile.TarInfo, bytes], first: bool = False) -> Callable[[Path], object]:
    """Return what writes a sound archive with more members, at its end or first."""
    return lambda path: write_tar(path, [*more, *sound_members()] if first else [*sound_members(), *more])


def _large(name: str, size: int) -> Callable[[Path], object]:
    """Return what writes an archive, compressed, with a member of zeros."""

    def make(path: Path) -> None:
        with gzip.open(path, "wb", compresslevel=1) as file:
            info = member(name)
            info.size = size
            file.write(info.tobuf())
            block = bytes(1 << 20)
            for _ in range(size >> 20):
                file.write(block)
            file.write(sound_archive())

    return make


def _raw_name(name: bytes) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        first = io.BytesIO()
        write_tar(first, [(member("train/a/" + "x" * len(name) + ".png"), encoded(image(1))), *sound_members()])
        data = bytearray(first.getvalue())
        data[8 : 8 + len(name)] = name
        data[148:156] = b"        "
        data[148:156] = b"%06o\0 " % sum(data[:512])
        path.write_bytes(bytes(data))

    return make


def _pax(**fields: str) -> tuple[tarfile.TarInfo, bytes]:
    info = member("train/a/pax.png")
    info.pax_headers = fields
    return info, encoded(image(1))


SYM, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
PICTURE = encoded(image(1))
LONG, DEEP = f"train/a/{'x' * 100_000}.png", f"{'x/' * 10_000}y.png"
ODD_NAMES = ("/train/a/9.png", "../train/a/9.png", "train/a/../b/9.png", f"{'../' * 30}etc/passwd.png", LONG)
ODD_NAMES += ("train\\a\\9.png", "train/a/0.PNG", "train/a/\x1b[2J\n\r.png")
WRONG_NAMES = ("train/./a//0.png", "C:/train/a/9.png", DEEP, "train/a/0.png")  # the last is there twice
ARCHIVES: dict[str, tuple[Callable[[Path], object], frozenset[str]]] = {
    **{
        f"link to {target}": (_with((member("train/a/l.png", SYM, target), b"")), REFUSED)
        for target in ("0.png", "/etc/passwd", "l.png")
    },
    "hard link to a member": (_with((member("train/a/l.png", HARD, "train/a/0.png"), b"")), EITHER),
    "hard link out": (_with((member("train/a/l.png", HARD, "/etc/passwd"), b"")), REFUSED),
    "link as a class": (
        _with((member("train/c", SYM, "/etc"), b""), (member("train/c/x.png"), PICTURE), first=True),
        REFUSED,
    ),
    **{f"name {name[:30]!a}": (_with((member(name), PICTURE)), EITHER) for name in ODD_NAMES},
    **{f"name {name[:30]!a}": (_with((member(name), PICTURE)), REFUSED) for name in WRONG_NAMES},
    "classes of two cases": (
        _with(*((member(f"{split}/A/0.png"), PICTURE) for split in ("train", "test"))),
        EITHER,
    ),
    "name of no text": (_raw_name(b"\xff\xfe\xfd"), EITHER),
    "name of a zero byte": (_raw_name(b"a\0b"), EITHER),
    "empty name": (_with((member(""), b"x")), EITHER),
    "file and folder of one name": (_with((member("train/a"), b"x"), first=True), EITHER),
    "folder named as an image": (_with((member("train/a/x.png/", tarfile.DIRTYPE), b"")), EITHER),
    "archive in the archive": (_with((member("train/a/x.tar"), b"x" * 600)), REFUSED),
    "archive above the images": (_with((member("x.tar"), b"x" * 600)), EITHER),
    **{
        f"device of type {kind!r}": (_with((member("train/a/d.png", kind), b"")), REFUSED)
        for kind in (tarfile.BLKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
    },
    "unknown kind of member": (_with((member("train/a/u.png", b"Z"), b"")), EITHER),
    "bomb": (_with((member("train/a/b.png"), BOMB)), REFUSED),
    "without members": (lambda path: write_tar(path, []), REFUSED),
    "zip by another name": (lambda path: _zipped(path), EITHER),
    **{name: (lambda path, data=data: path.write_bytes(data), REFUSED) for name, (data, _) in HOSTILE.items()},
    **{
        f"pax {key} {value}": (_with(_pax(**{key: value})), EITHER)
        for key, value in (("size", "many"), ("size", "-1"), ("path", "../../x.png"), ("mtime", "inf"))
    },
    "pax sparse map": (_with(_pax(**{"GNU.sparse.size": "9" * 20, "GNU.sparse.map": "0,1"})), EITHER),
    "100,000 tiny members": (
        lambda path: write_tar(path, [*sound_members(), *((member(f"notes/{i}"), b"") for i in range(100_000))]),
        EITHER,
    ),
}

COMPRESSED: dict[str, tuple[Callable[[Path], object], frozenset[str]]] = {
    "image of 2 GiB of zeros": (_large("train/a/z.png", 2 << 30), REFUSED),
    "text of 4 GiB of zeros": (_large("notes.txt", 4 << 30), REFUSED),
    "image of 300 MiB of zeros": (_large("train/a/z.png", 300 << 20), REFUSED),
    "compressed twice": (lambda path: path.write_bytes(gzip.compress(gzip.compress(sound_archive()))), REFUSED),
    "zeros without an archive": (lambda path: path.write_bytes(gzip.compress(bytes(1 << 26))), REFUSED),
    "bytes after the end": (
        lambda path: path.write_bytes(gzip.compress(sound_archive()) + b"trailing"),
        EITHER,
    ),
}


def cases() -> Iterator[Case]:
    """Yield cases of archives."""
    for suffix, some in (("tar", ARCHIVES), ("tar.gz", COMPRESSED)):
        for name, (make, expect) in some.items():
            yield _case(name, suffix, make, expect)
    for suffix, pack in PACKED.items():
        packed = pack(sound_archive())
        found = {"sound": packed} | {name: change(packed) for name, change in BYTES.items()}
        found |= dict(damaged(packed, suffix, flips=30, cuts=10))
        for name, data in found.items():
            expect = DONE if name == "sound" else REFUSED if name in ("empty", "text", "random") else EITHER
            yield _case(name, suffix, lambda path, data=data: path.write_bytes(data), expect)


def _case(name: str, suffix: str, make: Callable[[Path], object], expect: frozenset[str]) -> Case:
    arguments = (*RUN, "--set", f"data.path={{}}/t.{suffix}")
    return Case(f"archives/{suffix}, {name}", arguments, expect, lambda folder: make(folder / f"t.{suffix}"))


def _zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for info, data in sound_members():
            archive.writestr(info.name, data)
