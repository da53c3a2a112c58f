"""Reference statistics: mean, covariance and features of real images, computed once, or published by others.

The cache stores computed statistics under a hash of the images and of the protocol.
"""

import hashlib
import logging
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from genbench.core import Data, LazyRows, Rows, Split
from genbench.errors import ConfigError
from genbench.metrics.extractors.feature_extractor import FeatureExtractor, extract
from genbench.metrics.image.frechet import Moments, bias_constant
from genbench.seeds import derive
from genbench.storage import arrays, cache, content_hash, files, tensors

log = logging.getLogger("genbench")

VERSION = 1
"""Version in the cache key: raise it when the same images and network would give other statistics."""

CLEAN_FID_MODES = {"inception-legacy": "legacy_tensorflow", "inception-clean": "clean"}
"""Names of the protocols in the file names of clean-fid."""

SplitName = Literal["train", "test"]
"""Real images to compare with; "train" includes the validation images, as published statistics do, unless the
validation split takes the place of the test split."""

MAX_REAL = 50_000
"""Number of images of published statistics."""

BATCH = 64


class RealImages(LazyRows):
    """Real images of several sources, sorted by their hashes and read when they are indexed.

    `sha256` is the hash of the set of images.
    """

    def __init__(self, *sources: Rows) -> None:
        self._sources = sources
        self.shape = (sum(source.shape[0] for source in sources), *sources[0].shape[1:])
        batches = torch.arange(self.shape[0]).split(BATCH)
        hashes = [hashlib.sha256(image.tobytes()).digest() for rows in batches for image in self._read(rows).numpy()]
        self._order = torch.tensor(sorted(range(len(hashes)), key=hashes.__getitem__))
        self.sha256 = hashlib.sha256(b"".join(hashes[i] for i in self._order.tolist())).hexdigest()

    def __getitem__(self, rows: Int[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
        return self._read(self._order[rows])

    def _read(self, rows: Int[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
        if len(self._sources) == 1:  # a second copy of a batch would count in memory
            return self._sources[0][rows]
        images, start = torch.empty(len(rows), *self.shape[1:], dtype=torch.uint8), 0
        for source in self._sources:
            stop = start + source.shape[0]
            here = (rows >= start) & (rows < stop)
            if bool(here.any()):
                images[here] = source[rows[here] - start]
            start = stop
        return images


def available(data: Data, split: SplitName) -> int:
    """Return the number of real images; `MAX_REAL` if they are generated on the fly."""
    train = (data.train,) if data.valid is data.test else (data.train, data.valid)
    sizes = [part.size for part in (train if split == "train" else (data.test,))]
    return MAX_REAL if None in sizes else sum(size for size in sizes if size is not None)


@lru_cache(maxsize=8)
def real_images(data: Data, split: SplitName, n: int) -> RealImages:
    """Return n of the `available` real images, always the same ones."""
    first = data.test if split == "test" else data.train
    count = n if first.size is None else min(n, first.size)
    sources = [_raw(data, first, count, derive(0, "reference", split))]
    if n > count:
        sources.append(_raw(data, data.valid, n - count, derive(0, "reference", "valid")))
    return RealImages(*sources)


def _raw(data: Data, split: Split, n: int, seed: int) -> Rows:
    raw = split.raw(n, seed)
    return raw if raw is not None else data.space.decode(split.take(n, seed).x)


@dataclass(frozen=True, eq=False)
class Published:
    """Mean and covariance of real images, as others publish them.

    Args:
        source: name of the file and the beginning of its sha256.
        moments: mean and covariance; their n is 0 where the file does not state it.
    """

    source: str
    moments: Moments

    @cached_property
    def bias_constant(self) -> float:
        """K in the bias K (1/n + 1/m) of a Frechet distance between n samples and m of these images."""
        return bias_constant(self.moments)


@dataclass(frozen=True, eq=False)
class Statistics(Published):
    """Mean, covariance and features of real images, computed here.

    Args:
        source: name of the entry in the cache, which differs for other images and networks.
        rows: the features, one row per image.
    """

    rows: Float[Tensor, "n k"]

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.rows)


def statistics(data: Data, extractor: FeatureExtractor, split: SplitName, n: int) -> Statistics:
    """Return the statistics of at most n real images, always the same ones, from the cache if they are there."""
    return _statistics(data, extractor, split, min(n, available(data, split)))


@lru_cache(maxsize=8)
def _statistics(data: Data, extractor: FeatureExtractor, split: SplitName, n: int) -> Statistics:
    images = real_images(data, split, n)

    def make() -> dict[str, Tensor]:
        log.warning("computing statistics of %d %s images by %s, once, for the cache", n, split, extractor.name)
        rows = extract(extractor, images)
        moments = Moments(rows.split(4096))
        return {"mean": moments.mean, "covariance": moments.covariance, "features": rows}

    protocol = {"extractor": extractor.name, "weights": extractor.sha256, "resize": extractor.resize}
    key = cache.key(version=VERSION, images=images.sha256, **protocol)[:16]
    name = f"{extractor.name}-{split}-{n}-{key}.safetensors"
    found = tensors.cached("references", name, make)
    return Statistics(name, Moments.of(n, found["mean"], found["covariance"]), found["features"])


def published(path: str, extractor: FeatureExtractor) -> Published:
    """Read an .npz with mu and sigma, as clean-fid and others publish them.

    Raises:
        ConfigError: if the file is missing or holds other arrays, or if its name states another protocol.
    """
    file = files.expanded(path)
    if not file.is_file():
        raise ConfigError(f"there is no file {file}")
    return _published(file, content_hash.remembered(file), extractor)


@lru_cache(maxsize=4)
def _published(path: Path, sha256: str, extractor: FeatureExtractor) -> Published:
    mode = re.search(r"_(clean|legacy_tensorflow|legacy_pytorch)_", path.name)
    if mode and mode[1] != CLEAN_FID_MODES.get(extractor.name):
        raise ConfigError(f"{path} is from another protocol: clean-fid's {mode[1]}, not {extractor.name}")
    try:
        mean, covariance = (torch.from_numpy(arrays.load(path, name).astype(np.float64)) for name in ("mu", "sigma"))
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{path} must hold the arrays mu and sigma: {error}") from error
    if mean.dim() != 1 or covariance.shape != (len(mean), len(mean)):
        raise ConfigError(f"{path}: mu must be a vector and sigma its matrix, not {mean.shape} and {covariance.shape}")
    if not bool(torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
        raise ConfigError(f"{path}: mu and sigma must be finite")
    if len(mean) != extractor.num_features:
        raise ConfigError(f"{path} is from another network: it has {len(mean)} features, not {extractor.num_features}")
    return Published(f"{path.name} {sha256[:8]}", Moments.of(0, mean, covariance))
