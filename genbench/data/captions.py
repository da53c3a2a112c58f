"""Captioned digits: a label is a sentence that names the class of an image and its style."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Int, UInt8
from torch import Tensor

from genbench.core import Captions, Data, Split
from genbench.data.digits import digits
from genbench.data.splits import Arrays, Finite
from genbench.errors import ConfigError, unknown
from genbench.registry import datasets

VERSION = 1
"""Raised whenever the same images would get other styles."""

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COUNTS = {
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
"""Wordings of a caption in the plain style and in any other."""

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

    The 90 labels are 10 classes x 3 styles x 3 wordings. Each image of `digits` is in its own split in every style,
    each time in one wording; the test split also has the combinations that training lacks.

    Args:
        held_out: combinations of style and class that are missing from training and validation.

    Raises:
        ConfigError: if there is no such combination, or too much is held out.

    Reference: Alpaydin and Kaynak, 1998.
    """
    base, known = digits(), _trained(held_out)

    def captioned(name: str, split: Split) -> Finite:
        seen = torch.ones_like(known) if name == "test" else known
        size = int((torch.tensor(COUNTS[name])[:, None] * seen).sum())
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
        # Another selection is other data, with other cache entries.
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
    known = torch.tensor([[f"{style} {name}" not in held_out for style in STYLES] for name in CLASSES])
    for style, any_class in zip(STYLES, known.any(0).tolist(), strict=True):
        if not any_class:
            raise ConfigError(f"{setting} leaves no class to learn from what '{style}' means")
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
