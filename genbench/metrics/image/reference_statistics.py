"""Reference statistics: what real images look like to a network, computed once and known by their content.

A file is named after the images (a hash of the set of them) and the protocol, so that no statistics are ever taken for
those of other images or of another network. It holds mean, covariance and features, each with its sha256.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from genbench.core import Data, LazyRows, Rows, Split
from genbench.errors import Unsupported
from genbench.metrics.image.features import BATCH, Features, extract
from genbench.metrics.image.frechet import Moments, bias_constant
from genbench.seeds import derive
from genbench.storage import cache, files
from genbench.storage.files import Damaged

log = logging.getLogger("genbench")

Part = Literal["train", "test"]

VERSION = 1
"""Raised whenever the same images and network would give other statistics."""

MOST = 50_000
"""Images that published statistics are of."""


FACTS = {"extractor", "weights", "resize", "images", "part", "n", "source", "sha256"}
"""What the header of a file of statistics says."""


@dataclass(frozen=True)
class Statistics:
    """A file of reference statistics, verified as it is read.

    Args:
        path: the file.
        about: what its header says: "extractor", "weights", "resize", "images", "part", "n", "source".
    """

    path: Path
    about: Mapping[str, Any]

    @property
    def n(self) -> int:
        """Number of images."""
        return self.about["n"]

    @cached_property
    def moments(self) -> Moments:
        """Mean and covariance."""
        return Moments.of(self.n, self._read("mean"), self._read("covariance"))

    @cached_property
    def bias_constant(self) -> float:
        """K in the bias K (1/n + 1/m) of a Frechet distance between n samples and m of these images."""
        return bias_constant(self.moments)

    @cached_property
    def rows(self) -> Float[Tensor, "n k"]:
        """The features, one row an image."""
        return self._read("features")

    def verify(self) -> None:
        """Compare everything with its sha256. Raises Damaged if the file is not what was written."""
        for name in self.about["sha256"]:
            self._read(name)

    def _read(self, name: str) -> Tensor:
        try:
            with safe_open(self.path, "pt") as file:
                value = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise Damaged(f"{self.path} is damaged: {error}") from error
        if _sha256(value) != self.about["sha256"][name]:
            raise Damaged(f"{self.path} is damaged: {name} is not what its sha256 says")
        return value


class Images(LazyRows):
    """Real images in an order that depends on nothing but the set of them; each is read when it is asked for.

    Args:
        pieces: rows that hold them.
    """

    def __init__(self, *pieces: Rows) -> None:
        self._pieces = pieces
        self._sizes = [piece.shape[0] for piece in pieces]
        self.shape = (sum(self._sizes), *pieces[0].shape[1:])
        parts = torch.arange(self.shape[0]).split(BATCH // 4)
        hashes = [hashlib.sha256(image.tobytes()).digest() for part in parts for image in self._stored(part).numpy()]
        self._order = torch.tensor(sorted(range(len(hashes)), key=hashes.__getitem__))
        self.sha256 = hashlib.sha256(b"".join(hashes[i] for i in self._order.tolist())).hexdigest()
        """Of the set of them."""

    def __getitem__(self, rows: Int[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
        """Return some of them."""
        return self._stored(self._order[rows])

    def _stored(self, places: Int[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
        """Return images by their places in the rows."""
        if len(self._pieces) == 1:
            return self._pieces[0][places]
        found, start = torch.empty(len(places), *self.shape[1:], dtype=torch.uint8), 0
        for piece, size in zip(self._pieces, self._sizes, strict=True):
            here = (places >= start) & (places < start + size)
            if bool(here.any()):
                found[here] = piece[places[here] - start]
            start += size
        return found


def statistics(data: Data, features: Features, part: Part, n: int) -> Statistics:
    """Return the statistics of real images: from the cache, or made and kept.

    Args:
        data: the task.
        features: the network.
        part: train, which includes the images held out for validation, or test.
        n: number of images, at most; where there are more, always the same ones are taken.
    """
    return _statistics(data, features, part, min(n, available(data, part)))


@lru_cache(maxsize=8)
def _statistics(data: Data, features: Features, part: Part, n: int) -> Statistics:
    real = images(data, part, n)
    about = {"extractor": features.name, "weights": features.sha256, "resize": features.resize, "images": real.sha256}

    def read(path: Path) -> Statistics:
        found = opened(path)
        if any(found.about[name] != value for name, value in about.items()):
            raise Damaged(f"{path} is damaged: it is of other images or another network")
        found.verify()
        return found

    def make(path: Path) -> None:
        log.warning("statistics of %d %s images by %s are made once, and kept", n, part, features.name)
        rows = extract(features, real)
        moments = Moments(rows.split(4096))
        tensors = {"mean": moments.mean, "covariance": moments.covariance, "features": rows.contiguous()}
        facts = {"part": part, "n": n, "source": str(data.provenance.get("source", "")), "version": VERSION}
        sha256 = {name: _sha256(value) for name, value in tensors.items()}
        header = {"about": json.dumps({**about, **facts, "sha256": sha256})}
        files.replace(path, lambda temporary: save_file(tensors, temporary, header))

    return cache.get("references", f"{features.name}-{part}-{n}-{_key(about)}.safetensors", read, make)


def folder() -> Path:
    """Return where statistics are kept."""
    return cache.home() / "references"


def paths() -> list[Path]:
    """Return the files of all statistics that are kept."""
    return sorted(folder().glob("*.safetensors"))


def opened(path: Path) -> Statistics:
    """Return the statistics in a file, of which only the header is read.

    Raises:
        Damaged: if it is no such file, or not what was written.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["about"])
        if not about.keys() >= FACTS:
            raise ValueError(f"it does not say {', '.join(sorted(FACTS - about.keys()))}")
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise Damaged(f"{path} is damaged: {error}") from error
    return Statistics(path, about)


def available(data: Data, part: Part) -> int:
    """Return how many images a part has; without end where every draw is fresh."""
    sizes = [split.size for split in ((data.train, data.valid) if part == "train" else (data.test,))]
    return MOST if None in sizes else sum(size for size in sizes if size is not None)


@lru_cache(maxsize=8)
def images(data: Data, part: Part, n: int) -> Images:
    """Return n real images of a part.

    Raises:
        Unsupported: if the data has no images, or fewer.
    """
    if len(data.event.shape) != 3:
        raise Unsupported("features are of images")
    if n > available(data, part):
        raise Unsupported(f"needs {n} images, there are {available(data, part)} to {part}")
    first = data.test if part == "test" else data.train
    count = n if first.size is None else min(n, first.size)
    pieces = [_raw(data, first, count, derive(0, "reference", part))]
    if n > count:  # images held out for validation are training images of published statistics
        pieces.append(_raw(data, data.valid, n - count, derive(0, "reference", "valid")))
    return Images(*pieces)


def _raw(data: Data, split: Split, n: int, seed: int) -> Rows:
    raw = split.raw(n, seed)
    return raw if raw is not None else data.space.decode(split.take(n, seed).x)


def _key(about: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps({"version": VERSION, **about}, sort_keys=True).encode()).hexdigest()[:16]


def _sha256(value: Tensor) -> str:
    return hashlib.sha256(value.contiguous().numpy().data).hexdigest()
