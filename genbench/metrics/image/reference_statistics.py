"""Reference statistics: mean, covariance and features of real images, computed once, or published by others.

A file of genbench is named after a hash of the images and of the protocol, so that statistics of other images or of
another network are never used for them. It contains mean, covariance and features, each with its sha256.
"""

import hashlib
import logging
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Float
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from genbench.core import Data
from genbench.errors import ConfigError
from genbench.metrics.extractors.feature_extractor import FeatureExtractor, extract
from genbench.metrics.image.frechet import Moments, bias_constant
from genbench.metrics.image.real_images import SplitName, available, real_images
from genbench.storage import arrays, cache, content_hash, files
from genbench.storage.files import Damaged

log = logging.getLogger("genbench")

VERSION = 1
"""Raised whenever the same images and network would give other statistics."""

CLEAN_FID_MODES = {"inception-legacy": "legacy_tensorflow", "inception-clean": "clean"}
"""Names of the protocols in the file names of clean-fid."""


class Header(BaseModel):
    """The header of a file of statistics.

    Args:
        weights: sha256 of its weights.
        resize: how images were resized.
        images: sha256 of the set of images.
        part: split of the images.
        source: origin of the images.
        seal: sha256 of all other fields; files of earlier versions have none.
    """

    extractor: str
    weights: str
    resize: str
    images: str
    part: SplitName
    n: Annotated[int, Ge(1)]
    source: str
    sha256: dict[str, str]
    version: int = VERSION
    seal: str = ""


@dataclass(frozen=True)
class Statistics:
    """A file of reference statistics; each tensor is verified when it is read."""

    path: Path
    header: Header

    @property
    def n(self) -> int:
        """Number of images."""
        return self.header.n

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
        """The features, one row per image."""
        return self._read("features")

    def verify(self) -> None:
        """Compare every tensor with its sha256. Raises Damaged if one differs."""
        for name in self.header.sha256:
            self._read(name)

    def _read(self, name: str) -> Tensor:
        try:
            with safe_open(self.path, "pt") as file:
                value = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise Damaged(f"{self.path} is damaged: {error}") from error
        if _sha256(value) != self.header.sha256.get(name):
            raise Damaged(f"{self.path} is damaged: the sha256 of {name} differs")
        return value


def statistics(data: Data, extractor: FeatureExtractor, split: SplitName, n: int) -> Statistics:
    """Return the statistics of real images, from the cache if they are there.

    Args:
        split: train, which includes the images held out for validation (unless these take the place of test), or test.
        n: largest number of images; of more, always the same ones are taken.
    """
    return _statistics(data, extractor, split, min(n, available(data, split)))


@lru_cache(maxsize=8)
def _statistics(data: Data, extractor: FeatureExtractor, split: SplitName, n: int) -> Statistics:
    images = real_images(data, split, n)
    protocol: dict[str, Any] = {"extractor": extractor.name, "weights": extractor.sha256, "resize": extractor.resize}
    protocol |= {"images": images.sha256}

    def read(path: Path) -> Statistics:
        found = open_statistics(path)
        expected = {**protocol, "part": split, "n": n}
        if found.header.model_dump(include=set(expected)) != expected:
            raise Damaged(f"{path} is damaged: it is of other images or another network")
        found.verify()
        return found

    def make(path: Path) -> None:
        log.warning("statistics of %d %s images by %s are computed once and kept", n, split, extractor.name)
        rows = extract(extractor, images)
        moments = Moments(rows.split(4096))
        tensors = {"mean": moments.mean, "covariance": moments.covariance, "features": rows.contiguous()}
        sha256 = {name: _sha256(value) for name, value in tensors.items()}
        source = str(data.provenance.get("source", ""))
        header = Header(**protocol, part=split, n=n, source=source, sha256=sha256)
        header.seal = _seal(header)
        text = {"about": header.model_dump_json()}  # of several fields, safetensors would write them in any order
        files.replace(path, lambda temporary: save_file(tensors, temporary, text))

    key = cache.key(version=VERSION, **protocol)[:16]
    return cache.get("references", f"{extractor.name}-{split}-{n}-{key}.safetensors", read, make)


