"""Data files as people have them: what genbench says of each."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from helpers.image_trees import deep, encoded, image, several, write_images

from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.settings import bind, call
from genbench.sweeps.user_files import component_name

ROWS = np.random.default_rng(0).normal(size=(600, 2)).round(4)
LABEL = np.arange(600) % 3
LINES = "".join(f"{a},{b}\n" for a, b in ROWS.tolist())
COUNTED = "".join(f"{number},{line}\n" for number, line in enumerate(LINES.splitlines()))


class DataFile(NamedTuple):
    """A file or folder of data.

    Args:
        make: writes it into an empty folder and returns its path.
        ends: "read", "warned" or "refused".
        says: words of the line that says why.
    """

    name: str
    make: Callable[[Path], Path]
    ends: str
    says: str = ""


def data_files() -> Iterator[DataFile]:
    """Yield all of them."""
    for files in (_folders(), _images(), _headers(), _labels(), _cells(), _tables()):
        yield from files


def outcome(file: DataFile, folder: Path) -> tuple[str, list[str]]:
    """Return how reading ends, and the lines that it says."""
    try:
        name, settings = component_name("datasets", str(file.make(folder)))
        size = {"size": 8} if name == "folder" else {}
        data = call(datasets[name].build, settings=bind(datasets[name].build, settings | size, name))
        data.train.take(1, 0)
    except ConfigError as error:
        return "refused", str(error).strip().splitlines()
    return ("warned" if len(data.remarks) > 1 else "read"), list(data.remarks)


def _text(text: str, name: str = "data.csv") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return make


def _frame(columns: dict, kind: str, **options: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"data.{kind}"
        if kind == "npz":
            samples = np.stack([values for name, values in columns.items() if name in "ab"], 1)
            np.savez(path, samples=samples, **{name: values for name, values in columns.items() if name not in "ab"})
        elif kind == "npy":
            np.save(path, np.stack([*columns.values()], 1))
        else:
            getattr(pd.DataFrame(columns), f"to_{kind}")(path, **options)
        return path

    return make


def _tree(counts: dict[str, int]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write_images(folder / "tree", counts)
        return folder / "tree"

    return make


def _folders() -> Iterator[DataFile]:
    for names in itertools.product(
        ("train", "Train", "TRAINING"), ("val", "dev", "Validation"), ("test", "TEST", "Testing")
    ):
        counts = {f"{split}/{kind}": n for split, n in zip(names, (60, 10, 50), strict=True) for kind in "ab"}
        yield DataFile(f"folders {'/'.join(names)}", _tree(counts), "read", "120 train, 20 validation, 100 test")
    for name in ("Train", "TEST", "training", "testing", "dev", "val", "validation", "test_set", "train2017"):
        yield DataFile(f"class beside {name}", _tree({name: 9, "cat": 9}), "refused", "is read as a split")
        yield DataFile(f"{name} in a class", _tree({"cat/" + name: 9, "dog": 9}), "refused", "inside another folder")
    yield DataFile("Train and train", _tree({"Train": 9, "train": 9, "test": 9}), "refused", "names of one split")
    yield DataFile("test alone", _tree({"TEST/a": 9, "dev/a": 9}), "refused", "but no folder train")
    yield DataFile("ten images", _tree({"train/a": 60, "train/b": 5, "test/a": 60, "test/b": 2}), "warned", "b (7)")


def _images() -> Iterator[DataFile]:
    odd = {f"pages of {kind}": (several(kind), "holds 3 images") for kind in ("GIF", "PNG", "TIFF", "WEBP", "MPO")}
    odd |= {f"16 bits in {kind}": (deep(kind), "16 bits per channel") for kind in ("PNG", "PPM", "TIFF")}
    odd |= {f"mode {mode}": (encoded(image(0, mode=mode)), f"mode {mode}") for mode in ("L", "LA", "RGBA")}
    odd |= {"truncated": (encoded(image(0))[:-100], "cannot be decoded"), "text": (b"text", "it is none of")}
    for name, (content, says) in odd.items():

        def make(folder: Path, content: bytes = content) -> Path:
            write_images(folder / "tree", {"train": 2, "test": 1})
            (folder / "tree/train/0.png").write_bytes(content)
            return folder / "tree"

        yield DataFile(f"image: {name}", make, "refused", says)


def _headers() -> Iterator[DataFile]:
    index = {"no name": "", "written twice": "Unnamed: 0", "called index": "Index", "called id": "id"}
    for name, header in index.items():
        yield DataFile(f"index, {name}", _text(f"{header},a,b\n{COUNTED}"), "refused", "index=False")
    backwards = "".join(reversed(COUNTED.splitlines(True)))
    yield DataFile("index, shuffled", _text(f",a,b\n{backwards}"), "refused", "index=False")
    yield DataFile("index, no header", _text(COUNTED), "refused", "counts the rows")
    left = {"__index_level_0__": LABEL, "a": ROWS[:, 0]}
    yield DataFile("index of Arrow", _frame(left, "parquet"), "refused", "index=False")
    yield DataFile("time that counts", _text(f"t,a,b\n{COUNTED}"), "read", "3 coordinates (t, a, b)")
    yield DataFile("header of numbers", _text(f"0,1\n{LINES}"), "refused", "begin with a line of names")
    yield DataFile("no header", _text(LINES), "read", "600 rows without a header, 2 coordinates")
    yield DataFile("byte order mark", _text("\ufeffa,b\n" + LINES), "read", "(a, b)")
    for separator in ";\t| ":
        for header in ("a,b\n", ""):
            text = (header + LINES).replace(",", separator)
            yield DataFile(
                f"separated by {separator!r}{' no header' * (not header)}", _text(text), "refused", "separated by"
            )
    yield DataFile("decimal commas", _text("a;b\n" + "0,5;1,5\n" * 600), "refused", "semicolons")
    yield DataFile("comma at the end", _text("a,b,\n" + LINES.replace("\n", ",\n")), "refused", "has no name")
    yield DataFile("more values than names", _text("a\n" + LINES), "refused", "more values than")


def _labels() -> Iterator[DataFile]:
    for name, kind in itertools.product(("label", "Label", "LABEL"), ("csv", "parquet", "npz")):
        columns = {"a": ROWS[:, 0], "b": ROWS[:, 1], name: LABEL}
        yield DataFile(
            f"{name} in .{kind}",
            _frame(columns, kind, index=False) if kind == "csv" else _frame(columns, kind),
            "read",
            "3 classes (0, 1, 2)",
        )
    for name, kind in itertools.product(("target", "Target", "class", "CLASS", "y", "labels"), ("csv", "npz")):
        columns = {"a": ROWS[:, 0], "b": ROWS[:, 1], name: LABEL}
        yield DataFile(
            f"{name} in .{kind}",
            _frame(columns, kind, index=False) if kind == "csv" else _frame(columns, kind),
            "refused",
            f"call {name} label",
        )
    yield DataFile("x and y", _text("x,y\n" + LINES), "read", "2 coordinates (x, y)")
    yield DataFile("two labels", _text("label,Label\n" + LINES), "refused", "more than one column")
    yield DataFile("blanks around label", _text("a, label\n" + LINES), "refused", "blanks or signs")
    yield DataFile("no class", _text("a,label\n" + LINES + "1,\n"), "refused", "row 601 has no label")
    yield DataFile(
        "a small class",
        _text("a,label\n" + "".join(f"{a},{i > 592}\n" for i, (a, _) in enumerate(ROWS.tolist()))),
        "warned",
        "True (7)",
    )


def _cells() -> Iterator[DataFile]:
    words, size = ("x", "2020-01-01", "$5", "1e5e5"), ("1e39", "1e308", "-1e400", "inf")
    cells = {cell: f"'{cell}' is not a number" for cell in words} | {
        "": "the value is missing",
        "NA": "the value is missing",
    }
    cells |= {cell: f"{float(cell):g} is not a finite number" for cell in size}
    for cell, says in cells.items():
        yield DataFile(f"cell {cell!r}", _text(f"a,b\n{LINES}1,{cell}\n"), "refused", f"row 601, column b: {says}")
        yield DataFile(
            f"cell {cell!r}, no header", _text(f"{LINES}1,{cell}\n"), "refused", f"row 601, column 2: {says}"
        )
    for cell in ("1e20", "-1e19"):
        yield DataFile(f"cell {cell!r}", _text(f"a,b\n{LINES}1,{cell}\n"), "refused", "squared distances overflow")
    yield DataFile("thousands", _text(f"a,b\n{LINES}1,000.5,2\n"), "refused", "cannot be read as .csv")
    for value, says in (
        (np.nan, "the value is missing"),
        (np.inf, "not a finite"),
        (1e308, "not a finite"),
        (1e20, "overflow"),
    ):
        for kind in ("npy", "parquet"):
            odd = ROWS[:, 1].copy()
            odd[3] = value
            yield DataFile(f"{value} in .{kind}", _frame({"a": ROWS[:, 0], "b": odd}, kind), "refused", says)
    yield DataFile("tiny numbers", _frame({"a": ROWS[:, 0], "b": 1e-30 * ROWS[:, 1]}, "npy"), "refused", "vanishes")
    yield DataFile(
        "large offset", _frame({"a": ROWS[:, 0], "b": 1e9 + ROWS[:, 1]}, "npy"), "refused", "subtract an offset"
    )
    for name, odd in {"texts": ROWS[:, 1].astype(str), "true and false": ROWS[:, 1] > 0}.items():
        yield DataFile(name, _frame({"a": ROWS[:, 0], "b": odd}, "parquet"), "refused", "column b holds")


def _tables() -> Iterator[DataFile]:
    yield DataFile("constant", _frame({"a": ROWS[:, 0], "b": 0 * LABEL}, "npy"), "refused", "column 2 is constant")
    yield DataFile("few rows", _frame({"a": ROWS[:99, 0]}, "npy"), "warned", "20 test samples are few")
    yield DataFile("two rows", _frame({"a": ROWS[:2, 0]}, "npy"), "refused", "2 rows are too few")
    yield DataFile("every row twice", _text("a,b\n" + LINES * 2), "warned", "test rows are also training rows")
    yield DataFile("empty", _text(""), "refused", "cannot be read as .csv")
    yield DataFile("header alone", _text("a,b\n"), "refused", "rows of real numbers")
    for name in ("a\0b.csv", "a\0b.npy", "a\0b.tar"):
        yield DataFile(f"path {name!r}", lambda folder, name=name: folder / name, "refused")
