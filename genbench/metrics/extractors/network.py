"""Pretrained networks as extractors: images are resized and passed in batches of one size, in exact float32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from genbench.core import Data
from genbench.errors import Unsupported
from genbench.metrics.extractors.feature_extractor import FeatureExtractor
from genbench.metrics.extractors.resize import NAMES, Rule
from genbench.numerics.precision import float32_products
from genbench.space import Pixels

BATCH = {"cpu": 16, "cuda": 128}
"""Batch size by device, constant since a network sums in another order for another size. On a CPU, larger batches do
not fit its caches and take twice as long per image."""


class Network(FeatureExtractor):
    """A network from color images to features; gray images are repeated over the channels.

    Args:
        rule: how images are resized, one of `genbench.metrics.extractors.resize`.
        size: height and width after resizing; 0 where the network itself resizes.
        net: from images in 0..255 to features.
        head: weight of the last layer, from features to logits; None without one.
    """

    def __init__(
        self,
        name: str,
        sha256: str,
        net: Callable[[Tensor], Tensor],
        *,
        rule: Rule,
        size: int,
        num_features: int,
        head: Tensor | None = None,
    ) -> None:
        super().__init__(name, sha256, NAMES[rule], num_features)
        self.rule, self.size, self.net, self.head, self.device = rule, size, net, head, extractor_device()

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Return the features of each image, independent of the batch."""
        size = BATCH[self.device.type]
        return torch.cat([self._batch(part, size) for part in images.split(size)])

    def logits(self, features: Float[Tensor, "b k"]) -> Float[Tensor, "b classes"]:
        """Return the logits without their bias, which the Inception score leaves out."""
        if self.head is None:
            return super().logits(features)
        return features.double() @ self.head.double().T

    def _batch(self, images: Tensor, size: int) -> Tensor:
        n = len(images)
        images = images.expand(-1, 3, -1, -1)
        x = self.rule(images, self.size) if self.size else images.float()
        x = F.pad(x, (0, 0, 0, 0, 0, 0, 0, size - n)).to(self.device)
        with float32_products("ieee"), _deterministic_kernels():
            return self.net(x)[:n].float().cpu()


@contextmanager
def _deterministic_kernels() -> Iterator[None]:
    """Let cuDNN choose the same kernel each time; its benchmark may choose another one."""
    flags = torch.backends.cudnn
    before = flags.benchmark, flags.deterministic
    flags.benchmark, flags.deterministic = False, True
    try:
        yield
    finally:
        flags.benchmark, flags.deterministic = before


def extractor_device() -> torch.device:
    """Return the device of extractors: a GPU if there is one (CUDA_VISIBLE_DEVICES hides it)."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def check_images(data: Data, name: str) -> None:
    """Raise Unsupported unless the data are images of 256 levels, gray or in color."""
    shape = data.event.shape
    if len(shape) != 3 or shape[0] not in (1, 3) or data.space != Pixels(256):
        raise Unsupported(f"{name} is for images of 256 levels, gray or in color")
