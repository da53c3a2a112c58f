"""scikit-learn's handwritten digits: real images that need no download."""

import hashlib
from functools import cache

import numpy as np
import torch

from genbench.core import Data, Event, Normal
from genbench.data.images import OF_THE_MODEL
from genbench.data.splits import Arrays, Finite, stratified
from genbench.errors import RunFailed
from genbench.registry import datasets
from genbench.space import Pixels

SHA256 = "65e5b4619795efb40c1082f4c350c049e4ad552200d369b6ae99e21eef5e72c5"
"""Of the 1797 images as uint8, followed by their labels as little-endian int64."""

METRICS = ("fd-digits_cnn", "class_balance", "nll", *OF_THE_MODEL)
SIZES = {"train": 1197, "valid": 100, "test": 500}


@datasets.register("digits", version=1, headline="fd-digits_cnn")
def digits() -> Data:
    """Handwritten digits of 8x8 pixels with 17 gray levels: 1197 to train, 100 to validate, 500 to test.

    The splits never change, and the share of each class in them is exact to within one image.

    Raises:
        RunFailed: when the images are first used, if those of the installed scikit-learn are others.

    Reference: Alpaydin and Kaynak, 1998.
    """
    space = Pixels(17)

    def part(name: str) -> Finite:
        return Finite(lambda: _parts()[name], SIZES[name], space)

    return Data(
        event=Event((1, 8, 8), 10, space.bin),
        space=space,
        source=Normal((1, 8, 8)),
        train=part("train"),
        valid=part("valid"),
        test=part("test"),
        plan={"steps": 2000, "batch_size": 64, "lr": 2e-3},
        evaluation={"n": 500, "batch": 500, "curve": [1, 2, 4, 8, 16, 32]},
        metrics=METRICS,
        provenance={"source": "sklearn.datasets.load_digits", "sha256": SHA256, "original": True},
    )


@cache
def _parts() -> dict[str, Arrays]:
    # scikit-learn takes a second to import, which listing and showing should not.
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    images, label = np.asarray(pixels, np.uint8).reshape(-1, 1, 8, 8), np.asarray(classes, "<i8")
    found = hashlib.sha256(images.tobytes() + label.tobytes()).hexdigest()
    if found != SHA256:
        raise RunFailed(f"the digits of the installed scikit-learn have the sha256 {found}, not {SHA256}")
    raw, labels = torch.from_numpy(images), torch.from_numpy(label)
    rows = stratified(labels, (SIZES["valid"], SIZES["test"]), seed=0)
    return {name: Arrays(raw, labels, part) for name, part in zip(SIZES, rows, strict=True)}
