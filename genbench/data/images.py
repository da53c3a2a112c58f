"""Image data sets: the common originals, and images in a folder or a tar archive."""

from collections.abc import Mapping
from typing import Any, Literal

from genbench.core import Data, Event, Normal
from genbench.data import image_decoding, image_originals
from genbench.data.image_decoding import ImageFormat
from genbench.data.image_originals import CIFAR10, MNIST, Original
from genbench.data.splits import Collection
from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.settings import Count, Fraction, Size
from genbench.space import Pixels

OF_THE_MODEL = ("bits_per_dim", "path_energy", "straightness", "detour", "nfe", "parameters", "failed")
METRICS = ("fid-legacy", "fd-efficientnet_lite0", "norm", *OF_THE_MODEL)
"""The published FID, which shows "-" without the Inception weights, and a distance that needs no download."""

PUBLISHED = {
    "steps": 400_000,
    "batch_size": 128,
    "lr": 2e-4,
    "optimizer": "adam",
    "warmup": 5000,
    "clip": 1.0,
    "ema": 0.9999,
    "threads": 2,
}
"""The CIFAR-10 recipe of Tong et al. (2023). On a CPU, networks of its size gain from two threads."""

GREY = PUBLISHED | {"steps": 50_000, "warmup": 1000, "ema": 0.999}


@datasets.register("cifar10", version=1, headline="fid-legacy")
def cifar10(*, path: str | None = None, flip: bool = True, valid: Size = 1000) -> Data:
    """CIFAR-10: 32x32 color photographs of ten classes, 50,000 to train (1,000 held out to validate), 10,000 to test.

    The plan is the published recipe: 400,000 steps of Adam, on a GPU.

    Args:
        path: folder or tar archive of the images (train/cat/1.png ...) to use instead of the downloaded original.
        flip: whether training images are mirrored left to right at random.
        valid: training images held out for validation; 0 trains on all, as published, and leaves none to tune on.

    Raises:
        ConfigError: if the path holds no such images.

    Reference: Krizhevsky, 2009.
    """
    images = _original_or_path("cifar10", CIFAR10, path)
    evaluation = {"n": 50_000, "batch": 500}
    return _images(images, CIFAR10.shape, flip=flip, valid=valid, test=0, plan=PUBLISHED, evaluation=evaluation)


@datasets.register("mnist", version=1, headline="fid-legacy")
def mnist(*, path: str | None = None, valid: Size = 5000) -> Data:
    """MNIST: 28x28 gray handwritten digits, 60,000 to train (5,000 held out to validate), 10,000 to test.

    Args:
        path: folder or tar archive of the images (train/7/1.png ...) to use instead of the downloaded original.
        valid: training images held out for validation.

    Raises:
        ConfigError: if the path holds no such images.

    Reference: LeCun et al., 1998.
    """
    images = _original_or_path("mnist", MNIST, path)
    return _images(images, MNIST.shape, flip=False, valid=valid, test=0, plan=GREY, evaluation=EVALUATION)


@datasets.register("folder", version=1, headline="fid-legacy")
def folder(
    *,
    path: str,
    size: Count = 64,
    channels: Literal[1, 3] = 3,
    grey: Literal["refuse", "repeat"] = "refuse",
    flip: bool = True,
    valid: Fraction = 0.05,
    test: Fraction = 0.1,
) -> Data:
    """Images of any size below a folder or in a tar archive, by class or not, resized and cropped to squares once.

    Below the path lie train/cat/1.png, test/cat/2.png ..., or cat/1.png ..., or 1.png ... The shorter side is resized
    to `size` by an antialiased bicubic filter and the center is kept. Without folders for validation (valid or val)
    and test, such images are held out from the training images, stratified by class and always the same.

    Args:
        path: the folder, or the tar archive of any compression.
        size: height and width of an image.
        channels: 1 for gray images, 3 for color; other images are refused, by name.
        grey: whether gray images among color images are refused, or their channel is repeated.
        flip: whether training images are mirrored left to right at random.
        valid: share of the training images held out for validation, if the tree has no such split.
        test: share of the training images held out for testing, if the tree has no such split.

    Raises:
        ConfigError: if the path holds no such images.
    """
    images = image_decoding.collection(path, ImageFormat(size, channels, resize=True, grey=grey))
    total = sum(images.counts["train"])
    held_out = {"valid": round(valid * total), "test": round(test * total)}
    return _images(images, (channels, size, size), flip=flip, **held_out, plan=PUBLISHED, evaluation=EVALUATION)


EVALUATION = {"n": 10_000, "batch": 500}


def _original_or_path(name: str, original: Original, path: str | None) -> Collection:
    """Return an original data set, or the images at a path instead.

    Raises:
        ConfigError: if the path holds other splits or another number of classes.
    """
    if path is None:
        return image_originals.collection(name, original)
    channels, size, _ = original.shape
    images = image_decoding.collection(path, ImageFormat(size, 1 if channels == 1 else 3))
    if len(images.classes) != len(original.classes) or "test" not in images.counts:
        raise ConfigError(
            f"{path} is not {name}: it needs train and test with {len(original.classes)} class folders each, and has "
            f"{' and '.join(images.counts)} with {len(images.classes)}"
        )
    return images


def _images(
    images: Collection,
    shape: tuple[int, int, int],
    *,
    flip: bool,
    valid: int,
    test: int,
    plan: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> Data:
    space = Pixels(256)
    splits = images.splits(valid=valid, test=test, space=space, flip=flip)
    # With a single class there is nothing to condition on.
    classes = len(images.classes) if len(images.classes) > 1 else 0
    return Data(
        event=Event(shape, classes, space.bin),
        space=space,
        source=Normal(shape),
        train=splits["train"],
        valid=splits["valid"],
        test=splits["test"],
        plan=plan,
        evaluation=evaluation,
        metrics=METRICS,
        provenance=images.provenance,
    )
