"""Build what a run trains; then load its weights, or train it, from its checkpoint if a killed sweep left one."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, cast

import torch

from genbench.core import Data, Learner, Model, Trainable
from genbench.errors import RunFailed
from genbench.models.build import build_encoder, build_model
from genbench.runs import provenance
from genbench.runs.monitoring.callbacks import TrainingEvaluation
from genbench.runs.record import Misfiled
from genbench.runs.record_types import Origin
from genbench.runs.spec import Spec, plan_of
from genbench.runs.store import Store
from genbench.runs.weights_file import restore_weights
from genbench.seeds import derive
from genbench.storage import files
from genbench.storage.files import Damaged
from genbench.training import checkpoint
from genbench.training.ensemble import Ensemble
from genbench.training.loop import Progress, fit, no_progress
from genbench.training.plan import Plan, training_version
from genbench.training.process_group import Group
from genbench.training.step import Clock

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


def take_weights(model: Trainable, spec: Spec, held: Store) -> Origin | None:
    """Load the saved weights of a run into a model, and return the origin of training; None if there are none.

    Damaged weights are reported and removed, because training again gives the same weights. Weights of another run are
    set aside.
    """
    path = held.weights_path(spec)
    if not held.has_weights(spec):
        return None
    try:
        return restore_weights(model, path, spec)
    except Misfiled as error:
        log.warning("%s; this run is trained again", error)
        with suppress(FileNotFoundError):  # another process of the group has removed it
            files.set_aside(path)
    except Damaged as error:
        path.unlink(missing_ok=True)
        log.warning("%s; it is trained again", error)
    return None


class Member(NamedTuple):
    """A run that is being trained, alone or in an ensemble.

    Args:
        model: the model from `build_untrained`, which training modifies in place.
        store: holds the lease of the run.
    """

    spec: Spec
    model: Trainable
    store: Store
    progress: Progress = no_progress


def fit_and_save(
    members: Sequence[Member], data: Data, group: Group, spent: Mapping[str, float] = MappingProxyType({})
) -> list[str | None]:
    """Train one model or encoder, or several models as an ensemble, and save their weights.

    Args:
        members: what to train; they share data and plan.
        group: the processes that share each batch.
        spent: the cost of prerequisites, saved with the cost of training.

    Returns:
        Why the training of each member failed; None if it did not.

    Raises:
        RunFailed: if all members failed.
    """
    first, plan = members[0].spec, plan_of(members[0].spec)
    learner = members[0].model
    if len(members) > 1:
        models = [cast(Model, member.model) for member in members]
        learner = Ensemble(models, [member.spec.seed for member in members])
    run = "+".join(member.spec.train_key for member in members)
    folders = [member.store.folder(member.spec) for member in members]
    evaluations = [
        TrainingEvaluation(m.store.record_path(m.spec).parent / "steps", m.spec, m.model, data, group)
        for m in members
        if isinstance(m.model, Model)
    ]
    if not list(folders[0].rglob(f"*{checkpoint.NAME}")):
        for evaluation in evaluations:  # this training starts anew
            evaluation.forget_failure()
    noted = [evaluation.noted_failure() for evaluation in evaluations]
    clock, reasons = Clock(), noted or cast(list[str | None], [None] * len(members))
    with provenance.Meter(group.device) as meter:
        for stage in learner.stages():
            fit(
                stage.learner,
                data,
                plan if stage.plan is None else Plan(**stage.plan),
                group,
                seed=derive(first.seed, first.kind, stage.name) if stage.name else first.seed,
                folders=[folder / stage.name for folder in folders],
                run=f"{run} {stage.name}".rstrip(),
                progress=[with_prefix(member.progress, stage.name) for member in members],
                evaluate=partial(_evaluate, evaluations, stage.learner, reasons) if evaluations else None,
                clock=clock,
            )
            _add_reasons(reasons, stage.learner)
    cost = {"train_seconds": clock.seconds / len(members), "train_peak_mib": meter.peak_mib, **spent}
    cost["steps_per_second"] = plan.steps / max(cost["train_seconds"], 1e-9)
    if "pairs" in spent:
        cost["pair_passes"] = plan.steps * plan.batch_size / spent["pairs"]
    if spent:
        cost["total_train_seconds"] = cost["train_seconds"] + sum(v for n, v in spent.items() if n.endswith("_seconds"))
    if plan.stop == "validation" and (best := evaluations[0].best_step()) is not None:
        cost["kept_step"] = float(best)
    if group.is_first:
        # The first member comes last: its folder contains the checkpoint, which is needed until all are saved.
        for member, reason in reversed(list(zip(members, reasons, strict=True))):
            if reason is not None:
                member.store.write_failure(member.spec, reason)
            elif not member.store.has_weights(member.spec):
                cost["parameters"] = sum(parameter.numel() for parameter in member.model.parameters())
                chosen = member.model.chosen if isinstance(member.model, Model) else {}
                training = provenance.origin(group.device, cost | chosen, training=training_version(first.plan))
                member.store.save_model(member.spec, member.model.state_dict(), training)
        checkpoint.drop(folders[0])
        for evaluation in evaluations:
            evaluation.forget_failure()
    group.broadcast(None)  # wait until the first has saved
    return reasons


def _evaluate(
    evaluations: Sequence[TrainingEvaluation], learner: Learner, reasons: list[str | None], step: int
) -> float | None:
    """Evaluate the members that have not failed, and return the validation loss of the first.

    A member that cannot be evaluated counts as failed, and its reason is added; training goes on with the others.

    Raises:
        RunFailed: if no member is left to train.
    """
    _add_reasons(reasons, learner)
    losses: list[float | None] = [None] * len(evaluations)
    for i, evaluation in enumerate(evaluations):
        if reasons[i] is None:
            try:
                losses[i] = evaluation(step)
            except RunFailed as error:
                reasons[i] = str(error)
                if None not in reasons:
                    raise RunFailed("; ".join(map(str, reasons))) from error
                evaluations[i].note_failure(str(error))
    return losses[0]


def _add_reasons(reasons: list[str | None], learner: Learner) -> None:
    """Put the reasons why members failed in training before reasons that follow from them."""
    reasons[:] = [why or known for why, known in zip(learner.reasons, reasons, strict=True)]


def with_prefix(progress: Progress, prefix: str) -> Progress:
    """Return a progress callback that puts a prefix before the names of logged scalars."""
    if not prefix:
        return progress

    def prefixed(step: int, steps: int, logs: dict[str, float]) -> None:
        progress(step, steps, {f"{prefix} {name}": value for name, value in logs.items()})

    return prefixed
