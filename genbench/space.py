"""Spaces: the map between raw data and model space. Units are handled here only."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor


class Space(ABC):
    """The map between raw data and model space.

    Args:
        bin: width of one quantization step in model space; 0 for continuous data.
    """

    bin: float

    @abstractmethod
    def encode(self, raw: Shaped[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Map raw data to model space."""

    @abstractmethod
    def decode(self, x: Float[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Map model space back to raw data."""

    @property
    @abstractmethod
    def log_scale(self) -> float:
        """Nats per dimension that, added to a negative log-likelihood in model space, convert it to raw units."""


@dataclass(frozen=True)
class Pixels(Space):
    """Integers 0..levels-1 at the centers of their bins in [-1, 1]: x = (2k+1)/levels - 1.

    Decoding floors, k = floor(levels (x+1) / 2), and clips: every point of a bin decodes to its integer, so a uniformly
    dequantized value always returns to its level.

    >>> pixels = Pixels(4)
    >>> pixels.encode(torch.arange(4))
    tensor([-0.7500, -0.2500,  0.2500,  0.7500])
    >>> pixels.decode(torch.tensor([-1.2, -0.51, 0.0, 0.99]))
    tensor([0, 0, 2, 3], dtype=torch.uint8)
    """

    levels: int = 256

    @property
    def bin(self) -> float:
        """Width of one level in model space."""
        return 2.0 / self.levels

    def encode(self, raw: Shaped[Tensor, "..."]) -> Float[Tensor, "..."]:
        return (2 * raw.to(torch.float32) + 1) / self.levels - 1

    def decode(self, x: Float[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Map [-1, 1] to integer levels (uint8 up to 256 of them), clipping values outside.

        Raises:
            ValueError: if x contains NaN.
        """
        if torch.isnan(x).any():
            raise ValueError("NaN has no gray level")
        level = torch.floor((x + 1) * (self.levels / 2)).clamp(0, self.levels - 1)
        return level.to(torch.uint8 if self.levels <= 256 else torch.int64)

    def gray(self, raw: np.ndarray) -> np.ndarray:
        """Return integer levels as gray values 0..255."""
        if self.levels <= 256:
            return raw * (255 // (self.levels - 1))
        return (raw * 256 // self.levels).astype(np.uint8)

    @property
    def log_scale(self) -> float:
        """log(levels / 2), from densities on [-1, 1] to densities on [0, levels]."""
        return math.log(self.levels / 2)


@dataclass(frozen=True)
class Real(Space):
    """Real vectors as they are."""

    bin = 0.0

    def encode(self, raw: Shaped[Tensor, "..."]) -> Float[Tensor, "..."]:
        return raw.float()

    def decode(self, x: Float[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        return x.clone()

    @property
    def log_scale(self) -> float:
        return 0.0


@dataclass(frozen=True)
class Standardized(Space):
    """Real vectors with a mean and a standard deviation for each coordinate: x = (raw - mean) / std.

    >>> space = Standardized((1.0, 0.0), (2.0, 4.0))
    >>> space.decode(space.encode(torch.tensor([[3.0, 4.0]])))
    tensor([[3., 4.]])
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    bin = 0.0

    def encode(self, raw: Shaped[Tensor, "..."]) -> Float[Tensor, "..."]:
        raw = raw.float()
        return (raw - raw.new_tensor(self.mean)) / raw.new_tensor(self.std)

    def decode(self, x: Float[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        return x * x.new_tensor(self.std) + x.new_tensor(self.mean)

    @property
    def log_scale(self) -> float:
        """Mean log(std) of the coordinates, from densities of x to densities of raw."""
        return sum(map(math.log, self.std)) / len(self.std)


def dequantize(x: Float[Tensor, "*shape"], width: float, generator: torch.Generator) -> Float[Tensor, "*shape"]:
    """Spread bin centers uniformly over bins of the given width (0 returns x itself, drawing nothing)."""
    if width == 0:
        return x
    noise = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return x + width * (noise - 0.5)
