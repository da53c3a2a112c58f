"""Compare two records of one evaluation: which metrics one of them lacks, and in which fields their rows differ."""

import math
from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import Any, NamedTuple

from genbench.runs.record_types import Record, Row, cell, metric_of

TOLERANCE = 1e-3
"""Relative difference up to which two numbers agree: machines round differently."""

NFE_TOLERANCE = 0.1
"""Relative difference up to which the NFE of an adaptive solver agrees on two machines."""

OF_ROW = ("value", "nfe", "floor", "better", "protocol", "n", "solver")

ERRORS = ("standard_error", "half_interval", "w2_squared_error")
"""Details that only estimate the error of a value: their estimators changed without a new version of the metric."""


class Deviation(NamedTuple):
    """A field in which two rows differ, or a row that one record lacks.

    Args:
        row: the metric, with the NFE of a point of a curve or the step of a training.
        field: field of the row, such as "value" (also if one record lacks the row), or a detail.
        relative: difference relative to the larger number; infinity if one of them is not a number.
    """

    row: str
    field: str
    one: Any
    other: Any
    relative: float

    def __str__(self) -> str:
        name = self.row if self.field == "value" else f"{self.row}, {self.field}"
        size = f" (relative difference {self.relative:.2g})" if math.isfinite(self.relative) else ""
        return f"{name}: {self.one} recorded, {self.other} measured again{size}"


class Comparison(NamedTuple):
    """Two records of one evaluation.

    Args:
        added: the metrics that only the second record has.
        rows: number of rows of the metrics of both.
        deviations: all fields that are not equal, however little they differ.
    """

    added: list[str]
    rows: int
    deviations: tuple[Deviation, ...]

    @property
    def different(self) -> tuple[Deviation, ...]:
        """The deviations that are larger than `TOLERANCE`."""
        return tuple(each for each in self.deviations if not each.relative <= TOLERANCE)


def compare(one: Record, other: Record, *, without: Collection[str] = (), training: bool = True) -> Comparison:
    """Compare two records of one evaluation; details that only the second record has are ignored.

    Args:
        without: metrics that are not compared.
        training: whether values that were measured during training are compared.
    """
    ours, theirs = (record["spec"]["metrics"].keys() - set(without) for record in (one, other))
    first, second = (_rows(record, ours & theirs, training) for record in (one, other))
    names = list(dict.fromkeys([*first, *second]))
    found = tuple(each for name in names for each in _deviations(first.get(name), second.get(name)))
    return Comparison(sorted(theirs - ours), len(names), found)


def _rows(record: Record, metrics: Collection[str], training: bool) -> dict[Hashable, Row]:
    rows = (row for row in record["results"] if training or row["point"] != "training")
    return {cell(row): row for row in rows if metric_of(row) in metrics}


def _deviations(one: Row | None, other: Row | None) -> Iterator[Deviation]:
    if one is None or other is None:
        yield Deviation(row_name(one or other or {}), "value", one and one["value"], other and other["value"], math.inf)
        return
    new = dict(_stated(other))
    for name, number in _stated(one):
        again, counted = new.get(name), one["metric"] == "nfe" and name == "value"
        if difference := _difference("nfe" if counted else name, number, again, one["value"]):
            yield Deviation(row_name(one), name, number, again, difference)


def agree(metric: str, one: float | None, other: float | None) -> bool:
    """Return whether two values of a metric are equal up to the rounding of machines."""
    return _difference(metric, one, other, one) <= TOLERANCE


def row_name(row: Mapping[str, Any]) -> str:
    """Return the name of a row in messages."""
    where = {"curve": f" at NFE {row.get('nfe') or 0:g}", "training": f" at step {row.get('step')}"}
    return f"{row['metric']}{where.get(row['point'], '')}"


def _stated(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a row, and its details except those that estimate its error."""
    yield from ((name, row.get(name)) for name in OF_ROW)
    yield from ((name, detail) for name, detail in row.get("details", {}).items() if name not in ERRORS)


def _difference(name: str, one: Any, other: Any, value: Any) -> float:
    """Return the relative difference of a field; 0 if it is equal, infinity if both are not numbers."""
    if one == other:
        return 0.0
    try:
        scale = max(abs(one), abs(other))
        if name == "tolerance_difference":  # the difference of two nearly equal values is mostly rounding
            scale = max(scale, abs(value))
        difference = abs(one - other) / scale
    except (TypeError, OverflowError):
        return math.inf
    if name == "nfe" and difference <= NFE_TOLERANCE:  # an adaptive solver took another step on another machine
        return 0.0
    return math.inf if math.isnan(difference) else difference