def open_statistics(path: Path) -> Statistics:
    """Return the statistics in a file, of which only the header is read.

    Raises:
        Damaged: if it is not such a file, or was changed.
    """
    try:
        files.open_regular(path).close()
        with safe_open(path, "pt") as file:
            header = Header.model_validate_json((file.metadata() or {}).get("about", "{}"))
        if header.seal not in ("", _seal(header)):
            raise Damaged(f"{path} is damaged: the checksum of its header differs")
    except FileNotFoundError:
        raise
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, each["loc"])) or each["msg"] for each in error.errors())
        raise Damaged(f"{path} is damaged: its header has no valid {wrong}") from error
    except (SafetensorError, OSError) as error:
        raise Damaged(f"{path} is damaged: {error}") from error
    return Statistics(path, header)


@dataclass(frozen=True)
class Published:
    """Mean and covariance from a file that a setting names.

    Args:
        moments: mean and covariance; their n is 0 where the file does not state it.
        source: name of the file and the beginning of its sha256.
        n: number of images; None where the file does not state it.
    """

    moments: Moments
    source: str
    n: int | None = None

    @property
    def bias_constant(self) -> float:
        """K in the bias K (1/n + 1/m) of a Frechet distance between n samples and m of these images."""
        return bias_constant(self.moments)


def published(path: str, extractor: FeatureExtractor) -> Published:
    """Read a file of statistics: of genbench, or an .npz with mu and sigma as clean-fid and others publish them.

    Raises:
        ConfigError: if it is not such a file, or of another protocol.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(f"{file} is not a file of statistics")
    return _published(file, content_hash.remembered(file), extractor)


@lru_cache(maxsize=4)
def _published(path: Path, sha256: str, extractor: FeatureExtractor) -> Published:
    source = f"{path.name} {sha256[:8]}"
    if path.suffix == ".safetensors":
        found = open_statistics(path)
        fields = {"extractor": extractor.name, "resize": extractor.resize, "weights": extractor.sha256}
        for field, expected in fields.items():
            value = getattr(found.header, field)
            if value != expected:
                raise ConfigError(f"{path} is of another protocol: its {field} is {value}, not {expected}")
        return Published(_moments(path, found.n, found._read("mean"), found._read("covariance")), source, found.n)
    mode = re.search(r"_(clean|legacy_tensorflow|legacy_pytorch)_", path.name)
    if mode and mode[1] != CLEAN_FID_MODES.get(extractor.name):
        raise ConfigError(f"{path} is of another protocol: clean-fid's {mode[1]}, not {extractor.name}")
    try:
        mean, covariance = (torch.from_numpy(arrays.load(path, name).astype(np.float64)) for name in ("mu", "sigma"))
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{path} holds no statistics, arrays mu and sigma: {error}") from error
    return Published(_moments(path, 0, mean, covariance), source)


def _moments(path: Path, n: int, mean: Tensor, covariance: Tensor) -> Moments:
    """Return the moments that a file of others holds. Raises ConfigError if they are none."""
    if mean.dim() != 1 or covariance.shape != (len(mean), len(mean)):
        raise ConfigError(f"{path}: mu must be a vector and sigma its matrix, not {mean.shape} and {covariance.shape}")
    if not bool(torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
        raise ConfigError(f"{path}: mu and sigma must be finite")
    return Moments.of(n, mean.double(), covariance.double())


def _seal(header: Header) -> str:
    return hashlib.sha256(header.model_dump_json(exclude={"seal"}).encode()).hexdigest()


def _sha256(value: Tensor) -> str:
    return hashlib.sha256(value.contiguous().reshape(-1).view(torch.uint8).numpy().data).hexdigest()
