"""Verifying: whether kept files are undamaged, and whether kept values can be measured again."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from threadpoolctl import threadpool_limits

from genbench.errors import ConfigError
from genbench.metrics.measurement import evaluate
from genbench.models.build import build_model
from genbench.runs.record import Record, read_kept
from genbench.runs.spec import Spec, build_data, plan_of, restore, sampling_of
from genbench.runs.store import Store, read_weights, restore_weights
from genbench.settings import settings_in
from genbench.storage import files, tensors
from genbench.storage.files import Damaged
from genbench.training import checkpoint


class Checked(NamedTuple):
    """The state of the files of a results folder.

    Args:
        records: number of undamaged records with results.
        prerequisites: number of undamaged records of models that were only trained.
        damaged: a line on each damaged file.
    """

    records: int
    prerequisites: int
    damaged: list[str]


class Remeasured(NamedTuple):
    """The values of one record, measured again.

    Args:
        path: of the record.
        values: number of values measured again.
        worst: largest relative difference.
        metric: the metric with that difference.
    """

    path: Path
    values: int
    worst: float
    metric: str


def check(store: Store) -> Checked:
    """Read every record, weights file and checkpoint."""
    damaged, results = [], []
    for path in store.record_paths():
        try:
            results.append(bool(read_kept(path)["results"]))
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
        spec = restore(record["spec"])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return _compare(path, record, measure_again(path, spec))


def measure_again(path: Path, spec: Spec) -> list[dict[str, Any]]:
    """Return the rows that the kept weights of a record give.

    Raises:
        ConfigError: if its weights are not kept.
        Damaged: if they are damaged, or belong to another run.
    """
    # A prerequisite is only trained.
    return _measure(spec, path.parents[1] / "model.safetensors") if spec.metrics else []


def _measure(spec: Spec, weights: Path) -> list[dict[str, Any]]:
    torch.set_num_threads(plan_of(spec).threads)
    data = build_data(spec.data)
    model = build_model(spec.model, spec.encoder, data)
    if restore_weights(model, weights, spec) is None:
        raise ConfigError(f"{weights.parent} holds no model.safetensors")
    chosen = {name: settings_in(component) for name, component in spec.metrics.items()}
    with threadpool_limits(plan_of(spec).threads, user_api="blas"):
        rows, _ = evaluate(model.eval(), data, chosen, sample=spec.sample, sampling=sampling_of(spec), seed=spec.seed)
    return rows


def _compare(path: Path, record: Record, rows: list[dict[str, Any]]) -> Remeasured:
    def key(row: Any) -> tuple:
        # The NFE of an adaptive solver may differ between machines, so only on a curve does it identify a row.
        return row["metric"], row["point"], row["nfe"] if row["point"] == "curve" else None

    values = {key(row): row["value"] for row in rows}
    compared, worst, metric = 0, 0.0, ""
    for row in record["results"]:
        again, kept = values.get(key(row)), row["value"]
        if key(row) not in values or (again is None and kept is None):
            continue
        compared += 1
        off = abs(again - kept) / max(abs(kept), 1e-12) if again is not None and kept is not None else float("inf")
        if off > worst:
            worst, metric = off, row["metric"]
    return Remeasured(path, compared, worst, metric)
