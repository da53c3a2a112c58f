"""Values: the rows of the data frames that tables and charts are made from, one per measured value, run or failure."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from genbench.errors import ConfigError

T = TypeVar("T")


class Value(NamedTuple):
    """A measured value, or the reason why it is missing."""

    run: str
    model: str
    data: str
    seed: int
    metric: str
    value: float | None
    floor: float | None
    n: float | None
    protocol: str | None
    better: str
    point: str
    solver: str | None
    nfe: float | None
    step: float | None
    reason: str | None
    original: bool | None


class Cost(NamedTuple):
    """The cost of a run."""

    run: str
    model: str
    data: str
    seed: int
    train_seconds: float | None
    sample_seconds: float | None
    peak_mib: float | None
    steps_per_second: float | None
    parameters: float | None
    device: str


class Failure(NamedTuple):
    """A failed run."""

    model: str
    data: str
    seed: int
    reason: str


COSTS = {
    "train_seconds": ("training, s", "lower"),
    "steps_per_second": ("steps/s", "higher"),
    "sample_seconds": ("sampling, s", "lower"),
    "peak_mib": ("peak memory, MiB", "lower"),
    "parameters": ("parameters", "lower"),
}
"""Titles and directions of the fields of `Cost` that are shown."""


def read_values(frame: pd.DataFrame) -> list[Value]:
    """Return the rows of a frame whose columns are the fields of `Value`, without duplicates.

    Raises:
        ConfigError: if a column is missing, or a model has two values of one metric for one seed.
    """
    values = list(dict.fromkeys(Value(*row) for row in _rows(frame, Value._fields, "values")))
    for first, *more in group_by((v for v in values if v.value is not None), _cell_and_seed).values():
        if more:
            runs = ", ".join(dict.fromkeys(str(v.run) for v in (first, *more)))
            raise ConfigError(
                f"{first.model} on {first.data} has {1 + len(more)} values of {first.metric} for seed {first.seed} "
                f"(runs {runs}): report one suite, or give the models distinct labels"
            )
    return values


def read_costs(frame: pd.DataFrame) -> list[Cost]:
    """Return the rows of a frame whose columns are the fields of `Cost`. Raises ConfigError if a column is missing."""
    return [Cost(*row) for row in _rows(frame, Cost._fields, "costs")]


def read_failures(frame: pd.DataFrame | None) -> list[Failure]:
    """Return the rows of a frame of failures, if any. Raises ConfigError if a column is missing."""
    return [] if frame is None else [Failure(*row) for row in _rows(frame, Failure._fields, "failures")]


def group_by(rows: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    """Group rows by a key, in order of appearance."""
    groups: dict[Hashable, list[T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def by_model(rows: Iterable[T]) -> Iterable[tuple[str, list[T]]]:
    """Return (model, rows) pairs of rows that have a model, in order of appearance."""
    return group_by(rows, lambda row: row.model).items()  # type: ignore[attr-defined]


def _cell_and_seed(value: Value) -> tuple:
    """What identifies a value; the main solver is a choice of the model, that of a curve is part of the identity."""
    own = {"curve": (value.solver, value.nfe), "training": (value.step,)}.get(value.point, ())
    return (value.model, value.data, value.seed, value.metric, value.protocol, value.n, value.point, *own)


def _rows(frame: pd.DataFrame, names: Sequence[str], content: str) -> list[tuple]:
    missing = [name for name in names if name not in frame]
    if missing:
        raise ConfigError(f"the frame of {content} lacks the columns {', '.join(missing)}")
    columns = [[None if pd.isna(cell) else cell for cell in frame[name].tolist()] for name in names]
    return list(zip(*columns, strict=True))
