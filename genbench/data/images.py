"""Image data sets: MNIST and CIFAR-10, downloaded or read from a path, and images in a folder or a tar archive."""

import contextlib
import functools
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.error import URLError

import numpy as np
import torch

from genbench.core import Data, Event, Normal
from genbench.data import image_decoding
from genbench.data.image_decoding import ImageFormat
from genbench.data.remarks import remarks
from genbench.data.rows import CachedRows
from genbench.data.splits import Collection
from genbench.errors import ConfigError, RunFailed, first_line
from genbench.registry import datasets
from genbench.settings import Count, Fraction, Size
from genbench.space import Pixels
from genbench.storage import cache, content_hash, tensors

OF_THE_MODEL = ("bits_per_dim", "path_energy", "straightness", "detour", "nfe", "parameters", "failed")
METRICS = ("fid-legacy", "fd-efficientnet_lite0", "norm", *OF_THE_MODEL)
"""The published FID, which shows "-" without the Inception weights, and a distance that needs no download."""

PUBLISHED = {
    "steps": 400_000,
    "batch_size": 128,
    "lr": 2e-4,
    "optimizer": "adam",
    "warmup": 5000,
    "clip": 1.0,
    "ema": 0.9999,
    "threads": 2,
}
"""The CIFAR-10 recipe of Tong et al. (2023). On a CPU, networks of its size gain from two threads."""

EVALUATION = {"n": 10_000, "batch": 500}
GREY = PUBLISHED | {"steps": 50_000, "warmup": 1000, "ema": 0.999}


