"""Feature extractors: networks from raw images to feature vectors."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from genbench.core import Rows
from genbench.errors import Unsupported
from genbench.training.process_group import ALONE, Group

BATCH = 256


class FeatureExtractor(nn.Module, ABC):
    """A network from raw images to feature vectors, with everything that makes its numbers comparable.

    A module: torchmetrics accepts it as `feature=`. It has no training mode.

    Args:
        name: suffix of the metrics computed on it.
        resize: how images are resized to its input: the filter and its convention, or "none".
        num_features: length of a feature vector.
    """

    def __init__(self, name: str, sha256: str, resize: str, num_features: int) -> None:
        super().__init__()
        self.name, self.sha256, self.resize, self.num_features = name, sha256, resize, num_features

    @abstractmethod
    def forward(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Return the features of each image, independent of the batch."""

    def logits(self, features: Float[Tensor, "b k"]) -> Float[Tensor, "b classes"]:
        """Return the class logits of features. Raises Unsupported if the network is not a classifier."""
        raise Unsupported(f"{self.name} is not a classifier")

    def train(self, mode: bool = True) -> "FeatureExtractor":
        """Stay in evaluation mode."""
        return super().train(False)


def extract(extractor: FeatureExtractor, images: Rows, group: Group = ALONE) -> Float[Tensor, "n k"]:
    """Return the features of all images, computed in batches that the processes of a group share."""
    return torch.cat(group.map(lambda rows: extractor(images[rows]), torch.arange(images.shape[0]).split(BATCH)))
