"""Comparing records of one evaluation: the metrics that one of them lacks, the fields in which their rows differ."""

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from genbench.runs.record import identity
from genbench.runs.record_types import Record, Row, cell, metric_of

TOLERANCE = 1e-3
"""Relative difference up to which two numbers agree: machines round differently."""

NFE_TOLERANCE = 0.1
"""Relative difference of NFE that an adaptive solver may have on two machines."""

SHARE = 0.25
"""Share of the standard deviation over seeds by which a value may differ after training, which amplifies rounding.

Twice the largest share seen: 0.07 in 400 values of `synthetic` between two machines, 0.13 between two instruction sets.
"""

OF_ROW = ("value", "nfe", "floor", "better", "protocol", "n", "solver")

ERRORS = ("standard_error", "half_interval", "w2_squared_error")
"""Details that only estimate the error of a value: the estimators have changed while values have not."""


class Deviation(NamedTuple):
    """A field in which two rows differ, or a row that one record lacks.

    Args:
        row: the metric, with the NFE of a point of a curve or the step of a training.
        field: of the row, such as "value" (also if one record lacks the row), or a detail.
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
        return f"{name}: {self.one} recorded, {self.other} again{size}"


class Comparison(NamedTuple):
    """Two records of one evaluation.

    Args:
        alone: the metrics that only the first record measured, and those that only the second did.
        rows: number of rows of the metrics of both.
        deviations: all fields that are not equal, however little they differ.
    """

    alone: tuple[list[str], list[str]]
    rows: int
    deviations: tuple[Deviation, ...]

    def beyond(self, tolerance: float) -> tuple[Deviation, ...]:
        """Return the deviations that are larger than a relative difference."""
        return tuple(each for each in self.deviations if not each.relative <= tolerance)


def compare(one: Record, other: Record, *, without: Collection[str] = (), training: bool = True) -> Comparison:
    """Compare two records of one evaluation, the second of which may state more details.

    Args:
        without: metrics that are not compared.
        training: whether values that were measured during training are compared.
    """
    ours, theirs = (record["spec"]["metrics"].keys() - set(without) for record in (one, other))
    first, second = (_rows(record, ours & theirs, training) for record in (one, other))
    names = list(dict.fromkeys([*first, *second]))
    found = tuple(each for name in names for each in _deviations(first.get(name), second.get(name)))
    return Comparison((sorted(ours - theirs), sorted(theirs - ours)), len(names), found)


def _rows(record: Record, metrics: Collection[str], training: bool) -> dict[Hashable, Row]:
    rows = (row for row in record["results"] if training or row["point"] != "training")
    return {cell(row): row for row in rows if metric_of(row) in metrics}


def _deviations(one: Row | None, other: Row | None) -> Iterator[Deviation]:
    if one is None or other is None:
        yield Deviation(row_name(one or other or {}), "value", one and one["value"], other and other["value"], math.inf)
        return
    new = dict(_stated(other))
    for name, number in _stated(one):
        again = new.get(name)
        if difference := _difference(name, number, again, one["value"]):
            yield Deviation(row_name(one), name, number, again, difference)


def row_name(row: Mapping[str, Any]) -> str:
    """Return how messages call a row."""
    where = {"curve": f" at NFE {row.get('nfe') or 0:g}", "training": f" at step {row.get('step')}"}
    return f"{row['metric']}{where.get(row['point'], '')}"


def _stated(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a row, and its details but for those that estimate its error."""
    yield from ((name, row.get(name)) for name in OF_ROW)
    yield from ((name, detail) for name, detail in row.get("details", {}).items() if name not in ERRORS)


def _difference(name: str, one: Any, other: Any, value: Any) -> float:
    """Return the relative difference of a field; 0 if it is equal, infinity if both are not numbers."""
    if one == other:
        return 0.0
    try:
        scale = max(abs(one), abs(other))
        if name == "tolerance_difference":  # of two values, which are nearly equal
            scale = max(scale, abs(value))
        difference = abs(one - other) / scale
    except (TypeError, OverflowError):
        return math.inf
    if name == "nfe" and difference <= NFE_TOLERANCE:  # an adaptive solver took another step on another machine
        return 0.0
    return math.inf if math.isnan(difference) else difference


