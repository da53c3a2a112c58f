"""Statistics that somebody published: mean and covariance of real images in a file, without the images."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from genbench.errors import ConfigError
from genbench.metrics.image import reference_statistics
from genbench.metrics.image.features import Features
from genbench.metrics.image.frechet import Moments, bias_constant
from genbench.metrics.image.reference_statistics import Statistics
from genbench.storage import content_hash

MODES = {"inception-legacy": "legacy_tensorflow", "inception-clean": "clean"}
"""What clean-fid calls the protocols, in the names of its files."""


@dataclass(frozen=True)
class Published:
    """Mean and covariance from a file.

    Args:
        moments: what the file holds; their n is 0 where the file does not say.
        source: name of the file and the beginning of its sha256.
        n: number of images; None where the file does not say.
    """

    moments: Moments
    source: str
    n: int | None = None

    @property
    def bias_constant(self) -> float:
        """K in the bias K (1/n + 1/m) of a Frechet distance between n samples and m of these images."""
        return bias_constant(self.moments)


def published(path: str, features: Features) -> Published:
    """Read statistics: of genbench, or an .npz with mu and sigma as clean-fid and others publish them.

    Raises:
        ConfigError: if it is no such file, or one of another protocol.
    """
    return _published(Path(path).expanduser(), features)


@lru_cache(maxsize=4)
def _published(path: Path, features: Features) -> Published:
    if not path.is_file():
        raise ConfigError(f"{path} is no file of statistics")
    source = f"{path.name} {content_hash.sha256(path)[:8]}"
    if path.suffix == ".safetensors":
        found = reference_statistics.opened(path)
        _same_protocol(found, features)
        return Published(found.moments, source, found.n)
    mode = re.search(r"_(clean|legacy_tensorflow|legacy_pytorch)_", path.name)
    if mode and mode[1] != MODES.get(features.name):
        raise ConfigError(f"{path} is of another protocol: clean-fid's {mode[1]}, not {features.name}")
    try:
        with np.load(path, allow_pickle=False) as loaded:
            mean, covariance = (torch.from_numpy(np.asarray(loaded[name], np.float64)) for name in ("mu", "sigma"))
    except (OSError, EOFError, ValueError, KeyError, BadZipFile, AttributeError) as error:
        raise ConfigError(f"{path} holds no statistics, arrays mu and sigma: {error}") from error
    if mean.dim() != 1 or covariance.shape != (len(mean), len(mean)):
        raise ConfigError(f"{path}: mu must be a vector and sigma its matrix, not {mean.shape} and {covariance.shape}")
    if not bool(torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
        raise ConfigError(f"{path}: mu and sigma must be finite")
    return Published(Moments.of(0, mean, covariance), source)


def _same_protocol(found: Statistics, features: Features) -> None:
    for what, asked in (("extractor", features.name), ("resize", features.resize), ("weights", features.sha256)):
        if found.about[what] != asked:
            raise ConfigError(f"{found.path} is of another protocol: its {what} is {found.about[what]}, not {asked}")
