"""Points: vectors in a file of the user, split and standardized, or refused in one line that names row and column."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from genbench.core import Data, Event, Normal
from genbench.data.remarks import listed, remarks
from genbench.data.rows import require_each_class, stratified
from genbench.data.splits import Arrays, Finite
from genbench.data.vectors import DISTANCES, EVALUATION, OF_THE_MODEL, PLAN
from genbench.errors import ConfigError, first_line
from genbench.registry import datasets
from genbench.settings import Fraction, OnDisk
from genbench.space import Standardized
from genbench.storage import arrays, content_hash, files, memory

TABLES = (".csv", ".parquet")
"""Files whose columns may have names."""

LABEL = "label"
"""Name, in any case, of the column or array that holds classes and no coordinate."""

LIKE_LABEL = ("labels", "class", "classes", "target", "targets", "y")
"""Names that may mean classes or a coordinate; `y` beside `x` is a coordinate."""

INDEX = re.compile(r"Unnamed: \d+|__index_level_\d+__")
"""Names that pandas and Arrow give to columns without a name, such as the index of a table."""

AROUND = " #'\""
"""Blanks and signs that may stand around a name, as # before a header of `numpy.savetxt`."""

REMEDY = "if it is an index, write the file without it (pandas: index=False)"

COUNTING = ("index", "idx", "id", "row")
"""Names of a column that is an index if it counts the rows."""

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}

COARSEST = 1e-5
"""Standard deviation of a column, as a share of its largest number, below which it is refused: 80 steps of float32."""

_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}")


class Points(NamedTuple):
    """The rows of a file, with their classes.

    Args:
        names: names of the coordinates; empty where the file has none.
        label: index of each row into the classes.
        classes: names of the classes; None where the file has no labels.
    """

    values: Float[Tensor, "n d"]
    names: tuple[str, ...]
    label: Int[Tensor, " n"]
    classes: tuple[str, ...] | None

    def column(self, index: int) -> str:
        """Return the name of a column in messages."""
        return _column(self.names, index)


@datasets.register("points", version=2, headline="w2")
def points(
    *,
    path: Annotated[str, OnDisk()],
    valid: Fraction = 0.1,
    test: Fraction = 0.2,
    standardize: bool = True,
) -> Data:
    """Vectors of your own in a file, one per row, always split in the same way, stratified by class.

    Models see coordinates with mean 0 and standard deviation 1 over the training rows; metrics are in the units of the
    file.

    Args:
        path: .npy, .npz (array samples, or the only one), .csv or .parquet; a column or array `label` may hold the
            class of each row.
        valid: share of the rows held out for validation.
        test: share of the rows held out for testing.
        standardize: whether models see standardized coordinates.

    Raises:
        ConfigError: if the file holds no such rows.
    """
    file = files.expanded(path)
    found = read(file)
    n, dims = found.values.shape
    counts = round(valid * n), round(test * n)
    if valid + test >= 1:
        raise ConfigError(f"{path}: valid={valid} and test={test} leave no training rows: lower them")
    if n - sum(counts) < 2 or not counts[1]:
        left = f"{n - sum(counts)} of {n} rows for training and {counts[1]} for testing"
        raise ConfigError(f"{path}: valid={valid} and test={test} leave {left}: change these shares, or add rows")
    rows: dict[str, Tensor] = dict(
        zip(("train", "valid", "test"), stratified(found.label, counts, seed=0), strict=True)
    )
    require_each_class(found.label, found.classes or ("",), rows)
    train = found.values[rows["train"]].double()
    mean, std = train.mean(0), train.std(0, correction=0)
    constant = [found.column(int(index)) for index in (std == 0).nonzero()]
    if standardize and constant:
        raise ConfigError(f"{path}: {constant[0]} is constant in the training rows: remove it")
    if not standardize:
        mean, std = torch.zeros(dims), torch.ones(dims)
    space = Standardized(tuple(mean.tolist()), tuple(std.tolist()))
    splits = {
        name: Finite(lambda part=part: Arrays(found.values, found.label, part), len(part), space)
        for name, part in rows.items()
    }
    classes = dict(zip(found.classes, found.label.bincount().tolist(), strict=True)) if found.classes else {}
    said = remarks(_described(file, found), classes, splits)
    said += [f"{each} is constant in the training rows" for each in constant] + _repeated(found, rows)
    return Data(
        event=Event((dims,), len(classes) if len(classes) > 1 else 0, space.bin),
        space=space,
        source=Normal((dims,)),
        train=splits["train"],
        valid=splits["valid"],
        test=splits["test"],
        plan=PLAN,
        evaluation=EVALUATION | {"n": min(EVALUATION["n"], counts[1]), "batch": min(EVALUATION["batch"], counts[1])},
        metrics=(*DISTANCES, *OF_THE_MODEL),
        provenance={"source": file.resolve().name, "sha256": content_hash.remembered(file), "original": False},
        remarks=tuple(f"{file.name}: {line}" for line in said),
    )