@dataclass(frozen=True)
class Original:
    """A data set of torchvision.

    Args:
        kind: name of its class in torchvision.datasets.
        archives: {file below the download folder: sha256}.
        classes: names of the classes in the order of their labels.
    """

    kind: Literal["CIFAR10", "MNIST"]
    shape: tuple[int, int, int]
    archives: Mapping[str, str]
    train: tuple[int, ...]
    test: tuple[int, ...]
    classes: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """The sha256 of the archive, or of the names and hashes of several."""
        if len(self.archives) == 1:
            return next(iter(self.archives.values()))
        lines = [f"{Path(name).name}\0{digest}\n" for name, digest in sorted(self.archives.items())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


CIFAR10 = Original(
    "CIFAR10",
    (3, 32, 32),
    {"cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"},
    train=(5000,) * 10,
    test=(1000,) * 10,
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)

MNIST = Original(
    "MNIST",
    (1, 28, 28),
    {
        "MNIST/raw/train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "MNIST/raw/train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "MNIST/raw/t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "MNIST/raw/t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    train=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    test=(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    classes=tuple("0123456789"),
)


@datasets.register("cifar10", version=1, headline="fid-legacy")
def cifar10(*, path: str | None = None, flip: bool = True, valid: Size = 1000) -> Data:
    """CIFAR-10: 32x32 color photographs of ten classes, 50,000 to train (1,000 held out to validate), 10,000 to test.

    The plan is the published recipe: 400,000 steps of Adam, on a GPU.

    Args:
        path: folder or tar archive of the images (train/cat/1.png ...) to use instead of the downloaded original.
        flip: whether training images are mirrored left to right at random.
        valid: training images held out for validation, if the path has no such split; 0 trains on all, as published,
            and leaves none to tune on.

    Raises:
        ConfigError: if the path holds no such images.

    Reference: Krizhevsky, 2009.
    """
    images = _original_or_path("cifar10", CIFAR10, path)
    evaluation = EVALUATION | {"n": 50_000}
    return image_task(images, CIFAR10.shape, {"valid": valid}, PUBLISHED, evaluation, flip=flip)


@datasets.register("mnist", version=1, headline="fid-legacy")
def mnist(*, path: str | None = None, valid: Size = 5000) -> Data:
    """MNIST: 28x28 gray handwritten digits, 60,000 to train (5,000 held out to validate), 10,000 to test.

    Args:
        path: folder or tar archive of the images (train/7/1.png ...) to use instead of the downloaded original.
        valid: training images held out for validation, if the path has no such split.

    Raises:
        ConfigError: if the path holds no such images.

    Reference: LeCun et al., 1998.
    """
    images = _original_or_path("mnist", MNIST, path)
    return image_task(images, MNIST.shape, {"valid": valid}, GREY, EVALUATION)


@datasets.register("folder", version=2, headline="fid-legacy")
def folder(
    *,
    path: str,
    size: Count = 64,
    channels: Literal[1, 3] = 3,
    gray: Literal["refuse", "repeat"] = "refuse",
    flip: bool = True,
    valid: Fraction = 0.05,
    test: Fraction = 0.1,
) -> Data:
    """Images of any size in a folder or a tar archive, with or without classes, resized and cropped to squares once.

    Below the path lie train/cat/1.png, test/cat/2.png ..., or cat/1.png ..., or 1.png ... The shorter side is resized
    to `size` by an antialiased bicubic filter and the center is kept. Train, TESTING, dev and val_2017 are names of
    splits as well. If the folder for validation or test is missing, genbench holds out training images
    instead, stratified by class and always the same.

    Args:
        path: the folder, or the tar archive of any compression.
        size: height and width of an image.
        channels: 1 for gray images, 3 for color; genbench refuses other images and names the first one.
        gray: what to do with gray images among color images: refuse them, or repeat their channel.
        flip: whether training images are mirrored left to right at random.
        valid: share of the training images held out for validation, if the tree has no such split.
        test: share of the training images held out for testing, if the tree has no such split.

    Raises:
        ConfigError: if the path holds no such images, or gray images would be repeated as gray images.
    """
    if channels == 1 and gray == "repeat":
        raise ConfigError("folder.gray: repeat needs channels=3")
    images = image_decoding.collection(path, ImageFormat(size, channels, resize=True, gray=gray))
    total = sum(images.counts["train"])
    held_out = {"valid": round(valid * total), "test": round(test * total)}
    data = image_task(images, (channels, size, size), held_out, PUBLISHED, EVALUATION, flip=flip)
    counts = zip(*images.counts.values(), strict=True)
    classes = dict(zip(images.classes, map(sum, counts), strict=True)) if data.event.classes else {}
    what = f"{sum(map(sum, images.counts.values())):,} images"
    said = remarks(what, classes, {"train": data.train, "valid": data.valid, "test": data.test})
    if images.copies:
        said.append(
            f"{images.copies:,} images are copies of others: if test images are copies of training images, values "
            "favor models that memorize"
        )
    return replace(data, remarks=tuple(f"{images.provenance['source']}: {line}" for line in said))


def _original_or_path(name: str, original: Original, path: str | None) -> Collection:
    """Return an original data set, or the images at a path instead.

    Raises:
        ConfigError: if the path holds other splits or another number of classes.
    """
    if path is None:
        return _downloaded(name, original)
    channels, size, _ = original.shape
    images = image_decoding.collection(path, ImageFormat(size, 1 if channels == 1 else 3))
    if len(images.classes) != len(original.classes) or "test" not in images.counts:
        raise ConfigError(
            f"{path} is not {name}: it needs train and test with {len(original.classes)} class folders each, but has "
            f"{' and '.join(images.counts)} with {len(images.classes)}"
        )
    return images


def _downloaded(name: str, original: Original) -> Collection:
    """Return an original as a collection, downloaded by torchvision and verified when its images are first needed."""

    def load() -> tuple[CachedRows, torch.Tensor]:
        download = functools.cache(lambda: _download(name, original))
        key = cache.key(original=original.sha256)
        shape = (sum(original.train + original.test), *original.shape)
        images = CachedRows("images", f"{key}.npy", shape, np.uint8, lambda: enumerate(download()[0]))
        kept = tensors.cached("images", f"{key}.safetensors", lambda: {"label": torch.from_numpy(download()[1])})
        return images, kept["label"]

    provenance = {
        "source": f"torchvision {original.kind}",
        "sha256": original.sha256,
        "original": True,
        "classes": list(original.classes),
    }
    return Collection({"train": original.train, "test": original.test}, original.classes, load, provenance)


def _download(name: str, original: Original) -> tuple[np.ndarray, np.ndarray]:
    """Return all images (n, channels, height, width) and labels, the training split first."""
    # torchvision takes a while to import, and is needed only here.
    from torchvision import datasets

    root = cache.home() / "torchvision"
    try:
        # Standard output belongs to the record that `run --json` prints.
        with contextlib.redirect_stdout(sys.stderr):
            kind = getattr(datasets, original.kind)
            splits = [kind(str(root), train=train, download=True) for train in (True, False)]
    except (URLError, OSError, RuntimeError) as error:
        reason = first_line(error).rstrip(":")
        raise RunFailed(
            f"{name} cannot be downloaded ({reason}); give a folder or tar archive of its images instead: "
            "--set data.path=FOLDER_OR_TAR"
        ) from error
    for file, expected in original.archives.items():
        digest = content_hash.sha256(root / file)
        if digest != expected:
            raise RunFailed(f"{root / file} has the sha256 {digest}, not {expected}; remove it and try again")
    images = np.concatenate([np.asarray(split.data) for split in splits])
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    label = np.concatenate([np.asarray(split.targets) for split in splits]).astype(np.int64)
    return images, label


def image_task(
    images: Collection,
    shape: tuple[int, int, int],
    held_out: Mapping[str, int],
    plan: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    *,
    metrics: tuple[str, ...] = METRICS,
    levels: int = 256,
    flip: bool = False,
) -> Data:
    """Build the task of generating the images of a collection.

    Args:
        shape: (channels, height, width).
        held_out: see `Collection.splits`.
        levels: number of gray levels of a channel.
    """
    space = Pixels(levels)
    splits = images.splits(held_out, space, flip=flip)
    # With a single class there is nothing to condition on.
    classes = len(images.classes) if len(images.classes) > 1 else 0
    return Data(
        event=Event(shape, classes, space.bin),
        space=space,
        source=Normal(shape),
        train=splits["train"],
        valid=splits["valid"],
        test=splits["test"],
        plan=plan,
        evaluation=evaluation,
        metrics=metrics,
        provenance=images.provenance,
    )
