"""Image data sets: the common originals, and whatever images somebody has in a folder or a tar archive."""

from collections.abc import Mapping
from typing import Any, Literal

from genbench.core import Data, Event, Normal
from genbench.data.image_files import decoding, originals
from genbench.data.image_files.collection import Collection, splits
from genbench.data.image_files.decoding import Look
from genbench.data.image_files.originals import CIFAR10, FASHION_MNIST, MNIST, Original
from genbench.data.splits import mirror, same
from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.settings import Count, Fraction, Size
from genbench.space import Pixels

METRICS = (
    "fid-legacy",
    "fd-efficientnet_lite0",
    "norm",
    "bits_per_dim",
    "path_energy",
    "straightness",
    "curvature",
    "nfe",
    "parameters",
    "failed",
)
"""The published FID, which shows "-" where Inception cannot be had, and a distance that needs no download."""

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
"""The CIFAR-10 recipe of Tong et al. (2023); on a CPU, networks of its size are worth two threads."""

GREY = PUBLISHED | {"steps": 50_000, "warmup": 1000, "ema": 0.999}


@datasets.register("cifar10", version=1)
def cifar10(*, path: str | None = None, flip: bool = True, valid: Size = 1000) -> Data:
    """CIFAR-10: 32x32 colour photographs of ten classes, 50,000 to train (1,000 held out to validate), 10,000 to test.

    The plan is the published recipe: 400,000 steps of Adam, on a GPU.

    Args:
        path: folder or tar archive of the images (train/cat/1.png ...) to use instead of the downloaded original.
        flip: whether training images are mirrored left to right at random.
        valid: training images held out for validation; 0 trains on all, as published, and leaves none to tune on.

    Raises:
        ConfigError: if the path holds no such images.

    Reference: Krizhevsky, 2009.
    """
    collection = named("cifar10", CIFAR10, path, Look(32, 3))
    evaluation = {"n": 50_000, "batch": 500}
    return _images(collection, Look(32, 3), flip=flip, valid=valid, test=0, plan=PUBLISHED, evaluation=evaluation)


@datasets.register("mnist", version=1)
def mnist(*, path: str | None = None, valid: Size = 5000) -> Data:
    """MNIST: 28x28 grey handwritten digits, 60,000 to train (5,000 held out to validate), 10,000 to test.

    Args:
        path: folder or tar archive of the images (train/7/1.png ...) to use instead of the downloaded original.
        valid: training images held out for validation.

    Raises:
        ConfigError: if the path holds no such images.

    Reference: LeCun et al., 1998.
    """
    collection = named("mnist", MNIST, path, Look(28, 1))
    return _images(collection, Look(28, 1), flip=False, valid=valid, test=0, plan=GREY, evaluation=EVALUATION)


@datasets.register("fashion_mnist", version=1)
def fashion_mnist(*, path: str | None = None, flip: bool = False, valid: Size = 5000) -> Data:
    """Fashion-MNIST: 28x28 grey pictures of clothes, 60,000 to train (5,000 held out to validate), 10,000 to test.

    Args:
        path: folder or tar archive of the images (train/bag/1.png ...) to use instead of the downloaded original;
            classes are then numbered in the order of their names.
        flip: whether training images are mirrored left to right at random.
        valid: training images held out for validation.

    Raises:
        ConfigError: if the path holds no such images.

    Reference: Xiao et al., 2017.
    """
    collection = named("fashion_mnist", FASHION_MNIST, path, Look(28, 1))
    return _images(collection, Look(28, 1), flip=flip, valid=valid, test=0, plan=GREY, evaluation=EVALUATION)


@datasets.register("folder", version=1)
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
    """Images of any size below a folder or in a tar archive, by class or not, resized and cut to squares once.

    Below the path lie train/cat/1.png, test/cat/2.png ..., or cat/1.png ..., or 1.png ... The shorter side is resized
    to `size` by an antialiased bicubic filter and the centre is kept. Validation and test images, where they have no
    folder (valid or val, test) of their own, are taken out of the training images, stratified by class and always
    the same.

    Args:
        path: the folder, or the tar archive of any compression.
        size: height and width of an image.
        channels: 1 for grey images, 3 for colour; images of another kind are refused, by name.
        grey: what becomes of grey images among colour ones: refuse, or repeat the channel.
        flip: whether training images are mirrored left to right at random.
        valid: share of the training images held out for validation, if the tree has no such part.
        test: share of the training images held out for testing, if the tree has no such part.

    Raises:
        ConfigError: if the path holds no such images.
    """
    look = Look(size, channels, resize=True, grey=grey)
    collection = decoding.collection(path, look)
    total = sum(collection.counts["train"])
    held = {"valid": round(valid * total), "test": round(test * total)}
    return _images(collection, look, flip=flip, **held, plan=PUBLISHED, evaluation=EVALUATION)


EVALUATION = {"n": 10_000, "batch": 500}


def named(name: str, original: Original, path: str | None, look: Look) -> Collection:
    """Return the original of that name, or what stands in for it at a path.

    Raises:
        ConfigError: if the path holds other parts or another number of classes.
    """
    if path is None:
        return originals.collection(name, original)
    collection = decoding.collection(path, look)
    if len(collection.classes) != len(original.classes) or "test" not in collection.counts:
        raise ConfigError(
            f"{path} is no {name}: it needs train and test with {len(original.classes)} class folders each, and has "
            f"{' and '.join(collection.counts)} with {len(collection.classes)}"
        )
    return collection


def _images(
    collection: Collection,
    look: Look,
    *,
    flip: bool,
    valid: int,
    test: int,
    plan: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> Data:
    space = Pixels(256)
    shape = (look.channels, look.size, look.size)
    parts = splits(collection, valid=valid, test=test, space=space, views=(mirror, same) if flip else (same,))
    # One class is none: there is nothing to tell apart.
    classes = len(collection.classes) if len(collection.classes) > 1 else 0
    return Data(
        event=Event(shape, classes, space.bin),
        space=space,
        source=Normal(shape),
        train=parts[0],
        valid=parts[1],
        test=parts[2],
        plan=plan,
        evaluation=evaluation,
        metrics=METRICS,
        provenance=collection.provenance,
    )
