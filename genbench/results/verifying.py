"""Verifying: whether kept files are undamaged, and whether kept values can be measured again."""

import math
import random
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from threadpoolctl import threadpool_limits

from genbench.errors import ConfigError
from genbench.metrics.measurement import evaluate
from genbench.models.build import build_model
from genbench.runs.make_spec import restore_spec
from genbench.runs.record import read_kept
from genbench.runs.record_types import Record, Row, cell, metric_of
from genbench.runs.spec import Spec, build_data, plan_of, sampling_of
from genbench.runs.store import Store
from genbench.runs.weights_file import read_weights, restore_weights
from genbench.settings import settings_in
from genbench.storage import files, tensors
from genbench.storage.files import Damaged
from genbench.training import checkpoint

NFE_TOLERANCE = 0.1
"""Relative difference of numbers of evaluations that adaptive solvers may have on two machines."""


class Checked(NamedTuple):
    """The state of the files of a results folder.

    Args:
        prerequisites: number of undamaged records of models that were only trained.
    """

    records: int
    prerequisites: int
    damaged: list[str]


class Remeasured(NamedTuple):
    """The values of one record, measured again.

    Args:
        worst: largest relative difference of anything that a row states.
        metric: the row with the largest difference, and which field differs if it is not the value.
    """

    path: Path
    values: int
    worst: float
    metric: str


class Field(NamedTuple):
    """What a row states, measured again.

    Args:
        name: of the field; empty for the value of the row.
        difference: relative to the larger of both numbers; 0 if they are equal, infinity if one is not a number.
    """

    name: str
    kept: Any
    again: Any
    difference: float


def check(store: Store) -> Checked:
    """Read every record, weights file and checkpoint."""
    damaged, results = [], []
    for path in store.record_paths():
        try:
            record = read_kept(path)
            results.append(bool(record["results"]))
        except Damaged as error:
            damaged.append(str(error))
    damaged += _damaged_tensors(store)
    return Checked(results.count(True), results.count(False), damaged)


def _damaged_tensors(store: Store) -> Iterator[str]:
    for path in sorted(store.runs.glob("*/model.safetensors")):
        try:
            read_weights(path)
        except Damaged as error:
            yield str(error)
    for path in sorted(store.runs.rglob(f"*{checkpoint.NAME}")):
        try:
            _, header = tensors.load(path, checkpoint.FIELDS)
            run = path.relative_to(store.runs).parts[0]
            if not run.endswith(header["run"].partition(" ")[0].partition("+")[0]):
                yield f"{files.shown(path)} belongs to another run, {header['run']}"
        except Damaged as error:
            yield str(error)


def sample(store: Store, count: int, seed: int = 0) -> list[Path]:
    """Select records at random among those whose weights are kept."""
    with_weights = [path for path in store.record_paths() if (path.parents[1] / "model.safetensors").exists()]
    return sorted(random.Random(seed).sample(with_weights, min(count, len(with_weights))))


def remeasure(path: Path) -> Remeasured:
    """Measure the values of a record again from the kept weights, and compare.

    Raises:
        ConfigError: if the record is outdated or its weights are not kept.
        Damaged: if the record or the weights are damaged.
    """
    record = read_kept(path)
    try:
        spec = restore_spec(record["spec"])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return _compare(path, record, spec, measure_again(path, spec))


def measure_again(path: Path, spec: Spec) -> list[dict[str, Any]]:
    """Return the rows that the kept weights of a record give.

    Raises:
        ConfigError: if its weights are not kept.
        Damaged: if they are damaged, or belong to another run.
    """
    if not spec.metrics:  # a prerequisite is only trained
        return []
    weights = path.parents[1] / "model.safetensors"
    torch.set_num_threads(plan_of(spec).threads)
    data = build_data(spec.data)
    model = build_model(spec.model, spec.encoder, data)
    if restore_weights(model, weights, spec) is None:
        raise ConfigError(f"{weights.parent} holds no model.safetensors")
    chosen = {name: settings_in(component) for name, component in spec.metrics.items()}
    with threadpool_limits(plan_of(spec).threads, user_api="blas"):
        rows, _ = evaluate(model.eval(), data, chosen, sample=spec.sample, sampling=sampling_of(spec), seed=spec.seed)
    return rows


def pairs(
    record: Record, again: Iterable[Mapping[str, Any]], measured: Container[str]
) -> Iterator[tuple[Row | Mapping[str, Any] | None, Mapping[str, Any] | None]]:
    """Yield each row of a record with that measured again; None in place of a row that only one of them has.

    Rows during training are left out, whose weights are not kept.

    Args:
        measured: the metrics that were measured again; others are outdated.
    """
    ours = {cell(row): row for row in record["results"] if row["point"] != "training" and metric_of(row) in measured}
    theirs = {cell(row): row for row in again if row["point"] != "training"}
    yield from ((row, theirs.get(key)) for key, row in ours.items())
    yield from ((None, row) for key, row in theirs.items() if key not in ours)


def compare(kept: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[Field]:
    """Compare all that a row states with the same row measured again: value, floor, protocol and every detail.

    A detail that only the new row has is one that earlier versions did not state.
    """
    new = dict(_stated(again))
    for name, one in _stated(kept):
        other = new.get(name)
        yield Field(name, one, other, _difference(name, one, other, kept["value"]))


def _stated(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a row, and its details one by one."""
    yield from (("", row["value"]), ("NFE", row["nfe"]))
    yield from ((name, row.get(name)) for name in ("floor", "better", "protocol", "n", "solver"))
    for name, detail in (row.get("details") or {}).items():
        parts = detail.items() if isinstance(detail, Mapping) else [("", detail)]
        yield from ((f"{name} {part}".rstrip(), number) for part, number in parts)


def _difference(name: str, one: Any, other: Any, value: Any) -> float:
    if one == other:
        return 0.0
    try:
        scale = max(abs(one), abs(other))
        if name == "tolerance_difference":  # of two values, which are nearly equal
            scale = max(scale, abs(value))
        difference = abs(one - other) / scale
    except (TypeError, OverflowError):  # not both are numbers
        return math.inf
    if name == "NFE" and difference <= NFE_TOLERANCE:  # an adaptive solver took another step on another machine
        return 0.0
    return math.inf if math.isnan(difference) else difference


def _compare(path: Path, record: Record, spec: Spec, rows: list[dict[str, Any]]) -> Remeasured:
    compared, worst, metric = 0, 0.0, ""
    for row, again in pairs(record, rows, spec.metrics):
        if row is not None and again is not None and row["value"] is None and again["value"] is None:
            continue
        compared += 1
        name = (row or again or {})["metric"]
        fields = compare(row, again) if row is not None and again is not None else [Field("", row, again, math.inf)]
        for field in fields:
            if field.difference > worst:
                worst, metric = field.difference, f"{name}, {field.name}" if field.name else name
    if record["results"] and not compared:
        raise ConfigError(f"{files.shown(path)} holds no value that can be measured again here")
    return Remeasured(path, compared, worst, metric)