def _described(file: Path, found: Points) -> str:
    """Return 'N rows, D coordinates (a, b)', and whether the first line of a table was read as a row."""
    n, dims = found.values.shape
    headless = " without a header" if file.suffix == ".csv" and not found.names else ""
    names = f" ({listed(found.names)})" if found.names else ""
    return f"{n:,} rows{headless}, {dims} coordinate{'s' if dims > 1 else ''}{names}"


def _repeated(found: Points, rows: Mapping[str, Tensor]) -> list[str]:
    """Return a line if test rows are also training rows."""
    train = {row.tobytes() for row in found.values[rows["train"]].numpy()}
    repeated = sum(row.tobytes() in train for row in found.values[rows["test"]].numpy())
    return [f"{repeated:,} test rows are also training rows: values favor models that memorize"] if repeated else []


def read(path: Path) -> Points:
    """Read an .npy, .npz (array `samples`, or the only one), .csv or .parquet.

    Raises:
        ConfigError: if the file holds no rows of numbers, or is ambiguous.
    """
    if path.suffix in arrays.SUFFIXES:
        check_names(str(path), arrays.names(path))
        (values, label), names = arrays.samples(path), ()
    else:
        values, label, names = read_table(path)
    if values.dtype.kind not in "fiu" or values.ndim != 2 or not values.size:
        raise ConfigError(f"{path}: points must be rows of real numbers; this is {values.shape} of {values.dtype}")
    single = _single(path, values, names)
    if label is None:
        return Points(single, names, torch.zeros(len(single), dtype=torch.long), None)
    if label.shape != (len(values),) or label.dtype.kind not in "iuUOb":
        raise ConfigError(f"{path}: labels must be {len(values)} whole numbers or texts, one per row")
    classes, index = np.unique(label.astype(str) if label.dtype.kind == "O" else label, return_inverse=True)
    return Points(single, names, torch.from_numpy(index.astype(np.int64)), tuple(map(str, classes)))


def check_names(what: str, names: Iterable[str]) -> str | None:
    """Return the name of the labels, if there is one.

    Raises:
        ConfigError: if there are several, two columns have one name, or a name may mean labels as well as a coordinate.
    """
    names = list(names)
    labels = [name for name in names if name.casefold() == LABEL]
    if len(labels) > 1:
        raise ConfigError(f"{what}: more than one column is called {LABEL}: keep one of them")
    repeated = [name for name, times in Counter(names).items() if name and times > 1]
    if repeated:
        raise ConfigError(f"{what}: several columns are called {repeated[0]}: rename all but one")
    stripped = [name.strip(AROUND).casefold() for name in names]
    for number, (name, bare) in enumerate(zip(names, stripped, strict=True)):
        if INDEX.fullmatch(name):
            raise ConfigError(f"{what}: column {number + 1} has no name: {REMEDY}, else name or remove it")
        if bare == LABEL and name not in labels:
            raise ConfigError(f"{what}: the name {LABEL} has blanks or signs around it: remove them")
        if bare in LIKE_LABEL and not (bare == "y" and "x" in stripped):
            raise ConfigError(f"{what}: call {name} {LABEL} if it holds classes; a coordinate needs another name")
    return labels[0] if labels else None


def _column(names: Sequence[str], index: int) -> str:
    return f"column {names[index] if names else index + 1}"


def _single(path: Path, values: np.ndarray, names: tuple[str, ...]) -> Float[Tensor, "n d"]:
    """Return numbers in float32; refuse numbers that it rounds too much, or whose squared distances overflow."""
    with np.errstate(over="ignore"):
        single, wide = values.astype(np.float32), values.astype(np.float64)
    bad = ~np.isfinite(single)
    if bad.any():
        row, column = divmod(int(np.argmax(bad)), values.shape[1])
        value = wide[row, column]
        why = "the value is missing" if np.isnan(value) else f"{value:g} is not a finite number of single precision"
        raise ConfigError(f"{path}: row {row + 1}, {_column(names, column)}: {why}")
    # The mean of equal numbers is rounded, so that their deviation may differ from 0.
    spread, largest = np.where(wide.max(0) == wide.min(0), 0, wide.std(0)), np.abs(wide).max(0)
    column = int(np.argmax(largest))
    if 4 * np.square(largest).sum() > np.finfo(np.float32).max:
        why = f"holds {largest[column]:.2g}, and squared distances overflow single precision: divide it by a constant"
        raise ConfigError(f"{path}: {_column(names, column)} {why}")
    column = int(np.argmax((spread > 0) & (largest * COARSEST > spread)))
    if 0 < spread[column] < largest[column] * COARSEST:
        why = f"varies by {spread[column]:.2g} around {wide[:, column].mean():.4g}, which float32 rounds too much"
        raise ConfigError(f"{path}: {_column(names, column)} {why}: subtract an offset")
    column = int(np.argmin(np.where(spread > 0, spread, np.inf)))
    if 0 < spread[column] ** 2 < np.finfo(np.float32).tiny:
        why = f"varies by {spread[column]:.2g}, whose square vanishes in single precision: multiply it by a constant"
        raise ConfigError(f"{path}: {_column(names, column)} {why}")
    return torch.from_numpy(single)


