"""Reference statistics: mean, covariance and features of real images, computed once, or published by others.

Those computed here are kept in the cache under a hash of the images and of the protocol, so that statistics of other
images or of another network are never used for them.
"""

import logging
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from genbench.core import Data
from genbench.errors import ConfigError
from genbench.metrics.extractors.feature_extractor import FeatureExtractor, extract
from genbench.metrics.image.frechet import Moments, bias_constant
from genbench.metrics.image.real_images import SplitName, available, real_images
from genbench.storage import arrays, cache, content_hash, tensors

log = logging.getLogger("genbench")

VERSION = 1
"""Raised whenever the same images and network would give other statistics."""

CLEAN_FID_MODES = {"inception-legacy": "legacy_tensorflow", "inception-clean": "clean"}
"""Names of the protocols in the file names of clean-fid."""


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
        log.warning("statistics of %d %s images by %s are computed once and kept", n, split, extractor.name)
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
        ConfigError: if it is not such a file, or of another protocol.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(f"{file} is not a file of statistics")
    return _published(file, content_hash.remembered(file), extractor)


@lru_cache(maxsize=4)
def _published(path: Path, sha256: str, extractor: FeatureExtractor) -> Published:
    mode = re.search(r"_(clean|legacy_tensorflow|legacy_pytorch)_", path.name)
    if mode and mode[1] != CLEAN_FID_MODES.get(extractor.name):
        raise ConfigError(f"{path} has another protocol: clean-fid's {mode[1]}, not {extractor.name}")
    try:
        found = arrays.load(path)
        mean, covariance = (torch.from_numpy(found[name].astype(np.float64)) for name in ("mu", "sigma"))
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{path} holds no statistics, arrays mu and sigma: {error}") from error
    if mean.dim() != 1 or covariance.shape != (len(mean), len(mean)):
        raise ConfigError(f"{path}: mu must be a vector and sigma its matrix, not {mean.shape} and {covariance.shape}")
    if not bool(torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
        raise ConfigError(f"{path}: mu and sigma must be finite")
    return Published(f"{path.name} {sha256[:8]}", Moments.of(0, mean, covariance))
