"""The original MNIST and CIFAR-10, downloaded by torchvision when first needed, and verified."""

import contextlib
import functools
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.error import URLError

import numpy as np
import torch

from genbench.data.rows import CachedRows
from genbench.data.splits import Collection
from genbench.errors import RunFailed, first_line
from genbench.storage import cache, content_hash, tensors


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


def collection(name: str, original: Original) -> Collection:
    """Return an original as a collection; it is downloaded and verified when its images are first needed."""

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
            f"{name} cannot be downloaded ({reason}); a folder or tar archive of its images will do: "
            "--set data.path=FOLDER_OR_TAR"
        ) from error
    for file, expected in original.archives.items():
        digest = content_hash.sha256(root / file)
        if digest != expected:
            raise RunFailed(f"{root / file} has the sha256 {digest}, not {expected}; remove it and try again")
    images = np.concatenate([np.asarray(split.data) for split in splits])
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    label = np.concatenate([np.asarray(split.targets) for split in splits]).astype(np.int64)
    counts = [np.bincount(part).tolist() for part in np.split(label, [len(splits[0])])]
    if counts != [list(original.train), list(original.test)]:
        raise RunFailed(f"{name} has the class counts {counts}, which are not those of the original")
    return images, label
