"""Features of images: what a network that extracts them must say of itself, and their mean and covariance."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from genbench.core import Rows
from genbench.errors import Unsupported

BATCH = 256


class Features(ABC):
    """A network from raw images to feature vectors, with everything that makes its numbers comparable.

    Args:
        name: suffix of the metrics computed on it.
        sha256: of the weights.
        resize: how images are resized to its input: the filter and its convention, or "none".
    """

    name: str
    sha256: str
    resize: str

    @abstractmethod
    def __call__(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Return the features of each image, independent of the batch."""

    def logits(self, features: Float[Tensor, "b k"]) -> Float[Tensor, "b classes"]:
        """Return the class logits of features. Raises Unsupported if the network is no classifier."""
        raise Unsupported(f"{self.name} is no classifier")


def extract(features: Features, images: Rows) -> Float[Tensor, "n k"]:
    """Return the features of all images, some at a time."""
    return torch.cat([features(images[part]) for part in torch.arange(images.shape[0]).split(BATCH)])


class Moments:
    """Mean and covariance of vectors that come in batches, in float64, as if they had come at once.

    Batches are merged by Chan et al. (1979): sums of deviations from the mean, so that nothing cancels.

    Args:
        batches: the vectors.
    """

    def __init__(self, batches: Iterable[Float[Tensor, "_ k"]] = ()) -> None:
        self.n = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self._scatter = torch.zeros(0, 0, dtype=torch.float64)
        for batch in batches:
            self.add(batch)

    @classmethod
    def of(cls, n: int, mean: Float64[Tensor, " k"], covariance: Float64[Tensor, "k k"]) -> "Moments":
        """Return moments that are known already, those of n vectors."""
        moments = cls()
        moments.n, moments.mean, moments._scatter = n, mean, covariance * (n - 1)
        return moments

    def add(self, batch: Float[Tensor, "b k"]) -> None:
        """Take in one more batch."""
        x = batch.double()
        mean = x.mean(0)
        if self.n == 0:
            self.mean, self._scatter = torch.zeros_like(mean), torch.zeros(len(mean), len(mean), dtype=torch.float64)
        n, total = len(x), self.n + len(x)
        shift, centred = mean - self.mean, x - mean
        self._scatter = self._scatter + centred.T @ centred + torch.outer(shift, shift) * (self.n * n / total)
        self.mean = self.mean + shift * (n / total)
        self.n = total

    @property
    def covariance(self) -> Float64[Tensor, "k k"]:
        """The unbiased covariance."""
        return self._scatter / (self.n - 1)
