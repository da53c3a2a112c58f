"""Values: what tables and charts are made from, one row per measured value, run or failure."""

import logging
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from genbench.analysis.means import half_width
from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.results.frames import cost_of, names_of, protocols
from genbench.runs.record_types import Record, Row

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
    """Of the training steps of its plan, for a value that was measured during training."""
    label: str = ""
    """The label of its model; `model` adds the budget where models of one label differ in it."""


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


OF_ROW = ("metric", "value", "floor", "n", "better", "point", "solver", "nfe", "step", "reason")
"""Fields of `Value` that are those of a row of a record."""

COSTS = {
    "train_seconds": ("training, s", "lower"),
    "steps_per_second": ("steps/s", "higher"),
    "sample_seconds": ("sampling, s", "lower"),
    "peak_mib": ("peak memory, MiB", "lower"),
    "parameters": ("parameters", "lower"),
}
"""Titles and directions of the fields of `Cost` that are shown."""


def read_values(records: Sequence[Record]) -> list[Value]:
    """Return the values of records, without duplicates.

    Raises:
        ConfigError: if a model has two values of one metric for one seed.
    """
    values = all_values(records)
    check_unique(values)
    return values


def all_values(records: Sequence[Record]) -> list[Value]:
    """Return the values of records as they are, without duplicates."""
    return list(
        dict.fromkeys(
            Value(
                run=record["labels"]["run"],
                model=model,
                data=record["labels"]["data"],
                seed=record["spec"]["seed"],
                original=record["provenance"]["data"].get("original", True),
                protocol=protocol,
                half=half_interval(row),
                label=record["labels"]["model"],
                share=_share(row.get("step"), record["spec"]["plan"].get("steps")),
                **{name: cast(Any, row.get(name)) for name in OF_ROW},
            )
            for record, model in zip(records, names_of(records), strict=True)
            for row, protocol in zip(record["results"], protocols(record), strict=True)
        )
    )


def _share(step: float | None, steps: int | None) -> float | None:
    """Return the share of a plan that a step has reached; records of others may state no steps of their plan, or 0."""
    return step / steps if step and steps else None


def half_interval(row: Row | Mapping[str, Any]) -> float | None:
    """Return half the 95 % interval of a row's value from one evaluation, if the row states it or a standard error."""
    details, n = row.get("details") or {}, row.get("n") or 0
    error = details.get("standard_error")
    return details.get("half_interval", half_width(error, int(n)) if error and n > 1 else None)


def check_unique(values: Iterable[Value]) -> None:
    """Raise ConfigError if a model has two values of one metric for one seed."""
    for first, *more in group_by((v for v in values if v.value is not None), _identity).values():
        if more:
            runs = ", ".join(dict.fromkeys(v.run for v in (first, *more)))
            raise ConfigError(
                f"{first.model} on {first.data} has {1 + len(more)} values of {first.metric} for seed {first.seed} "
                f"(runs {runs}): report one suite, or give the models distinct labels"
            )


def without_contradictions(values: Iterable[Value]) -> list[Value]:
    """Leave out each value after another of the same model, metric and seed; warn once for each run if they differ."""
    kept, known, left = [], {}, {}
    for value in values:
        identity = _identity(value)
        if value.value is None:
            kept.append(value)
        elif identity not in known:
            kept.append(value)
            known[identity] = value.value
        elif value.value != known[identity]:
            left.setdefault(value.run, value)
    for v in left.values():
        log.warning("%s contradicts an earlier value of %s for %s on %s, seed %d; what came later is left out",
                    v.run, v.metric, v.model, v.data, v.seed)  # fmt: skip
    return kept


def read_costs(records: Sequence[Record]) -> list[Cost]:
    """Return the costs of the runs that have them; a prerequisite, which is only trained, is not listed."""
    costs = []
    for record, model in zip(records, names_of(records), strict=True):
        if record["results"] and (spent := cost_of(record)):
            labels, seed = record["labels"], record["spec"]["seed"]
            known: list[Any] = [spent.get(name) for name in Cost._fields[4:]]
            costs.append(Cost(labels["run"], model, labels["data"], seed, *known))
    return costs


def headline_metric(data: str, values: Sequence[Value]) -> str:
    """Return the metric by which methods are compared on a data set: the one that it declares.

    If that was not measured, one that represents quality: with a floor and a direction, always positive, along the
    curve if there is one; empty if there is none.
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


def _identity(value: Value) -> tuple:
    """Return what identifies a value; the solver is part of it along a curve, but a choice of the model otherwise."""
    place = {"curve": (value.solver, value.nfe), "training": (value.step,)}.get(value.point, ())
    return (value.model, value.data, value.seed, value.metric, value.protocol, value.n, value.point, *place)
