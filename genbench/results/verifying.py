"""Verifying: whether kept files hold what was written, and whether kept values can be measured again."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from threadpoolctl import threadpool_limits

from genbench.errors import ConfigError
from genbench.metrics.measurement import evaluate
from genbench.models.build import build_model
from genbench.runs.record import Record, read_record
from genbench.runs.spec import Spec, build_data, plan_of, restore, sampling_of
from genbench.runs.store import WEIGHTS, Store, load_weights
from genbench.settings import settings_in
from genbench.storage import tensors
from genbench.storage.files import Damaged
from genbench.training.checkpoint import FIELDS


class Remeasured(NamedTuple):
    """What became of the values of one record.

    Args:
        path: of the record.
        values: how many were measured again.
        worst: the largest relative difference of one of them.
        metric: of that one.
    """

    path: Path
    values: int
    worst: float
    metric: str


def damage(store: Store) -> Iterator[str]:
    """Yield what is wrong with kept records, weights and checkpoints, one line each."""
    for path in store.record_paths():
        try:
            read_record(path)
        except Damaged as error:
            yield str(error)
    for path in sorted(store.runs.glob("*/*.safetensors")):
        try:
            tensors.load(path, FIELDS if path.name.endswith("checkpoint.safetensors") else WEIGHTS)
        except Damaged as error:
            yield str(error)


def sample(store: Store, count: int, seed: int = 0) -> list[Path]:
    """Choose records, at random, whose weights are kept."""
    able = [path for path in store.record_paths() if (path.parents[1] / "model.safetensors").exists()]
    return sorted(random.Random(seed).sample(able, min(count, len(able))))


def remeasure(path: Path) -> Remeasured:
    """Measure again, from the kept weights, what a record says, and return how far the values are off.

    Raises:
        ConfigError: if the record is stale or its weights are not kept.
        Damaged: if one of them is damaged.
    """
    record = read_record(path)
    try:
        spec = restore(record["spec"])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    loaded = load_weights(path.parents[1] / "model.safetensors")
    if loaded is None:
        raise ConfigError(f"{path.parents[1]} holds no model.safetensors")
    with threadpool_limits(plan_of(spec).threads, user_api="blas"):
        rows = _measure(spec, loaded[0])
    return _compare(path, record, rows)


def _measure(spec: Spec, state: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
    torch.set_num_threads(plan_of(spec).threads)
    data = build_data(spec.data)
    model = build_model(spec.model, spec.encoder, data)
    model.load_state_dict(state)
    chosen = {name: settings_in(part) for name, part in spec.metrics.items()}
    rows, _ = evaluate(model.eval(), data, chosen, sample=spec.sample, sampling=sampling_of(spec), seed=spec.seed)
    return rows


def _compare(path: Path, record: Record, rows: list[dict[str, Any]]) -> Remeasured:
    def key(row: Any) -> tuple:
        # An adaptive solver may need other evaluations on another machine, so that its count is no name.
        return row["metric"], row["point"], row["nfe"] if row["point"] == "curve" else None

    again = {key(row): row["value"] for row in rows}
    compared, worst, metric = 0, 0.0, ""
    for row in record["results"]:
        now, then = again.get(key(row)), row["value"]
        if key(row) not in again or (now is None and then is None):
            continue
        compared += 1
        off = abs(now - then) / max(abs(then), 1e-12) if now is not None and then is not None else float("inf")
        if off > worst:
            worst, metric = off, row["metric"]
    return Remeasured(path, compared, worst, metric)
