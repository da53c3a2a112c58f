"""Values: the rows of tables and charts, one for each measured value, run or failure of a suite."""

import hashlib
import json
import logging
import math
import re
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from genbench.analysis.means import half_width
from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.results.comparing import agree
from genbench.results.frames import DEFAULT_END, TUNED_END, names_of, protocols, tables_of
from genbench.results.names import metric_names
from genbench.results.reader import Run, read_groups
from genbench.runs.record import failure_line
from genbench.runs.record_types import Record, Row
from genbench.runs.store import Store

log = logging.getLogger("genbench")

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
    half: float | None = None
    """Half the 95 % interval of this evaluation, over its samples, test points or paths."""
    share: float | None = None
    """Share of the plan's training steps, for a value that was measured during training."""
    budget: int | None = None
    """Training steps, for a track with several budgets: its tables never compare values of two budgets."""
    tables: frozenset[str] = frozenset()
    """The tables of a track with the run, "default" and "tuned", which are compared apart; empty outside of tracks."""


OF_ROW = ("metric", "value", "floor", "n", "better", "point", "solver", "nfe", "step", "reason")
"""Fields of a value that are copied from its row in a record."""


class Failure(NamedTuple):
    """A failed run."""

    model: str
    data: str
    seed: int
    reason: str
    steps: int | None = None
    tables: frozenset[str] = frozenset()


def read_values(records: Sequence[Record], failed: Sequence[Record] = ()) -> list[Value]:
    """Return each value of the records once.

    If a model has two values of a metric for one seed, the first is returned. If they differ by more than rounding, or
    by more than a tenth if the runs were trained in ensembles of other members, a warning names both runs.

    Args:
        failed: records of failed runs in the same tables, whose settings count for the names of models.
    """
    kept: dict[tuple, Value] = {}
    contradictory: dict[str, tuple[Value, Value]] = {}
    ensembles: dict[str, Any] = {}
    shown = metric_names({row["metric"] for record in records for row in record["results"]})
    several = _has_budgets(records)
    for record, model in zip(records, names_of([*records, *failed]), strict=False):
        labels, spec = record["labels"], record["spec"]
        ensembles[labels["run"]] = spec.get("stack")
        original, steps = record["provenance"]["data"].get("original", True), spec["plan"].get("steps")
        for row, protocol in zip(record["results"], protocols(record), strict=True):
            step = row.get("step")
            own: dict[str, Any] = {name: row.get(name) for name in OF_ROW} | {"metric": shown[row["metric"]]}
            value = Value(
                **own,
                run=labels["run"],
                model=model,
                data=labels["data"],
                seed=spec["seed"],
                protocol=protocol,
                original=original,
                half=half_interval(row),
                share=step / steps if step and steps else None,  # records of others may state no steps, or 0
                budget=steps or None if several else None,  # a model without training stands at every budget
                tables=tables_of(record),
            )
            first = kept.setdefault(value if value.value is None else _identity(value), value)
            others = ensembles[first.run] != ensembles[value.run]
            if not (agree(value.metric, first.value, value.value) or (others and _close(first.value, value.value))):
                contradictory.setdefault(value.run, (first, value))
    for first, later in contradictory.values():
        where = f"{later.metric} of {later.model} on {later.data}, seed {later.seed}"
        text = "%s contradicts %s: %s is %g, not %g; the later value is left out"
        log.warning(text, later.run, first.run, where, later.value, first.value)
    return list(kept.values())


def _close(one: float | None, other: float | None) -> bool:
    """Return whether two values may come from models that rounding drove apart while they trained."""
    return one is not None and other is not None and math.isclose(one, other, rel_tol=0.1)


def _has_budgets(records: Sequence[Record]) -> bool:
    """Return whether the records belong to a track that trains a model for several numbers of steps."""
    lengths: dict[tuple[str, str], set[int]] = {}
    for record in records:
        if "track" in record:
            place = record["labels"]["model"], record["labels"]["data"]
            lengths.setdefault(place, set()).add(record["spec"]["plan"].get("steps", 0))
    return any(len(steps) > 1 for steps in lengths.values())


def half_interval(row: Row | Mapping[str, Any]) -> float | None:
    """Return the 95 % CI half-width of a row's value over one evaluation, if the row has it or a standard error."""
    details, n = row.get("details") or {}, row.get("n") or 0
    error = details.get("standard_error")
    return details.get("half_interval", half_width(error, int(n)) if error and n > 1 else None)


def read_failures(records: Sequence[Record], failed: Sequence[Record]) -> list[Failure]:
    """Return the failed runs, named as `read_values` names the records in the same tables."""
    failures = []
    for record, model in zip(failed, names_of([*records, *failed])[len(records) :], strict=True):
        data, spec, reason = record["labels"]["data"], record["spec"], failure_line(record)
        failures.append(Failure(model, data, spec["seed"], reason, spec["plan"].get("steps"), tables_of(record)))
    return failures


