"""Networks of photographs as extractors: resized, fed in batches of one size, in float32 without shortcuts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from genbench.core import Data
from genbench.errors import Unsupported
from genbench.metrics.extractors.resize import Resize
from genbench.metrics.image.features import Features
from genbench.space import Pixels

BATCH = {"cpu": 16, "cuda": 128}
"""Images that a network is fed at once, always: it sums in another order for another number of them. On a CPU more
than these fall out of its caches, and take twice as long each."""


@dataclass(frozen=True, eq=False)
class Network(Features):
    """A network that turns colour images into features.

    Args:
        name: what metrics on it are called after.
        sha256: of the weights.
        rule: how images are resized.
        size: to which height and width; 0 where the network resizes them itself.
        net: maps images in 0..255 to features.
        head: the last layer, from features to logits; None where there is none.
        device: where it is.
    """

    name: str
    sha256: str
    rule: Resize
    size: int
    net: Callable[[Tensor], Tensor]
    head: Tensor | None
    device: torch.device

    @property
    def resize(self) -> str:
        """The name of the rule."""
        return self.rule.name

    @torch.no_grad()
    def __call__(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Return the features; those of an image do not depend on how many others come with it."""
        size = BATCH[self.device.type]
        return torch.cat([self._batch(part, size) for part in images.split(size)])

    def logits(self, features: Float[Tensor, "b k"]) -> Float[Tensor, "b classes"]:
        """Return the logits without their bias, which the Inception score leaves out."""
        if self.head is None:
            return super().logits(features)
        return features.double() @ self.head.double().T

    def _batch(self, images: Tensor, size: int) -> Tensor:
        n = len(images)
        images = F.pad(images, (0, 0, 0, 0, 0, 0, 0, size - n)).to(self.device)
        images = images.expand(-1, 3, -1, -1)
        x = self.rule.to(images, self.size) if self.size else images.float()
        # Tensor cores would round to 10 bits, and a benchmark of kernels may choose another one each time.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            return self.net(x)[:n].float().cpu()


def device() -> torch.device:
    """Return where networks of features are: a GPU where there is one (CUDA_VISIBLE_DEVICES hides it)."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def photographs(data: Data, name: str) -> None:
    """Refuse data that is no images of 256 levels, grey or in colour.

    Raises:
        Unsupported: if it is none.
    """
    shape = data.event.shape
    if len(shape) != 3 or shape[0] not in (1, 3) or data.space != Pixels(256):
        raise Unsupported(f"{name} knows images of 256 levels only, grey or in colour")