def read_table(path: Path) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Read the coordinates in a .csv or .parquet, the labels if there are any, and the names of the coordinates.

    Raises:
        ConfigError: if the file holds something other than numbers and labels, or is ambiguous.
    """
    if not path.is_file():
        raise ConfigError(f"{path} does not exist or is not a file")
    memory.require(4 * path.stat().st_size, str(path))
    try:
        table = _parquet(path) if path.suffix == ".parquet" else _csv(path)
        label = check_names(str(path), map(str, table))
        classes = None if label is None else _classes(path, table.pop(label))
        names = tuple(map(str, table)) if table.columns.dtype.kind != "i" else ()
        for number, (_, column) in enumerate(table.items()):
            _refuse_words(path, column, _column(names, number))
            check_index(str(path), names, number, column)
        return table.to_numpy(np.float64, na_value=np.nan), classes, names
    except ConfigError:
        raise
    except ImportError as error:
        raise ConfigError(f"{path}: reading Parquet needs pyarrow: pip install 'genbench[parquet]'") from error
    except Exception as error:  # pandas and Arrow raise many types on a damaged file
        raise ConfigError(f"{path} cannot be read as {path.suffix}: {first_line(error)}") from error


def _parquet(path: Path) -> Any:
    import pandas as pd
    from pyarrow.parquet import ParquetFile

    known = ParquetFile(path).metadata  # a file of megabytes may unpack to terabytes
    memory.require(16 * known.num_rows * known.num_columns, str(path))
    return pd.read_parquet(path)


def _csv(path: Path) -> Any:
    import pandas as pd

    names = _header(path)
    try:
        table = pd.read_csv(path, header=0 if names else None, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: save it as UTF-8") from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first columns for names of rows
        raise ConfigError(f"{path}: rows have more values than the header has names (commas separate values)")
    for name in [name for name in names if name.casefold() == LABEL]:  # 01 and 1 differ, and NA is a name
        texts = pd.read_csv(path, usecols=[name], dtype=str, keep_default_na=False, encoding="utf-8-sig")
        table[name] = texts[name].astype(object)
    return table


def _header(path: Path) -> list[str]:
    """Return the names in the first line; empty if it holds numbers only, which makes it a row."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        lines = (line.rstrip("\n") for line in file if line.strip())
        first, second = next(lines, ""), next(lines, "")
    cells = _cells(first)
    for separator, called in SEPARATORS.items():
        possible = separator in ";\t" or "," not in first  # names may contain blanks and bars
        one, other = (line.strip().count(separator) for line in (first, second))
        if possible and 0 < one == other and not _are_numbers(_cells(second)):
            raise ConfigError(f"{path}: values are separated by {called}: write commas (and points in decimal numbers)")
    if cells == [str(number) for number in range(len(cells))]:
        raise ConfigError(
            f"{path}: the first line, {first[:40]}, holds values or column numbers: begin with a line of names"
        )
    if _are_numbers(cells):
        return []
    check_names(str(path), cells)
    return cells


def _cells(line: str) -> list[str]:
    return next(csv.reader([line])) or [""]


def _are_numbers(cells: list[str]) -> bool:
    try:
        return bool([float(cell) for cell in cells])
    except ValueError:
        return False


def check_index(what: str, names: Sequence[str], number: int, column: Any) -> None:
    """Raise ConfigError for a column that counts the rows and is called so, or is the first and has no name."""
    rows = np.arange(len(column))
    may_be_index = names[number].casefold() in COUNTING if names else number == 0
    if may_be_index and any(np.array_equal(column, rows + start) for start in (0, 1)):
        raise ConfigError(f"{what}: {_column(names, number)} counts the rows: {REMEDY}, else give it another name")


def _refuse_words(path: Path, column: Any, what: str) -> None:
    """Refuse a column that holds something other than numbers, and say where."""
    if column.dtype.kind in "fiu" or not len(column):
        return
    import pandas as pd

    numbers: Any = pd.to_numeric(column, errors="coerce")
    words = numbers.isna() & column.notna()
    if not words.any():
        raise ConfigError(f"{path}: {what} holds values of type {column.dtype}: convert them to numbers")
    row = int(words.to_numpy().argmax())
    cell = str(column.iloc[row])[:40]
    raise ConfigError(f"{path}: row {row + 1}, {what}: '{cell}' is not a number; classes belong in a column {LABEL}")


def _classes(path: Path, column: Any) -> np.ndarray:
    """Return classes, whole numbers as numbers, so that 10 comes after 9."""
    label = column.to_numpy()
    if label.dtype.kind != "O":
        return label
    import pandas as pd

    missing = pd.isna(label) | (label.astype(str) == "")
    if missing.any():
        raise ConfigError(f"{path}: row {int(np.argmax(missing)) + 1} has no {LABEL}: give every row one")
    return label.astype(np.int64) if all(_WHOLE.fullmatch(str(each)) for each in label) else label
