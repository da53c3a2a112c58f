"""Captioned images: a label is a sentence that names the class of an image and its look."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from genbench.core import Captions, Data, Rows, Split
from genbench.data.digits import digits
from genbench.data.image_files import cache, rows
from genbench.data.image_files.collection import Collection, Stored, splits
from genbench.data.image_files.decoding import Look
from genbench.data.image_files.originals import CIFAR10
from genbench.data.images import cifar10, named
from genbench.data.splits import Arrays, Finite, mirror, same
from genbench.data.transforms import LOOKS
from genbench.errors import ConfigError, unknown
from genbench.registry import datasets
from genbench.settings import Size
from genbench.storage import files

VERSION = 1
"""Raised whenever the same images would get other looks."""

CHUNK = 2000
"""Photographs that are given a look at once."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COUNTS = {
    "train": (119, 121, 118, 122, 120, 122, 120, 119, 116, 120),
    "valid": (10,) * 10,
    "test": (49, 51, 49, 51, 51, 50, 51, 50, 48, 50),
}
"""Digits of each class in each part, so that sizes are known before anything is loaded."""
TOP = 16
"""Brightest level of the digits."""

Template = tuple[str, str]
"""How a caption is worded for a plain look, and for any other; "a class" and "a look" come with their article."""

WRITTEN: tuple[Template, ...] = (
    ("a handwritten {class}", "{a look} handwritten {class}"),
    ("a scan of {a class}", "a scan of {a look} {class}"),
    ("the digit {class}", "the digit {class}, {look}"),
)
PHOTOGRAPHED: tuple[Template, ...] = (
    ("a photo of {a class}", "{a look} photo of {a class}"),
    ("a picture of {a class}", "{a look} picture of {a class}"),
    ("an image that shows {a class}", "an image that shows {a class}, {look}"),
)


@dataclass(frozen=True)
class Table:
    """All captions: every class in every look in every wording, the class changing fastest.

    Args:
        classes: names of the classes.
        looks: adjectives; the first is plain.
        templates: the wordings.
        held_out: combinations, such as "thick five", that training and validation do not see.
        what: how messages call the setting that holds them out.

    Raises:
        ConfigError: if there is no such combination, a plain one is held out, or a look is left without a class.
    """

    classes: tuple[str, ...]
    looks: tuple[str, ...]
    templates: tuple[Template, ...]
    held_out: tuple[str, ...]
    what: str

    def __post_init__(self) -> None:
        known = {f"{look} {name}": look for look in self.looks for name in self.classes}
        for combination in self.held_out:
            if combination not in known:
                raise unknown(f"{self.what} has a look and a class each, not", combination, known)
            if known[combination] == self.looks[0]:
                raise ConfigError(f"{self.what}: '{combination}' is plain; every class is trained on in its plain look")
        for look, left in zip(self.looks, self.seen.any(0).tolist(), strict=True):
            if not left:
                raise ConfigError(f"{self.what} leaves no class from which to learn what '{look}' means")

    @cached_property
    def seen(self) -> Tensor:
        """Whether training sees a class in a look: (classes, looks)."""
        return torch.tensor([[f"{look} {name}" not in self.held_out for look in self.looks] for name in self.classes])

    def label(self, kind: Tensor, look: Tensor | int, template: Tensor) -> Tensor:
        """Return the label of a class in a look and a wording."""
        return (template * len(self.looks) + look) * len(self.classes) + kind

    @property
    def texts(self) -> tuple[str, ...]:
        """The caption of each label."""
        return tuple(
            _worded(template, look, name) for template in self.templates for look in self.looks for name in self.classes
        )

    @property
    def captions(self) -> Captions:
        """What the labels say."""
        label = torch.arange(len(self.classes) * len(self.looks) * len(self.templates))
        kind, look = label % len(self.classes), label // len(self.classes) % len(self.looks)
        return Captions(
            {"class": self.classes, "look": self.looks},
            {"class": tuple(kind.tolist()), "look": tuple(look.tolist())},
            tuple((~self.seen[kind, look]).tolist()),
        )

    def digest(self, sha256: str) -> str:
        """Return the sha256 of images of that sha256 in these looks and wordings."""
        said = {"images": sha256, "captions": self.texts, "held_out": sorted(self.held_out), "version": VERSION}
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def describe(self, data: Data, parts: tuple[Split, Split, Split], note: str) -> Data:
        """Return the data with captions for labels."""
        train, valid, test = parts
        withheld = f"{', '.join(self.held_out) or 'nothing'} held out of train and valid"
        notes = [data.provenance["note"]] if "note" in data.provenance else []
        return replace(
            data,
            event=replace(data.event, classes=len(self.texts), captions=self.texts),
            train=train,
            valid=valid,
            test=test,
            captions=self.captions,
            # Another selection is other data: whatever is kept of it under its sha256 must not be mixed up.
            provenance={
                **data.provenance,
                "sha256": self.digest(str(data.provenance["sha256"])),
                "images_sha256": data.provenance["sha256"],
                "note": "; ".join([*notes, note, withheld]),
            },
        )


