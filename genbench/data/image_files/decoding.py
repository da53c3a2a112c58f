"""Decoding: from the images of a tree to one array of uint8, of one size, made once and cached."""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from struct import error as StructError
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps

from genbench.data.image_files import cache, rows, tree
from genbench.data.image_files.collection import Collection, Stored
from genbench.errors import ConfigError
from genbench.storage import files

VERSION = 1
"""Raised whenever the same files would be decoded to other pixels."""

AHEAD = 32
"""Images read ahead of the one that is written: memory is bounded by these."""


@dataclass(frozen=True)
class Look:
    """What every image is to become.

    Args:
        size: height and width.
        channels: 1 for grey, 3 for colour.
        resize: whether images of another size are resized, the shorter side to `size` by a bicubic filter that
            widens when shrinking (antialiased), and cut to the centre; else they are refused.
        grey: what becomes of a grey image where colours are wanted: refused, or repeated in all channels.
    """

    size: int
    channels: Literal[1, 3]
    resize: bool = False
    grey: Literal["refuse", "repeat"] = "refuse"


def collection(path: str, look: Look) -> Collection:
    """Return the images below a path as a collection; they are decoded when first needed.

    Raises:
        ConfigError: if the path is no tree of images (an image that cannot be decoded is found when it is needed).
    """
    place = Path(path).expanduser()
    sha256 = cache.content(place)
    catalogue = _catalogue(place, sha256)
    counts = {part: tuple(classes.values()) for part, classes in catalogue["parts"].items()}
    names = tuple(catalogue["parts"]["train"])
    provenance = {"source": place.resolve().name, "sha256": sha256, "original": False}
    if len(names) > 1:
        provenance["classes"] = list(names)
    notes = []
    if catalogue["jpeg"]:
        notes.append(f"{catalogue['jpeg']} of {sum(map(sum, counts.values()))} images are JPEG: compressed with loss")
    if look.resize:
        notes.append(f"resized to {look.size} pixels (bicubic, antialiased) and centre-cropped")
    if notes:
        provenance["note"] = "; ".join(notes)

    def load() -> Stored:
        array = cache.place(sha256, version=VERSION, **asdict(look)) / "images.npy"
        if not array.exists():
            files.replace(array, lambda temporary: _decode_all(place, sha256, look, temporary))
        label = [torch.arange(len(names)).repeat_interleave(torch.tensor(part)) for part in counts.values()]
        return Stored(rows.opened(array), torch.cat(label))

    return Collection(counts, names, load, provenance)


def _catalogue(path: Path, sha256: str) -> dict[str, Any]:
    """Return {"parts": {part: {class: images}}, "jpeg": images}, from the cache if that content was seen before."""
    place = cache.place(sha256, version=VERSION)
    if not (place / "catalogue.json").exists():
        found = tree.layout(path)
        names = [name for classes in found.values() for members in classes.values() for name in members]
        catalogue = {
            "parts": {
                part: {name: len(members) for name, members in classes.items()} for part, classes in found.items()
            },
            "jpeg": sum(name.lower().endswith((".jpg", ".jpeg")) for name in names),
        }
        # The names are needed only once, and of a large tree they are many.
        files.write(place / "names.json", json.dumps(names))
        files.write(place / "catalogue.json", json.dumps(catalogue))
    return json.loads((place / "catalogue.json").read_text(encoding="utf-8"))


def _decode_all(path: Path, sha256: str, look: Look, array: Path) -> None:
    """Decode all images of a tree into a .npy file, in the order of the catalogue."""
    names = json.loads((cache.place(sha256, version=VERSION) / "names.json").read_text(encoding="utf-8"))
    place = {name: i for i, name in enumerate(names)}
    shape = (len(names), look.channels, look.size, look.size)
    wanted = ((name, data) for name, data in tree.contents(path) if name in place)
    with rows.writing(array, shape) as put:
        for name, image in _decoded(path, wanted, look):
            put(place[name], image)
    if cache.content(path) != sha256:
        raise ConfigError(f"{path} was changed while it was in use; run it again")


def _decoded(
    path: Path, images: Iterable[tuple[str, bytes]], look: Look
) -> Iterator[tuple[str, UInt8[np.ndarray, "channels height width"]]]:
    """Decode images as they stream by, in their order."""
    if not look.resize:
        # Small images that fit as they are: handing them to threads takes longer than decoding them.
        for name, data in images:
            yield name, decode(data, f"{path}: {name}", look)
        return
    with ThreadPoolExecutor() as pool:
        ahead: deque[tuple[str, Future]] = deque()
        try:
            for name, data in images:
                ahead.append((name, pool.submit(decode, data, f"{path}: {name}", look)))
                if len(ahead) == AHEAD:
                    name, future = ahead.popleft()
                    yield name, future.result()
            for name, future in ahead:
                yield name, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def decode(data: bytes, what: str, look: Look) -> UInt8[np.ndarray, "channels height width"]:
    """Decode one image; the orientation that a camera noted is applied.

    Args:
        data: the content of the file.
        what: how messages call it.
        look: what it is to become.

    Raises:
        ConfigError: if it is corrupt, or has other channels or another size than it should have.
    """
    try:
        with Image.open(BytesIO(data)) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened)
    except (OSError, SyntaxError, ValueError, EOFError, StructError, Image.DecompressionBombError) as error:
        reason = "unknown format" if isinstance(error, Image.UnidentifiedImageError) else error
        raise ConfigError(f"{what} cannot be decoded: {reason}") from error
    mode = {1: "L", 3: "RGB"}[look.channels]
    if image.mode == "L" and mode == "RGB" and look.grey == "repeat":
        image = image.convert("RGB")
    if image.mode != mode:
        raise ConfigError(f"{what} has the mode {image.mode}, not {mode}; convert it first")
    if look.resize:
        scale = look.size / min(image.size)
        shape = [max(look.size, round(side * scale)) for side in image.size]
        image = image.resize((shape[0], shape[1]), Image.Resampling.BICUBIC)
        left, top = (shape[0] - look.size) // 2, (shape[1] - look.size) // 2
        image = image.crop((left, top, left + look.size, top + look.size))
    if image.size != (look.size, look.size):
        width, height = image.size
        raise ConfigError(f"{what} has {width}x{height} pixels, not {look.size}x{look.size}")
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