class Reproduction(NamedTuple):
    """How far the records of a folder agree with published records of the same runs.

    Args:
        published: number of published values.
        compared: number of those that were measured again.
        agreeing: number of those that agree.
        missing: metrics of published values that were not measured again.
        absent: published runs without a record here, or whose record lacks a value that it was to measure.
        worst: the largest deviation in units of what it may be, what deviates, and its run.
    """

    published: int
    compared: int
    agreeing: int
    missing: tuple[str, ...]
    absent: tuple[str, ...]
    worst: tuple[float, Deviation | None, str] | None

    def __str__(self) -> str:
        text = (
            f"{self.compared:,} of {self.published:,} published values measured again, {self.agreeing:,} agree "
            f"(within {SHARE:g} standard deviations over seeds, or {TOLERANCE:g} of the value)"
        )
        if self.worst is not None and self.worst[1] is not None:
            text += f"; largest deviation, {self.worst[0]:.2g} of what it may be: {self.worst[2]}, {self.worst[1]}"
        return f"{text}; not measured again: {', '.join(self.missing)}" if self.missing else text


def reproduction(again: Iterable[Record], published: Sequence[Record], seeds: Iterable[Record] = ()) -> Reproduction:
    """Compare records with the published records of the same cells, which may have been trained in other ensembles.

    A value agrees if it and its floor differ by at most `SHARE` of their standard deviation over the published seeds,
    or by the relative `TOLERANCE`, whichever is larger, and if all else that its row states is the same. Details such
    as standard errors follow from the samples and are not compared.

    Args:
        seeds: records of all published seeds, if `published` are only some of them.
    """
    spreads, again = _spreads(seeds or published), list(again)
    known = {same_cell(record["spec"]): record for record in again} | {identity(record): record for record in again}
    values, missing, absent = 0, set(), set()
    found: list[tuple[float, Deviation | None, str]] = []
    for record in published:
        own = known.get(identity(record)) or known.get(same_cell(record["spec"]))
        measured = {cell(row) for row in own["results"]} if own is not None else set()
        deviations = compare(record, own).deviations if own is not None else ()
        for row in (row for row in record["results"] if row["value"] is not None):
            values += 1
            if cell(row) not in measured:
                missing.add(row["metric"])
                if own is None or metric_of(row) in own["spec"]["metrics"]:
                    absent.add(record["labels"]["run"])
                continue
            shares = [
                (_share_of_allowed(each, spreads.get((*_place(record, row), each.field), 0.0)), each)
                for each in deviations
                if each.row == row_name(row) and each.field in OF_ROW
            ]
            share, worst = max(shares, key=lambda each: each[0], default=(0.0, None))
            found.append((share, worst, record["labels"]["run"]))
    agreeing = sum(share <= 1 for share, _, _ in found)
    worst = max(found, key=lambda each: each[0], default=None)
    return Reproduction(values, len(found), agreeing, tuple(sorted(missing)), tuple(sorted(absent)), worst)


def same_cell(spec: Mapping[str, Any]) -> str:
    """Return what a spec shares with those that would give the same values up to rounding.

    A member of an ensemble takes the steps that it would take alone, so the ensemble does not count; nor do metrics.
    """
    return json.dumps({name: part for name, part in spec.items() if name not in ("stack", "metrics")}, sort_keys=True)


def _share_of_allowed(each: Deviation, spread: float) -> float:
    if not math.isfinite(each.relative):
        return math.inf
    scale = max(abs(each.one), abs(each.other))
    allowed = max(TOLERANCE * scale, SHARE * spread)
    return each.relative * scale / allowed if allowed else math.inf


def _spreads(records: Iterable[Record]) -> dict[tuple[Hashable, ...], float]:
    """Return the standard deviations over seeds of the values and the floors of all cells of a table."""
    numbers = defaultdict(list)
    for record in records:
        for row in record["results"]:
            for field in ("value", "floor"):
                if (number := row.get(field)) is not None:
                    numbers[(*_place(record, row), field)].append(number)
    return {place: statistics.stdev(own) for place, own in numbers.items() if len(own) > 1}


def _place(record: Record, row: Mapping[str, Any]) -> tuple[Hashable, ...]:
    """Return what the values of several seeds share."""
    plan = json.dumps(record["spec"]["plan"], sort_keys=True)
    return record["labels"]["model"], record["labels"]["data"], plan, *cell(row)
