"""Trees of small random images, and the data sets read from them."""

import io
import struct
import tarfile
import zlib

import numpy as np
import torch
from PIL import Image

from genbench.registry import datasets

SPLITS = {"train/dog": 4, "train/cat": 3, "test/dog": 1, "test/cat": 2}


def image(seed, size=(8, 8), mode="RGB"):
    channels = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, *channels), dtype=np.uint8)
    return Image.fromarray(pixels, mode)


def encoded(picture, kind="PNG", **options):
    """Return an image as a file."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def png(width, height, data=b"", depth=8):
    """Return a PNG of a few bytes whose header claims any size."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    claimed = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + claimed + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def several(kind):
    """Return a file of three images."""
    file, pages = io.BytesIO(), [image(i) for i in range(3)]
    pages[0].save(file, kind, save_all=True, append_images=pages[1:])
    return file.getvalue()


def deep(kind):
    """Return an image of three channels of 16 bits."""
    if kind == "PPM":
        return b"P6 8 8 65535\n" + bytes(range(192)) * 2
    if kind == "PNG":
        return png(8, 8, bytes(8 * (1 + 8 * 6)), depth=16)
    numbers = {256: 8, 257: 8, 258: 8, 259: 1, 262: 2, 273: 14, 277: 3, 278: 8, 279: 384}
    entries = [struct.pack("<HHII", tag, 3, 3 if tag == 258 else 1, value) for tag, value in numbers.items()]
    head = b"II*\0" + struct.pack("<I", 14 + 384) + struct.pack("<HHH", 16, 16, 16)
    return head + bytes(range(192)) * 2 + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


def write_images(root, counts, *, mode="RGB", size=(8, 8)):
    """Write a tree {folder: number of images} of PNGs; return {name: image}."""
    made = {}
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            name = f"{folder}/{i}.png" if folder else f"{i}.png"
            made[name] = image(len(made), size, mode)
            made[name].save(root / name)
    return made


def pack(folder, archive, prefix=""):
    with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "w") as tar:
        tar.add(folder, arcname=prefix or ".")
    return archive


def build(path, **settings):
    return datasets["folder"].build(path=str(path), **{"size": 8, "valid": 0.0, "flip": False} | settings)


def raw(split):
    batch = split.take(split.size, 0)
    return (torch.floor((batch.x + 1) * 128)).numpy().astype(np.uint8), batch.label.tolist()


def header(name, size, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)
