"""Points: vectors in a file of the user, split and standardized."""

import re
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from genbench.core import Data, Event, Normal
from genbench.data.splits import Arrays, Finite, stratified
from genbench.data.vectors import DISTANCES, EVALUATION, OF_THE_MODEL, PLAN
from genbench.errors import ConfigError, first_line
from genbench.registry import datasets
from genbench.settings import Fraction, OnDisk
from genbench.space import Standardized
from genbench.storage import arrays, content_hash, memory

LABEL = "label"
"""Name of the column, or of the array, that holds classes and no coordinate."""

COARSEST = 1e-5
"""Standard deviation of a column, as a share of its largest number, below which it is refused: 80 steps of float32."""

MAX_REPEATED = 1000
"""Repeated names of columns above which no table is read: pandas renames them in square time."""


@datasets.register("points", version=1, headline="w2")
def points(
    *,
    path: Annotated[str, OnDisk()],
    valid: Fraction = 0.1,
    test: Fraction = 0.2,
    standardize: bool = True,
) -> Data:
    """Vectors of your own in a file, one a row, split always in the same way, stratified by class.

    Models see coordinates with mean 0 and standard deviation 1 over the training rows; metrics are in the units of the
    file.

    Args:
        path: .npy, .npz (array samples, or the only one), .csv or .parquet; `label` may name the class of each row.
        valid: share of the rows held out for validation.
        test: share of the rows held out for testing.
        standardize: whether models see standardized coordinates.

    Raises:
        ConfigError: if the file holds no such rows.
    """
    file = Path(path).expanduser()
    raw, label, classes = _read(file)
    n, dims = raw.shape
    counts = round(valid * n), round(test * n)
    if n - sum(counts) < 2 or not counts[1]:
        raise ConfigError(f"{path}: {n} rows are too few for valid={valid} and test={test}")
    rows = dict(zip(("train", "valid", "test"), stratified(label, counts, seed=0), strict=True))
    train = raw[rows["train"]].double()
    mean, std = train.mean(0), train.std(0, correction=0)
    if standardize and bool((std == 0).any()):
        raise ConfigError(f"{path}: column {int(torch.argmin(std)) + 1} is constant in the training rows: remove it")
    if not standardize:
        mean, std = torch.zeros(dims), torch.ones(dims)
    space = Standardized(tuple(mean.tolist()), tuple(std.tolist()))
    splits = {name: Finite(lambda part=part: Arrays(raw, label, part), len(part), space) for name, part in rows.items()}
    return Data(
        event=Event((dims,), classes if classes > 1 else 0, space.bin),
        space=space,
        source=Normal((dims,)),
        train=splits["train"],
        valid=splits["valid"],
        test=splits["test"],
        plan=PLAN,
        evaluation=EVALUATION | {"n": min(EVALUATION["n"], counts[1]), "batch": min(EVALUATION["batch"], counts[1])},
        metrics=(*DISTANCES, *OF_THE_MODEL),
        provenance={"source": file.resolve().name, "sha256": content_hash.remembered(file), "original": False},
    )


