"""Feature extractors: networks from raw images to feature vectors, and the setting `features` that names one."""

from abc import ABC, abstractmethod
from functools import lru_cache
from json import dumps, loads
from typing import Annotated, Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from genbench.core import Data, Event, Rows
from genbench.errors import Unsupported
from genbench.registry import extractors
from genbench.settings import Nested, build_component, settings_in
from genbench.storage import content_hash
from genbench.training.process_group import ALONE, Group

BATCH = 256


class FeatureExtractor(nn.Module, ABC):
    """A network from raw images to feature vectors, with everything that makes its numbers comparable.

    torchmetrics accepts an extractor as `feature=`. An extractor has no training mode.

    Args:
        name: suffix of the metrics computed on it.
        resize: how images are resized to its input: the filter and its convention, or "none".
        num_features: length of a feature vector.
    """

    def __init__(self, name: str, sha256: str, resize: str, num_features: int) -> None:
        super().__init__()
        self.name, self.sha256, self.resize, self.num_features = name, sha256, resize, num_features

    @property
    def protocol(self) -> str:
        """The network and its resizing, for protocols."""
        return f"{self.name} {self.sha256[:8]}, resize {self.resize}"

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


def default_extractor(event: Event) -> str:
    """Return the extractor that metrics use by default: published numbers use Inception.

    >>> default_extractor(Event((3, 32, 32))), default_extractor(Event((1, 8, 8)))
    ('inception-legacy', 'digits_cnn')
    """
    return "digits_cnn" if event.shape == (1, 8, 8) else "inception-legacy"


EXTRACTOR = Nested(extractors, default_extractor)
Extractor = Annotated[
    dict[str, Any] | str | None,
    EXTRACTOR,
    "the network whose features are compared (genbench list extractors): a name, or a table with its settings; "
    "by default inception-legacy, or digits_cnn for 8x8 digits",
]


def build_extractor(data: Data, value: dict[str, Any] | str | None) -> FeatureExtractor:
    """Build the extractor of a setting, or the default one for the data; each is built once.

    Raises:
        Unsupported: if the extractor is not available, or not made for such data.
    """
    component = EXTRACTOR.resolve(value, "features", data.event)
    assert component is not None
    content = content_hash.of_settings(extractors[component["name"]].build, settings_in(component), "features")
    return _build(data, dumps(component, sort_keys=True), tuple(content.values()))


@lru_cache(maxsize=4)
def _build(data: Data, text: str, content: tuple[str, ...]) -> FeatureExtractor:
    return build_component(extractors, loads(text), data)
