"""Feature extractors: networks from raw images to feature vectors."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from genbench.core import Rows
from genbench.errors import Unsupported

BATCH = 256


class FeatureExtractor(ABC):
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


def extract(extractor: FeatureExtractor, images: Rows) -> Float[Tensor, "n k"]:
    """Return the features of all images, computed in batches."""
    return torch.cat([extractor(images[rows]) for rows in torch.arange(images.shape[0]).split(BATCH)])
