"""Captioned images: a label is a sentence that names the class of an image and its style."""

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from genbench.core import Captions, Data, Rows, Split
from genbench.data.digits import digits
from genbench.data.image_files.collection import Collection, LabeledImages, make_splits
from genbench.data.image_files.originals import CIFAR10
from genbench.data.images import cifar10, original_or_path
from genbench.data.rows import CachedRows, NumberedRows
from genbench.data.splits import Arrays, Finite, identity
from genbench.data.splits import flip as flip_images
from genbench.data.transforms import TRANSFORMS
from genbench.errors import ConfigError, unknown
from genbench.registry import datasets
from genbench.settings import Size
from genbench.storage import cache

VERSION = 1
"""Raised whenever the same images would get other styles."""

CHUNK = 2000
"""Photographs that are transformed at once."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COUNTS = {
    "train": (119, 121, 118, 122, 120, 122, 120, 119, 116, 120),
    "valid": (10,) * 10,
    "test": (49, 51, 49, 51, 51, 50, 51, 50, 48, 50),
}
"""Digits of each class in each split, so that sizes are known before anything is loaded."""
DIGITS_TOP = 16
"""Brightest level of the digits."""

Template = tuple[str, str]
"""Wording of a caption in the plain style and in any other; "a class" and "a style" come with their article."""

WRITTEN: tuple[Template, ...] = (
    ("a handwritten {class}", "{a style} handwritten {class}"),
    ("a scan of {a class}", "a scan of {a style} {class}"),
    ("the digit {class}", "the digit {class}, {style}"),
)
PHOTOGRAPHED: tuple[Template, ...] = (
    ("a photo of {a class}", "{a style} photo of {a class}"),
    ("a picture of {a class}", "{a style} picture of {a class}"),
    ("an image that shows {a class}", "an image that shows {a class}, {style}"),
)

REPLACED = ("fd-digits_cnn", "class_balance")
"""Metrics of digits whose classifier knows the plain style only."""


@dataclass(frozen=True)
class CaptionTable:
    """All captions: every class in every style in every wording; the class varies fastest.

    Args:
        styles: names of transforms; the first is "plain".
        held_out: combinations, such as "thick five", that are missing from training and validation.
        setting: how messages call the setting of `held_out`.

    Raises:
        ConfigError: if there is no such combination, a plain one is held out, or a style is left without a class.
    """

    classes: tuple[str, ...]
    styles: tuple[str, ...]
    templates: tuple[Template, ...]
    held_out: tuple[str, ...]
    setting: str

    def __post_init__(self) -> None:
        style_of = {f"{style} {name}": style for style in self.styles for name in self.classes}
        for combination in self.held_out:
            if combination not in style_of:
                raise unknown(f"{self.setting}: give a style and a class each, not", combination, style_of)
            if style_of[combination] == self.styles[0]:
                raise ConfigError(f"{self.setting}: '{combination}' is plain; training needs every plain class")
        for style, seen in zip(self.styles, self.seen.any(0).tolist(), strict=True):
            if not seen:
                raise ConfigError(f"{self.setting} leaves no class from which to learn what '{style}' means")

    @cached_property
    def seen(self) -> Tensor:
        """Whether training has a class in a style: (classes, styles)."""
        return torch.tensor(
            [[f"{style} {name}" not in self.held_out for style in self.styles] for name in self.classes]
        )

    def label(self, kind: Tensor, style: Tensor | int, template: Tensor) -> Tensor:
        """Return the label of a class in a style and a wording."""
        return (template * len(self.styles) + style) * len(self.classes) + kind

    @property
    def texts(self) -> tuple[str, ...]:
        """The caption of each label."""
        return tuple(
            _worded(template, style, name)
            for template in self.templates
            for style in self.styles
            for name in self.classes
        )

    @property
    def captions(self) -> Captions:
        """The meaning of the labels."""
        label = torch.arange(len(self.classes) * len(self.styles) * len(self.templates))
        kind, style = label % len(self.classes), label // len(self.classes) % len(self.styles)
        # Records call the style "look".
        return Captions(
            {"class": self.classes, "look": self.styles},
            {"class": tuple(kind.tolist()), "look": tuple(style.tolist())},
            tuple((~self.seen[kind, style]).tolist()),
        )

    def digest(self, sha256: str) -> str:
        """Return the sha256 of images of that sha256 in these styles and wordings."""
        content = {"images": sha256, "captions": self.texts, "held_out": sorted(self.held_out), "version": VERSION}
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def describe(self, data: Data, splits: tuple[Split, Split, Split], note: str) -> Data:
        """Return the data with these splits, whose labels are captions."""
        train, valid, test = splits
        withheld = f"{', '.join(self.held_out) or 'nothing'} held out of train and valid"
        notes = [data.provenance["note"]] if "note" in data.provenance else []
        return replace(
            data,
            event=replace(data.event, classes=len(self.texts), captions=self.texts),
            train=train,
            valid=valid,
            test=test,
            captions=self.captions,
            # Another selection is other data, with other cache entries.
            provenance={
                **data.provenance,
                "sha256": self.digest(str(data.provenance["sha256"])),
                "images_sha256": data.provenance["sha256"],
                "note": "; ".join([*notes, note, withheld]),
            },
        )


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
    table = CaptionTable(DIGITS, ("plain", "inverted", "thick"), WRITTEN, held_out, "digits-captions.held_out")
    base = digits()

    def captioned(name: str, split: Split) -> Finite:
        seen = torch.ones_like(table.seen) if name == "test" else table.seen
        size = int((torch.tensor(COUNTS[name])[:, None] * seen).sum())
        return Finite(lambda: _every_style(base, split, table, seen), size, base.space)

    splits = (captioned("train", base.train), captioned("valid", base.valid), captioned("test", base.test))
    data = table.describe(base, splits, "every image in every look")
    metrics = ("fd-captions_cnn", "caption_accuracy", *(n for n in base.metrics if n not in REPLACED))
    return replace(data, metrics=metrics, evaluation={**base.evaluation, "n": 900, "batch": 450})


@datasets.register("cifar10-captions", version=1, headline="fid-legacy")
def cifar10_captions(
    *,
    path: str | None = None,
    flip: bool = True,
    valid: Size = 1000,
    held_out: tuple[str, ...] = ("inverted cat", "inverted frog", "inverted truck", "grey horse", "grey ship"),
) -> Data:
    """CIFAR-10 with captions: each photograph plain, inverted or gray, as in "a gray photo of a frog".

    The 90 labels are 10 classes x 3 styles x 3 wordings. Each photograph of `cifar10` has one style and one wording,
    assigned in turn within its class; the test split also has the combinations that training lacks.

    Args:
        path: folder or tar archive of the images (train/cat/1.png ...) to use instead of the downloaded original.
        flip: whether training images are flipped left to right at random.
        valid: training images held out for validation; 0 trains on all, and leaves none to tune on.
        held_out: combinations of style and class that are missing from training and validation.

    Raises:
        ConfigError: if the path holds no such images, there is no such combination, or too much is held out.

    Reference: Krizhevsky, 2009.
    """
    images = original_or_path("cifar10", CIFAR10, path)
    classes = tuple(name.replace("_", " ") for name in images.classes)
    styles = ("plain", "inverted", "grey")
    table = CaptionTable(classes, styles, PHOTOGRAPHED, held_out, "cifar10-captions.held_out")
    base = cifar10(path=path, flip=flip, valid=valid)
    augmentations = (flip_images, identity) if flip else (identity,)
    splits = make_splits(_one_style(images, table), valid=valid, test=0, space=base.space, augmentations=augmentations)
    data = table.describe(base, splits, "every image in one look")
    n = base.evaluation["n"] // len(table.texts) * len(table.texts)
    return replace(data, metrics=("caption_accuracy", *base.metrics), evaluation={**base.evaluation, "n": n})


def _every_style(base: Data, split: Split, table: CaptionTable, seen: Tensor) -> Arrays:
    assert split.size is not None
    whole = split.take(split.size, 0)
    raw, kind = base.space.decode(whole.x), whole.label
    images, labels = [], []
    for i, style in enumerate(table.styles):
        kept = seen[kind, i]
        images.append(TRANSFORMS[style](raw[kept], DIGITS_TOP))
        labels.append(table.label(kind, i, (_rank(kind) + i) % len(table.templates))[kept])
    label = torch.cat(labels)
    return Arrays(torch.cat(images), label, torch.arange(len(label)))


def _one_style(images: Collection, table: CaptionTable) -> Collection:
    """Return the collection with captions for labels, each image in one style; the images are made once."""

    def load() -> LabeledImages:
        raw, kind = images.load()
        in_test = torch.cat([torch.full((sum(counts),), name == "test") for name, counts in images.counts.items()])
        style, template = _assigned(kind, in_test, table)
        name = f"{cache.key(captions=table.digest(str(images.provenance['sha256'])))}.npy"
        made = CachedRows("images", name, raw.shape, np.uint8, lambda: _transformed(raw, style, table.styles))
        return LabeledImages(made, table.label(kind, style, template))

    return replace(images, load=load)


def _assigned(kind: Int[Tensor, " n"], in_test: Tensor, table: CaptionTable) -> tuple[Tensor, Tensor]:
    """Assign to the images of a class in turn the styles that the class has in their split, and then the wordings."""
    style, template = torch.empty_like(kind), torch.empty_like(kind)
    for inside, seen in ((in_test, torch.ones_like(table.seen)), (~in_test, table.seen)):
        rank = _rank(kind[inside])
        choices = seen.sum(1)[kind[inside]]
        # The k-th style of a class is the index of its k-th True.
        index = seen.long().argsort(dim=1, descending=True, stable=True)
        style[inside] = index[kind[inside], rank % choices]
        template[inside] = rank // choices % len(table.templates)
    return style, template


def _transformed(raw: Rows, style: Tensor, styles: tuple[str, ...]) -> NumberedRows:
    for some in torch.arange(len(style)).split(CHUNK):
        for i, name in enumerate(styles):
            chosen = some[style[some] == i]
            yield from zip(chosen.tolist(), TRANSFORMS[name](raw[chosen], 255).numpy(), strict=True)


def _rank(kind: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Return the position of each image within its class."""
    order = kind.argsort(stable=True)
    first = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(kind).cumsum(0)[:-1]])
    rank = torch.empty_like(kind)
    rank[order] = torch.arange(len(kind)) - first[kind[order]]
    return rank


def _worded(template: Template, style: str, name: str) -> str:
    words = {"class": name, "style": style, "a class": _article(name), "a style": _article(style)}
    return template[style != "plain"].format_map(words)


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' and word != 'one' else 'a'} {word}"