def headline_metric(data: str, values: Sequence[Value]) -> str:
    """Return the metric by which methods are compared on a data set: the headline metric that the data set declares.

    If the declared metric was not measured, return a positive metric with a floor and a direction, preferably one that
    was also measured along the curve. Return an empty string if no metric qualifies.
    """
    main = group_by([v for v in values if v.point == "main" and v.value is not None], lambda v: v.metric)
    try:
        declared = datasets[data].traits.get("headline", "")
    except ConfigError:  # of a package that is not installed here
        declared = ""
    if declared in main:
        return declared
    curve = {v.metric for v in values if v.point == "curve" and v.value is not None}
    candidates = [
        metric
        for metric, rows in main.items()
        if rows[0].better in ("lower", "higher")
        and all((v.floor or 0) > 0 and (v.value or 0) > 0 for v in rows)
        and len({(v.protocol, v.n) for v in rows}) == 1
    ]
    return min(candidates, key=lambda metric: metric not in curve, default="")


def stated_protocol(value: Value) -> str:
    """Return how a value was measured, with its number of samples."""
    protocol = value.protocol or "no protocol was recorded"
    stated = value.n is None or re.search(rf"\bn ?= ?{value.n:g}\b", protocol)
    return protocol if stated else f"{protocol}; n = {value.n:g}"


def group_by(rows: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    """Group rows by a key, in order of appearance."""
    groups: dict[Hashable, list[T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def by_model(rows: Iterable[T]) -> Iterable[tuple[str, list[T]]]:
    """Return (model, rows) pairs of rows that have a model, in order of appearance."""
    return group_by(rows, lambda row: row.model).items()  # type: ignore[attr-defined]


def by_budget(
    values: Sequence[Value], failures: Sequence[Failure]
) -> list[tuple[str, Sequence[Value], Sequence[Failure]]]:
    """Split values and failures by the budgets of a track; values without a budget belong to each.

    A budget with runs that only the table of tuned settings has is split again: first the default settings, then the
    tuned ones. Runs with default settings that tuning chose are in both parts; in the second one, their names say so.
    If any budget is split, the words of each budget state its settings.

    Returns:
        (words for the title, values, failures) of each part; the words are empty and nothing is split without one.
    """
    parts, tuned = [], any(each.tables == {"tuned"} for each in (*values, *failures))
    for steps in sorted({v.budget for v in values if v.budget is not None}) or [None]:
        own = values if steps is None else [v for v in values if v.budget in (steps, None)]
        failed = failures if steps is None else [f for f in failures if f.steps in (steps, 0)]
        words = "" if steps is None else f", {steps:,} steps"
        split = any(each.tables == {"tuned"} for each in (*own, *failed))
        for table in ("default", "tuned") if split else ("default",) if tuned else ("",):
            title = f"{words}, {table} settings" if table else words
            there, lost = (
                [
                    each._replace(model=_shown(each, table, steps))
                    for each in part
                    if not table or not each.tables or table in each.tables
                ]
                for part in (own, failed)
            )
            parts.append((title, there, lost))
    return parts


def _shown(each: Value | Failure, table: str, steps: int | None) -> str:
    """Return the name of a row, without the words that the title of its table has."""
    name = re.sub(rf" (plan\.)?steps={steps}$", "", each.model.removesuffix(TUNED_END))
    return name + (DEFAULT_END if table == "tuned" and "default" in each.tables else "")


def _identity(value: Value) -> tuple:
    """Return what identifies a value; the solver is part of it along a curve, but a choice of the model otherwise."""
    place = {"curve": (value.solver, value.nfe), "training": (value.step,)}.get(value.point, ())
    return (value.model, value.data, value.seed, value.metric, value.protocol, value.n, value.point, *place)


@dataclass(frozen=True)
class SuiteResults:
    """The results of a suite.

    Args:
        runs: without outdated ones.
        failed: records of failed runs.
    """

    name: str
    runs: tuple[Run, ...]
    failed: tuple[Record, ...]

    @cached_property
    def values(self) -> list[Value]:
        return read_values([run.record for run in self.runs], self.failed)

    @cached_property
    def failures(self) -> list[Failure]:
        return read_failures([run.record for run in self.runs], self.failed)


def load_suites(store: Store, only: Collection[str] = ()) -> list[SuiteResults]:
    """Read the suites of a results folder, then its other runs. See `genbench.results.reader.read_groups`."""
    return [SuiteResults(group.name, group.runs, group.failures) for group in read_groups(store, only)]


def headlines(suites: Iterable[SuiteResults]) -> dict[str, str]:
    """Return {data set: the metric by which its models are compared}."""
    suites = list(suites)
    names = {run.data: run.record["spec"]["data"]["name"] for suite in suites for run in suite.runs}
    values = group_by((value for suite in suites for value in suite.values), lambda value: value.data)
    return {data: headline_metric(name, values[data]) for data, name in names.items()}


def digest(*parts: Any) -> str:
    """Return a short hash of plain JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