def _read(path: Path) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return the rows (n, d) in float32, the class of each, and the number of classes."""
    if not path.is_file():
        raise ConfigError(f"{path} does not exist or is not a file")
    values, label = arrays.load_samples(path) if path.suffix in arrays.SUFFIXES else _table(path)
    if values.dtype.kind not in "fiu" or values.ndim != 2 or not values.size:
        raise ConfigError(f"{path}: points are rows of real numbers; this is {values.shape} of {values.dtype}")
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    bad = ~np.isfinite(single).all(1)
    if bad.any():
        raise ConfigError(f"{path}: row {int(np.argmax(bad)) + 1} holds a value that is missing, or no finite float32")
    _check_resolution(path, values.astype(np.float64))
    if label is None:
        label = np.zeros(len(values), np.int64)
    if label.shape != (len(values),) or label.dtype.kind not in "iuUOb":
        raise ConfigError(f"{path}: labels must be {len(values)} whole numbers or texts, one a row")
    names, classes = np.unique(label.astype(str) if label.dtype.kind == "O" else label, return_inverse=True)
    return torch.from_numpy(single), torch.from_numpy(classes.astype(np.int64)), len(names)


def _check_resolution(path: Path, values: np.ndarray) -> None:
    """Refuse a column that varies by little around a large number: float32 would round it to a few values."""
    spread, largest = values.std(0), np.abs(values).max(0)
    coarse = (spread > 0) & (largest * COARSEST > spread)
    if coarse.any():
        column = int(np.argmax(coarse))
        raise ConfigError(
            f"{path}: column {column + 1} varies by {spread[column]:.2g} around {values[:, column].mean():.4g}, which"
            " float32 rounds too much: subtract an offset"
        )


def _table(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    import pandas as pd

    memory.require(4 * path.stat().st_size, str(path))
    try:
        if path.suffix == ".parquet":
            from pyarrow.parquet import ParquetFile

            known = ParquetFile(path).metadata  # a file of megabytes may unpack to terabytes
            memory.require(16 * known.num_rows * known.num_columns, str(path))
        if path.suffix == ".csv":
            header = None if _begins_with_numbers(path) else "infer"
            table = pd.read_csv(path, header=header, encoding="utf-8-sig")
            if not isinstance(table.index, pd.RangeIndex):  # pandas took the first columns for names of rows
                raise ConfigError(f"{path}: rows have more values than the header has names (commas separate values)")
            if LABEL in table:  # as it stands in the file: 01 and 1 differ, and NA is a name
                texts = pd.read_csv(path, usecols=[LABEL], dtype=str, keep_default_na=False, encoding="utf-8-sig")
                table[LABEL] = texts[LABEL].astype(object)
        else:
            table = pd.read_parquet(path)
        label = _classes(path, table.pop(LABEL).to_numpy()) if LABEL in table else None
    except ConfigError:
        raise
    except ImportError as error:
        raise ConfigError(f"{path}: reading Parquet needs pyarrow: pip install 'genbench[parquet]'") from error
    except Exception as error:  # of pandas, of Arrow, and of whatever a damaged file leads to
        raise ConfigError(f"{path} cannot be read as {path.suffix}: {first_line(error)}") from error
    if any(str(name).strip() == LABEL for name in table):  # after "x, y, label" classes would be a coordinate
        raise ConfigError(f"{path}: there are blanks around the name {LABEL}: remove them")
    words = [str(name) for name, kind in table.dtypes.items() if kind.kind not in "fiu"]
    if words:
        raise ConfigError(f"{path}: column {words[0]} holds no numbers (a column of classes is called {LABEL})")
    return table.to_numpy(), label


def _classes(path: Path, label: np.ndarray) -> np.ndarray:
    """Return classes, whole numbers as numbers, so that 10 comes after 9."""
    if label.dtype.kind != "O":
        return label
    import pandas as pd

    missing = pd.isna(label) | (label.astype(str) == "")
    if missing.any():
        raise ConfigError(f"{path}: row {int(np.argmax(missing)) + 1} has no {LABEL}")
    return label.astype(np.int64) if all(_WHOLE.fullmatch(str(each)) for each in label) else label


_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}")


def _begins_with_numbers(path: Path) -> bool:
    """Return whether the first line holds numbers only, which makes it a point and not a header."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        cells = file.readline(1 << 20).strip().split(",")
    try:
        return bool([float(cell) for cell in cells])
    except ValueError:
        if cells.count(LABEL) > 1:
            raise ConfigError(f"{path}: more than one column is called {LABEL}") from None
        if len(cells) - len(set(cells)) > MAX_REPEATED:
            raise ConfigError(f"{path}: more than {MAX_REPEATED:,} names of columns are repeated") from None
        return False
