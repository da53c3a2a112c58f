"""Trees and archives of images: broken, disguised, enormous, hostile."""

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from campaign.files import BYTES, PLACES, flipped
from campaign.harness import EITHER, REFUSED, Case
from helpers.image_trees import encoded, image, png, write_images
from PIL import Image

RUN = (
    *("run", "--model", "cfm", "--dataset", "folder", "--metric", "norm", "--results", "{}/out"),
    *("--set", "data.size=8", "--set", "data.valid=0.0", "--set", "plan.steps=1", "--set", "plan.batch_size=2"),
    *("--set", "model.net={name='unet', channels=4, blocks=1, multipliers=[1], attention=[]}"),
    *("--set", "evaluation.n=4", "--set", "sample.method=euler", "--set", "sample.steps=1"),
)


def _tree(folder: Path) -> Path:
    write_images(folder / "t", {"train/a": 6, "train/b": 6, "test/a": 4, "test/b": 4})
    return folder / "t/train/a/0.png"


BOMB = png(50_000, 50_000)
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(x) (w) file closefile\nshowpage\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><script>alert(1)</script></svg>'

ODD: dict[str, tuple[bytes, frozenset[str]]] = {
    **{name: (BYTES[name](b""), REFUSED) for name in ("empty", "text", "random")},
    "PostScript": (POSTSCRIPT, REFUSED),
    "PDF": (b"%PDF-1.4\n%%EOF\n", REFUSED),
    "SVG": (SVG, REFUSED),
    **{f"a {kind} by another name": (encoded(image(1), kind), EITHER) for kind in ("TIFF", "PPM", "JPEG", "GIF")},
    "ICO": (encoded(image(1), "ICO"), REFUSED),
    "cut in half": (encoded(image(1))[:120], REFUSED),
    "last bytes lost": (encoded(image(1))[:-4], EITHER),
    "bomb of 60000 pixels": (png(60_000, 60_000), REFUSED),
    "bomb of 2^31 pixels": (png(2**31 - 1, 2**31 - 1), REFUSED),
    "bomb that unpacks": (png(20_000, 20_000, bytes(60_001 * 2000)), REFUSED),
    "header of no pixels": (png(0, 8), REFUSED),
    "data of another size": (png(8, 8, bytes(10)), REFUSED),
    "no header": (b"\x89PNG\r\n\x1a\n", REFUSED),
    "other size": (encoded(image(1, size=(9, 9))), EITHER),  # the data set resizes
    "one pixel": (encoded(image(1, size=(1, 1))), EITHER),
    **{f"mode {mode}": (encoded(image(1, mode=mode)), EITHER) for mode in ("L", "LA", "RGBA")},
    "palette": (encoded(image(1).quantize(16)), EITHER),
    "bits": (encoded(image(1).convert("1")), EITHER),
    "sixteen bits": (encoded(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)), EITHER),
    "many frames": (
        encoded(image(1).quantize(16), "GIF", save_all=True, append_images=[image(2).quantize(16)] * 50),
        EITHER,
    ),
}

STRANGE: dict[str, Callable[[Path, Path], object]] = {
    **{
        f"{name} named as an image": lambda t, image, make=make: make(t / "train/a/x.png")
        for name, make in PLACES.items()
    },
    "link to the tree": lambda t, image: (t / "train/a/up").symlink_to("../.."),
    "link out of the tree": lambda t, image: (t / "train/a/x.png").symlink_to("/etc/passwd"),
    "name of odd bytes": lambda t, image: os.link(image, os.fsencode(t / "train/a") + b"/\xff\xfe.png"),
    "name of a script": lambda t, image: (t / "train/a/<script>.png").write_bytes(image.read_bytes()),
    "name with an escape": lambda t, image: (t / "train/a/\x1b[2J.png").write_bytes(b"x"),
    "class of a script": lambda t, image: (t / "train/a").rename(t / "train/<script>alert(1)<"),
    "class only in test": lambda t, image: (t / "test/c").mkdir(),
    "system files": lambda t, image: (
        (t / "train/a/.DS_Store").write_bytes(b"x"),
        (t / "Thumbs.db").write_bytes(b"x"),
    ),
    "text beside images": lambda t, image: (t / "train/a/readme.txt").write_text("x"),
    "split of another name": lambda t, image: (t / "train").rename(t / "trian"),
    "empty class": lambda t, image: (t / "train/empty").mkdir(),
}


def write_tar(target: Path | io.BytesIO, members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w") -> None:
    """Write an archive of these members."""
    where = {"fileobj": target} if isinstance(target, io.BytesIO) else {"name": target}
    with tarfile.open(mode=mode, **where) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def sound_archive() -> bytes:
    """Return an archive of two classes in two splits."""
    file = io.BytesIO()
    write_tar(file, sound_members())
    return file.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """Return the header of a member of an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def sound_members() -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return the members of a sound archive: two classes in two splits."""
    return [
        (member(f"{split}/{label}/{i}.png"), encoded(image(i)))
        for split in ("train", "test")
        for label in "ab"
        for i in range(5)
    ]


def cases() -> Iterator[Case]:
    """Yield cases of images."""
    run = (*RUN, "--set", "data.path={}/t")

    def first(name: str, data: bytes, expect: frozenset[str]) -> Case:
        return Case(f"images/{name}", run, expect, lambda folder: _tree(folder).write_bytes(data))

    for name, (data, expect) in ODD.items():
        yield first(name, data, expect)
    sound = encoded(image(0))
    for position in range(8, len(sound), len(sound) // 20):
        yield first(f"byte {position} changed", flipped(sound, position, 16), EITHER)
    for name, make in STRANGE.items():
        yield Case(f"images/{name}", run, EITHER, lambda folder, make=make: make(folder / "t", _tree(folder)))
    for name, make in PLACES.items():
        yield Case(f"images/path is {name}", run, REFUSED, lambda folder, make=make: make(folder / "t"))
