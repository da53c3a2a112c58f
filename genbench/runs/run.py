"""Runs: from a spec to its record, doing only what is missing."""

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from genbench.core import Data
from genbench.errors import ConfigError, RunFailed, Unsupported
from genbench.metrics.image.feature_sets import check_features
from genbench.metrics.measurement import evaluate, unsupported
from genbench.models.latent.model import Latent
from genbench.registry import metrics
from genbench.runs import provenance
from genbench.runs.callbacks import Midway
from genbench.runs.encoders import pretrain
from genbench.runs.image_grids import keep_samples
from genbench.runs.record import Record, Row
from genbench.runs.spec import Spec, build_data, plan_of, sampling_of
from genbench.runs.store import Store, missing_metrics
from genbench.runs.teachers import teach
from genbench.runs.train import fresh, full_reason, kept_weights, train_stack
from genbench.runs.train import train as fit_models
from genbench.runs.versions import sources_of
from genbench.settings import check_paths, settings_in
from genbench.storage import files
from genbench.training.fabric import Fabric, launch
from genbench.training.loop import Progress, fabric_of, no_progress
from genbench.training.plan import Plan


def run(
    spec: Spec,
    store: Store,
    *,
    progress: Progress = no_progress,
    accelerator: str = "auto",
    devices: int = 1,
    train: bool = True,
    wait: float = math.inf,
    again: Collection[str] = (),
) -> Record:
    """Train, sample and measure what the store does not have yet, and return the record.

    Args:
        spec: what to run.
        store: where it is kept.
        progress: told about training.
        accelerator: auto, cpu or cuda.
        devices: number of processes that share the batch.
        train: False refuses to train: the model must be kept.
        wait: seconds to wait for another process that is at the same run.
        again: metrics to try again where they had no value: what they lacked may be here now.

    Raises:
        RunFailed: if training or a metric failed; the reason is kept beside the log, and no record is written.
        ConfigError: if `train` is False and the model is not kept.
        Busy: if another process is at the same run for longer than that.
    """
    kept = store.record(spec)
    if kept is not None and not _wanted(kept, spec, again):
        return kept
    if spec.stack is not None and train and kept_weights(store.folder(spec) / "model.safetensors") is None:
        if devices > 1:
            raise ConfigError("a stack is trained by one process: leave --devices out")
        failed = train_stack(spec, store, {spec.train_key: progress}, accelerator=accelerator, wait=wait)
        if spec.train_key in failed:
            raise RunFailed(failed[spec.train_key])
    plan = plan_of(spec)
    fabric = fabric_of(plan, accelerator, devices)
    launch(fabric)
    with store.hold(spec, wait) if fabric.is_global_zero else nullcontext(store) as held:
        kept = held.record(spec)
        wanted = fabric.broadcast(_wanted(kept, spec, again))
        if kept is not None and not wanted:
            return kept
        try:
            # Sums of many threads round otherwise: the plan says how many there are, not the machine.
            with threadpool_limits(plan.threads, user_api="blas"):
                return _run(spec, held, kept, wanted, progress, plan, fabric, train)
        except ConfigError:  # the request was wrong, the run did not fail
            raise
        except Exception as error:
            held.write_failure(spec, full_reason(error))
            raise


def _run(
    spec: Spec,
    store: Store,
    kept: Record | None,
    wanted: Mapping[str, Mapping],
    progress: Progress,
    plan: Plan,
    fabric: Fabric,
    train: bool,
) -> Record:
    data = build_data(spec.data)
    torch.set_num_threads(plan.threads)
    try:
        model = fresh(spec, data)
    except Unsupported as reason:
        rows = [row for name in wanted for row in unsupported(name, str(reason))]
        record = _record(spec, store, data, merge_rows(kept, rows, wanted), {}, fabric.device)
        if fabric.is_global_zero:
            store.write_record(spec, record)
        return record
    loaded = kept_weights(store.folder(spec) / "model.safetensors", train)
    for name, part in wanted.items():
        check_paths(metrics[name].build, settings_in(part), name)
        check_features(data, settings_in(part))
    if loaded is not None:
        state, train_cost = loaded
        model.load_state_dict(state)
        model.eval().to(fabric.device)
        if fabric.is_global_zero:
            store.drop_checkpoints(spec)
    elif train and spec.stack is None:
        if isinstance(model, Latent):  # a checkpoint holds its encoder too, but may turn out to be damaged
            pretrain(model.encoder, spec.encoder_key, data, fabric, progress)
        spent = teach(model, spec, store, data, fabric, progress)
        train_cost = fit_models([spec], [model], [store], data, fabric, [progress], spent).cost
    else:
        raise ConfigError(f"{files.shown(store.folder(spec))} holds no model.safetensors; run it again to train it")
    record = {}
    if fabric.is_global_zero:
        with provenance.Meter(fabric.device) as meter:
            chosen = {name: settings_in(part) for name, part in wanted.items()}
            rows, main = evaluate(model, data, chosen, sample=spec.sample, sampling=sampling_of(spec), seed=spec.seed)
        earlier = kept["provenance"]["cost"].get("evaluate_seconds", 0.0) if kept is not None else 0.0
        cost = train_cost | {"evaluate_seconds": earlier + meter.seconds, "evaluate_peak_mib": meter.peak_mib}
        cost["sample_seconds"] = main.seconds
        cost["parameters"] = sum(p.numel() for p in model.parameters())
        cost["steps_per_second"] = plan.steps / max(train_cost["train_seconds"], 1e-9)
        rows += Midway(store.record_path(spec).parent / "steps", spec, data).rows(wanted)
        record = _record(spec, store, data, merge_rows(kept, rows, wanted), cost, fabric.device)
        keep_samples(store.record_path(spec).parent, main, data)
        store.write_record(spec, record)
    fabric.barrier()
    return record


def _wanted(kept: Record | None, spec: Spec, again: Collection[str]) -> dict[str, dict[str, Any]]:
    blank = {row["metric"] for row in kept["results"] if row["value"] is None} if kept is not None else set()
    return missing_metrics(kept, spec) | {name: spec.metrics[name] for name in again if name in blank}


def merge_rows(kept: Record | None, rows: Sequence[Any], wanted: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a record with the newly measured metrics in it, in an order free of history."""
    old = [row for row in kept["results"] if row["metric"].partition(".")[0] not in wanted] if kept is not None else []
    points = ("main", "curve", "training")

    def place(row: Row) -> tuple:
        return points.index(row["point"]), row["metric"], row["nfe"] or 0.0, row.get("step", 0)

    return sorted([*old, *rows], key=place)


def _record(
    spec: Spec, store: Store, data: Data, rows: list[Row], cost: Mapping[str, float], device: torch.device
) -> Record:
    kept = store.record(spec)
    metrics = (kept["spec"]["metrics"] if kept is not None else {}) | spec.metrics
    return {
        "labels": {"run": store.folder(spec).name, "model": spec.model_label, "data": spec.data_label},
        "spec": spec.json() | {"metrics": dict(sorted(metrics.items()))},
        "results": rows,
        "provenance": {
            "code": {**provenance.code(), "sources": sources_of(spec.json())},
            "data": dict(data.provenance),
            "machine": provenance.machine(device),
            "cost": {name: round(value, 4) for name, value in cost.items()},
        },
    }