@datasets.register("digits-captions", version=1)
def digits_captions(
    *,
    held_out: tuple[str, ...] = ("inverted two", "inverted seven", "inverted nine", "thick three", "thick five"),
) -> Data:
    """Digits with captions: each image plain, inverted and thick, as "a thick handwritten seven" says.

    The 90 labels are 10 classes x 3 looks x 3 wordings. Each image of `digits` is in its own part in every look, each
    time in one wording; the test part has the combinations that training lacks.

    Args:
        held_out: combinations of look and class that training and validation do not see.

    Raises:
        ConfigError: if there is no such combination, or too much is held out.

    Reference: Alpaydin and Kaynak, 1998.
    """
    table = Table(DIGITS, ("plain", "inverted", "thick"), WRITTEN, held_out, "digits-captions.held_out")
    base = digits()

    def part(name: str, split: Split) -> Finite:
        seen = torch.ones_like(table.seen) if name == "test" else table.seen
        size = int((torch.tensor(COUNTS[name])[:, None] * seen).sum())
        return Finite(lambda: _every_look(base, split, table, seen), size, base.space)

    parts = (part("train", base.train), part("valid", base.valid), part("test", base.test))
    data = table.describe(base, parts, "every image in every look")
    metrics = ("fd-captions_cnn", "caption_accuracy", *(n for n in base.metrics if n not in REPLACED))
    return replace(data, metrics=metrics, evaluation={**base.evaluation, "n": 900, "batch": 450})


@datasets.register("cifar10-captions", version=1)
def cifar10_captions(
    *,
    path: str | None = None,
    flip: bool = True,
    valid: Size = 1000,
    held_out: tuple[str, ...] = ("inverted cat", "inverted frog", "inverted truck", "grey horse", "grey ship"),
) -> Data:
    """CIFAR-10 with captions: each photograph plain, inverted or grey, as "a grey photo of a frog" says.

    The 90 labels are 10 classes x 3 looks x 3 wordings. Each photograph of `cifar10` has one look and one wording,
    dealt out in turn within its class; the test part has the combinations that training lacks.

    Args:
        path: folder or tar archive of the images (train/cat/1.png ...) to use instead of the downloaded original.
        flip: whether training images are mirrored left to right at random.
        valid: training images held out for validation; 0 trains on all, and leaves none to tune on.
        held_out: combinations of look and class that training and validation do not see.

    Raises:
        ConfigError: if the path holds no such images, there is no such combination, or too much is held out.

    Reference: Krizhevsky, 2009.
    """
    collection = named("cifar10", CIFAR10, path, Look(32, 3))
    classes = tuple(name.replace("_", " ") for name in collection.classes)
    table = Table(classes, ("plain", "inverted", "grey"), PHOTOGRAPHED, held_out, "cifar10-captions.held_out")
    base = cifar10(path=path, flip=flip, valid=valid)
    views = (mirror, same) if flip else (same,)
    parts = splits(_one_look(collection, table), valid=valid, test=0, space=base.space, views=views)
    data = table.describe(base, parts, "every image in one look")
    n = base.evaluation["n"] // len(table.texts) * len(table.texts)
    return replace(data, metrics=("caption_accuracy", *base.metrics), evaluation={**base.evaluation, "n": n})


REPLACED = ("fd-digits_cnn", "class_balance")
"""Metrics of digits whose classifier knows no looks."""


def _every_look(base: Data, split: Split, table: Table, seen: Tensor) -> Arrays:
    assert split.size is not None
    whole = split.take(split.size, 0)
    raw, kind = base.space.decode(whole.x), whole.label
    images, labels = [], []
    for i, look in enumerate(table.looks):
        kept = seen[kind, i]
        images.append(LOOKS[look](raw[kept], TOP))
        labels.append(table.label(kind, i, (_rank(kind) + i) % len(table.templates))[kept])
    label = torch.cat(labels)
    return Arrays(torch.cat(images), label, torch.arange(len(label)))


def _one_look(collection: Collection, table: Table) -> Collection:
    """Return the collection with its captions for labels, its images in their looks in an array of their own."""

    def load() -> Stored:
        raw, kind = collection.load()
        part = [torch.full((sum(counts),), name == "test") for name, counts in collection.counts.items()]
        look, template = _dealt(kind, torch.cat(part), table)
        place = cache.place(table.digest(str(collection.provenance["sha256"])))
        if not (place / "images.npy").exists():
            files.replace(place / "images.npy", lambda temporary: _render(raw, look, table.looks, temporary))
        return Stored(rows.opened(place / "images.npy"), table.label(kind, look, template))

    return replace(collection, load=load)


def _dealt(kind: Int[Tensor, " n"], test: Tensor, table: Table) -> tuple[Tensor, Tensor]:
    """Deal the looks that a class has in a part, and then the wordings, out to its images in turn."""
    look, template = torch.empty_like(kind), torch.empty_like(kind)
    for inside, seen in ((test, torch.ones_like(table.seen)), (~test, table.seen)):
        rank = _rank(kind[inside])
        choices = seen.sum(1)[kind[inside]]
        # The k-th look of a class is the place of its k-th True.
        place = seen.long().argsort(dim=1, descending=True, stable=True)
        look[inside] = place[kind[inside], rank % choices]
        template[inside] = rank // choices % len(table.templates)
    return look, template


def _render(raw: Rows, look: Tensor, looks: tuple[str, ...], path: Path) -> None:
    with rows.writing(path, tuple(raw.shape)) as put:
        for some in torch.arange(len(look)).split(CHUNK):
            for i, name in enumerate(looks):
                chosen = some[look[some] == i]
                for place, image in zip(chosen.tolist(), LOOKS[name](raw[chosen], 255).numpy(), strict=True):
                    put(place, image)


def _rank(kind: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Return the place of each image among those of its class."""
    order = kind.argsort(stable=True)
    first = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(kind).cumsum(0)[:-1]])
    rank = torch.empty_like(kind)
    rank[order] = torch.arange(len(kind)) - first[kind[order]]
    return rank


def _worded(template: Template, look: str, name: str) -> str:
    words: Mapping[str, str] = {"class": name, "look": look, "a class": _article(name), "a look": _article(look)}
    return template[look != "plain"].format_map(words)


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' and word != 'one' else 'a'} {word}"
