"""Samples as sequences of tokens: patches of images, segments of vectors."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.errors import ConfigError


@dataclass(frozen=True)
class Patches:
    """Cuts images into square patches, row by row, and vectors into segments.

    Args:
        shape: (d,) for vectors, (channels, height, width) for images.
        patch: side of a patch, or length of a segment.

    >>> patches = Patches((3, 8, 8), 2)
    >>> patches.count, patches.size
    (16, 12)
    """

    shape: tuple[int, ...]
    patch: int

    def __post_init__(self) -> None:
        if len(self.shape) not in (1, 3):
            raise ConfigError(
                f"samples of shape {self.shape} have no tokens; samples need shape (d,) or (channels, height, width)"
            )
        if any(side % self.patch for side in self._sides):
            raise ConfigError(f"patch={self.patch} does not divide samples of shape {self.shape}")

    @property
    def _sides(self) -> tuple[int, ...]:
        return self.shape if len(self.shape) == 1 else self.shape[1:]

    @property
    def count(self) -> int:
        """Number of tokens."""
        return math.prod([side // self.patch for side in self._sides])

    @property
    def size(self) -> int:
        """Size of a token."""
        return math.prod(self.shape) // self.count

    @property
    def grid(self) -> Int[Tensor, "tokens axes"]:
        """Place of each token: its index in a vector; its row and column in an image."""
        axes = [torch.arange(side // self.patch) for side in self._sides]
        return torch.cartesian_prod(*axes).view(self.count, len(axes))

    def split(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b tokens size"]:
        """Cut samples into tokens."""
        if len(self.shape) == 1:
            return x.view(len(x), self.count, self.patch)
        c, h, w = self.shape
        p = self.patch
        return x.reshape(-1, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5).reshape(len(x), self.count, self.size)

    def join(self, tokens: Float[Tensor, "b tokens size"]) -> Float[Tensor, "b *event"]:
        """Invert `split`."""
        if len(self.shape) == 1:
            return tokens.reshape(len(tokens), *self.shape)
        c, h, w = self.shape
        p = self.patch
        return tokens.reshape(-1, h // p, w // p, c, p, p).permute(0, 3, 1, 4, 2, 5).reshape(-1, c, h, w)
