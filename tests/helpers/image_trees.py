"""Trees of small random images, and the data sets read from them."""

import tarfile

import numpy as np
import torch
from PIL import Image

from genbench.registry import datasets

SPLITS = {"train/dog": 4, "train/cat": 3, "test/dog": 1, "test/cat": 2}


def image(seed, size=(8, 8), mode="RGB"):
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, *channels), dtype=np.uint8)
    return Image.fromarray(pixels, mode)


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
