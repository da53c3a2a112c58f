"""Decoding: from the image files of a tree to one cached uint8 array of images of one size."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from struct import error as StructError
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps

from genbench import activity
from genbench.data import image_tree
from genbench.data.rows import CachedRows, NumberedRows
from genbench.data.splits import Collection
from genbench.errors import ConfigError
from genbench.storage import cache, content_hash, files

VERSION = 2
"""Version in the cache key: raise it when the same files would give other pixels, another order or other splits."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are decoded, whatever the file's extension: for others, Pillow would start programs (Ghostscript)."""

AHEAD = 64
"""Number of images decoded at once, which bounds memory."""


@dataclass(frozen=True)
class ImageFormat:
    """Size and channels of decoded images.

    Args:
        size: height and width.
        channels: 1 for gray, 3 for color.
        resize: whether to resize images of another size (shorter side to `size`, antialiased bicubic filter) and
            center-crop them; otherwise they are refused.
        gray: what to do with gray images among color images: refuse them, or repeat their channel.
    """

    size: int
    channels: Literal[1, 3]
    resize: bool = False
    gray: Literal["refuse", "repeat"] = "refuse"


def collection(path: str, image_format: ImageFormat) -> Collection:
    """Return the images below a path as a collection; they are decoded when first needed.

    Raises:
        ConfigError: if the path is not a tree of images. An image that cannot be decoded is refused when it is first
            needed.
    """
    root = files.expanded(path)
    sha256 = content_hash.remembered(root)
    catalog = _catalog(root, sha256)
    counts = {split: tuple(classes.values()) for split, classes in catalog["splits"].items()}
    classes = tuple(catalog["splits"]["train"])
    total = sum(map(sum, counts.values()))
    provenance = {"source": root.resolve().name, "sha256": sha256, "original": False}
    if len(classes) > 1:
        provenance["classes"] = list(classes)
    notes = []
    if catalog["jpeg"]:
        notes.append(f"{catalog['jpeg']} of {total} images are JPEG: compressed with loss")
    if image_format.resize:
        notes.append(f"resized to {image_format.size} pixels (bicubic, antialiased) and center-cropped")
    if notes:
        provenance["note"] = "; ".join(notes)

    def load() -> tuple[CachedRows, torch.Tensor]:
        name = f"{cache.key(content=sha256, version=VERSION, **asdict(image_format))}.npy"
        shape = (total, image_format.channels, image_format.size, image_format.size)
        raw = CachedRows("images", name, shape, np.uint8, lambda: _decode_all(root, sha256, image_format))
        label = [torch.arange(len(classes)).repeat_interleave(torch.tensor(split)) for split in counts.values()]
        return raw, torch.cat(label)

    return Collection(counts, classes, load, provenance, catalog["copies"])


def _catalog(path: Path, sha256: str) -> dict[str, Any]:
    """Return {"splits": {split: {class: number of images}}, "jpeg": number of JPEG images, "copies": of others}."""

    def listed() -> str:
        by_split = image_tree.layout(path)
        counts = {split: {name: len(images) for name, images in classes.items()} for split, classes in by_split.items()}
        names = {*image_tree.names_in(by_split)}
        jpeg = sum(name.lower().endswith((".jpg", ".jpeg")) for name in names)
        distinct = {hashlib.sha256(data).digest() for name, data in image_tree.contents(path) if name in names}
        return json.dumps({"splits": counts, "jpeg": jpeg, "copies": len(names) - len(distinct)})

    name = f"{cache.key(catalog=sha256, version=VERSION)}.json"
    return json.loads(cache.text("images", name, listed))


def _decode_all(path: Path, sha256: str, image_format: ImageFormat) -> NumberedRows:
    """Yield every image of a tree with its index in the sorted layout."""
    index = {name: i for i, name in enumerate(image_tree.names_in(image_tree.layout(path)))}
    images = ((name, data) for name, data in image_tree.contents(path) if name in index)
    for done, (name, image) in enumerate(_decoded(path, images, image_format), 1):
        activity.report("decoding images", done, len(index))
        yield index[name], image
    if content_hash.remembered(path) != sha256:
        raise ConfigError(f"{path} changed during the run: run it again")


def _decoded(
    path: Path, images: Iterable[tuple[str, bytes]], image_format: ImageFormat
) -> Iterator[tuple[str, UInt8[np.ndarray, "channels height width"]]]:
    """Decode a stream of images, in its order."""
    images = iter(images)
    with ThreadPoolExecutor() as pool:
        # Handing a small image to a thread takes longer than decoding it.
        decode_all = pool.map if image_format.resize else map
        while some := dict(islice(images, AHEAD)):
            pixels = decode_all(lambda name, data: decode(data, f"{path}: {name}", image_format), some, some.values())
            yield from zip(some, pixels, strict=True)


def decode(data: bytes, what: str, image_format: ImageFormat) -> UInt8[np.ndarray, "channels height width"]:
    """Decode one image, and apply the orientation that its camera stored.

    Raises:
        ConfigError: if the file is corrupt or holds several images, or the image has other channels, more than 8 bits
            each, or another size.
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as opened:
            frames, is_deep = getattr(opened, "n_frames", 1), _is_deep(opened)
            opened.load()
            image = ImageOps.exif_transpose(opened)
    except (OSError, SyntaxError, ValueError, EOFError, StructError, Image.DecompressionBombError) as error:
        reason = f"it is none of {', '.join(FORMATS)}" if isinstance(error, Image.UnidentifiedImageError) else error
        raise ConfigError(f"{what} cannot be decoded: {reason}") from error
    if frames > 1:
        raise ConfigError(f"{what} holds {frames} images (pages, or frames of an animation): save each as its own file")
    if is_deep:
        raise ConfigError(f"{what} has 16 bits per channel, not 8; convert it first")
    mode = {1: "L", 3: "RGB"}[image_format.channels]
    if image.mode == "L" and mode == "RGB" and image_format.gray == "repeat":
        image = image.convert("RGB")
    if image.mode != mode:
        raise ConfigError(f"{what} has the mode {image.mode}, not {mode}; convert it first")
    size = image_format.size
    if image_format.resize:
        scale = size / min(image.size)
        width, height = (max(size, round(side * scale)) for side in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + size, top + size))
    if image.size != (size, size):
        width, height = image.size
        raise ConfigError(f"{what} has {width}x{height} pixels, not {size}x{size}; resize it first")
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _is_deep(opened: Image.Image) -> bool:
    """Return whether an image that is not loaded yet has more than 8 bits a channel, of which Pillow may keep 8."""
    stored = [part[3] for part in getattr(opened, "tile", [])]
    if opened.format == "PPM":
        return opened.mode == "I" or any(isinstance(part, tuple) and part[1] > 255 for part in stored)
    return opened.format in ("PNG", "TIFF") and ";16" in str(stored)
