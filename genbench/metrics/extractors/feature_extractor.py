"""Feature extractors: networks from raw images to feature vectors, the setting that selects one, and resizing."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from json import dumps, loads
from typing import Annotated, Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.core import Data, Event, Rows
from genbench.errors import Unsupported
from genbench.numerics.precision import float32_products
from genbench.registry import extractors
from genbench.settings import Nested, build_component, settings_in
from genbench.space import Pixels
from genbench.storage import content_hash
from genbench.training.process_group import ALONE, Group

TOGETHER = 256
"""Number of images that are read and given to an extractor together."""


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
    return torch.cat(group.map(lambda rows: extractor(images[rows]), torch.arange(images.shape[0]).split(TOGETHER)))


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


Rule = Callable[[Tensor, int], Tensor]
Images = UInt8[Tensor, "b 3 h w"]
Resized = Float[Tensor, "b 3 s s"]


def clean(images: Images, size: int) -> Resized:
    """Bicubic, half-pixel centers, the filter widened when shrinking, in floats, clipped: clean-fid's "clean"."""
    return _by_clean_fid(images, size, quantize=False)


def pillow(images: Images, size: int) -> Resized:
    """The filter of `clean` as Pillow applies it to 8-bit images, with results rounded to integers."""
    return _by_clean_fid(images, size, quantize=True)


def tensorflow(images: Images, size: int) -> Resized:
    """Bilinear without half-pixel centers or antialiasing, as in TensorFlow 1: the original FID, torch-fidelity."""
    try:
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
    except ImportError as error:
        raise Unsupported("torch-fidelity is not installed: pip install 'genbench[fidelity]'") from error
    return interpolate_bilinear_2d_like_tensorflow1x(images.float(), (size, size), align_corners=False)


def bicubic(images: Images, size: int) -> Resized:
    """The central square, bicubic with the filter widened when shrinking, in floats that are not clipped: CMMD."""
    side = min(images.shape[-2:])
    top, left = ((length - side) // 2 for length in images.shape[-2:])
    square = images[..., top : top + side, left : left + side].float()
    return F.interpolate(square, (size, size), mode="bicubic", align_corners=False, antialias=True)


def _by_clean_fid(images: Tensor, size: int, *, quantize: bool) -> Tensor:
    from cleanfid.resize import make_resizer

    resizer = make_resizer("PIL", quantize, "bicubic", (size, size))
    with ThreadPoolExecutor() as pool:  # Pillow resizes without Python's lock
        resized = [*map(torch.from_numpy, pool.map(resizer, images.permute(0, 2, 3, 1).cpu().numpy()))]
    return torch.stack(resized).permute(0, 3, 1, 2).to(images.device).float()


NAMES: dict[Rule, str] = {
    clean: "bicubic antialiased (clean-fid)",
    pillow: "bicubic antialiased 8-bit (Pillow)",
    tensorflow: "bilinear (TensorFlow 1)",
    bicubic: "bicubic antialiased of the central square (CMMD)",
}
"""Names of the rules in protocols."""

BATCH = {"cpu": 4, "cuda": 128}
"""Batch size by device: constant, because another size changes the order in which a network sums. On a CPU, 16 images
do not fit its caches: an image takes 1.4 times as long with EfficientNet-Lite0, 1.2 times with Inception."""


class Network(FeatureExtractor):
    """A network from color images to features; gray images are repeated over the channels.

    Args:
        rule: how images are resized, one of the functions above.
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
