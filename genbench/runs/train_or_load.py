"""What a run trains: built, then loaded from the store, or trained and saved."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import cast

import torch

from genbench.core import Data, Model, Trainable
from genbench.models.build import build_encoder, build_model
from genbench.runs import provenance
from genbench.runs.monitoring.callbacks import TrainingEvaluation
from genbench.runs.record import Misfiled
from genbench.runs.spec import Spec, plan_of
from genbench.runs.store import Store
from genbench.runs.weights_file import restore_weights
from genbench.seeds import derive
from genbench.storage import files
from genbench.storage.files import Damaged
from genbench.training import checkpoint
from genbench.training.ensemble import Ensemble
from genbench.training.loop import Progress, fit
from genbench.training.plan import Plan
from genbench.training.process_group import Group

log = logging.getLogger("genbench")


def build_untrained(spec: Spec, data: Data) -> Trainable:
    """Build what a spec trains, with its initial weights.

    Raises:
        Unsupported: if the model is incompatible with the data.
    """
    if spec.kind == "encoder":
        return build_encoder(spec.model, data.event)
    torch.manual_seed(derive(spec.seed, "initialisation"))
    return build_model(spec.model, spec.encoder, data)


def take_weights(model: Trainable, spec: Spec, held: Store) -> dict[str, float] | None:
    """Load the kept weights of a run into a model, and return the cost of its training; None if they are not kept.

    Damaged weights are reported and removed: trained again they will be the same. Weights of another run are set aside.
    """
    path = held.weights_path(spec)
    try:
        return restore_weights(model, path, spec)
    except Misfiled as error:
        with suppress(FileNotFoundError):  # another process of the group was first
            path.replace(path.with_name(f"misfiled-{path.name}"))
        log.warning("%s; it is kept as misfiled-%s, and this run is trained again", error, path.name)
    except Damaged as error:
        files.discard(path)
        log.warning("%s; it is trained again", error)
    return None


def fit_and_save(
    specs: Sequence[Spec],
    trained: Sequence[Trainable],
    stores: Sequence[Store],
    data: Data,
    group: Group,
    progress: Sequence[Progress],
    spent: Mapping[str, float] = MappingProxyType({}),
) -> list[str | None]:
    """Train one model or encoder, or several models as an ensemble, and save their weights.

    Args:
        specs: what to train; they share data and plan.
        trained: built by `build_untrained` for each spec; modified in place.
        group: the processes that share each batch.
        spent: the cost of prerequisites, saved with the cost of training.

    Returns:
        Why the training of each spec failed; None if it did not.

    Raises:
        RunFailed: if all of them failed.
    """
    learner = trained[0] if len(trained) == 1 else Ensemble(cast(Sequence[Model], trained), [s.seed for s in specs])
    run = "+".join(spec.train_key for spec in specs)
    folders = [store.folder(spec) for store, spec in zip(stores, specs, strict=True)]
    evaluations = [
        TrainingEvaluation(store.record_path(spec).parent / "steps", spec, model, data, group)
        for store, spec, model in zip(stores, specs, trained, strict=True)
        if isinstance(model, Model)
    ]

    def evaluate(step: int) -> float | None:
        losses = [evaluation(step) for evaluation in evaluations]
        return losses[0]

    seconds, reasons = 0.0, cast(list[str | None], [None] * len(specs))
    with provenance.Meter(group.device) as meter:
        for stage in learner.stages():
            places = [folder / stage.name for folder in folders]
            seconds += checkpoint.elapsed(places[0] / checkpoint.NAME)
            fit(
                stage.learner,
                data,
                plan_of(specs[0]) if stage.plan is None else Plan(**stage.plan),
                group,
                seed=derive(specs[0].seed, specs[0].kind, stage.name) if stage.name else specs[0].seed,
                folder=places,
                run=f"{run} {stage.name}".rstrip(),
                progress=[with_prefix(callback, stage.name) for callback in progress],
                evaluate=evaluate if evaluations else None,
            )
            reasons = list(stage.learner.reasons)
    seconds += meter.seconds - sum(evaluation.seconds for evaluation in evaluations)
    cost = {"train_seconds": seconds / len(specs), "train_peak_mib": meter.peak_mib, **spent}
    if spent:
        cost["total_train_seconds"] = cost["train_seconds"] + sum(v for n, v in spent.items() if n.endswith("_seconds"))
    plan = plan_of(specs[0])
    if plan.stop == "validation" and plan.steps:
        cost["kept_step"] = float(evaluations[0].best_step())
    if group.is_first:
        # The first spec comes last, because its folder contains the checkpoint, which is needed until all are saved.
        for spec, model, store, reason in reversed(list(zip(specs, trained, stores, reasons, strict=True))):
            if reason is not None:
                store.write_failure(spec, reason)
            elif not store.has_weights(spec):
                store.save_model(spec, model.state_dict(), cost)
        stores[0].drop_checkpoints(specs[0])
    group.barrier()
    return reasons


def with_prefix(progress: Progress, prefix: str) -> Progress:
    """Return a progress callback that puts a prefix before the names of logged scalars."""
    if not prefix:
        return progress

    def prefixed(step: int, steps: int, logs: dict[str, float]) -> None:
        progress(step, steps, {f"{prefix} {name}": value for name, value in logs.items()})

    return prefixed
