"""Training of runs: from specs to kept weights, of one model or of a stack of them."""

import logging
import math
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from genbench.core import Data, Model
from genbench.errors import ConfigError, RunFailed, Unsupported
from genbench.models.build import build_model
from genbench.runs import provenance
from genbench.runs.callbacks import Midway
from genbench.runs.spec import Spec, build_data, plan_of
from genbench.runs.store import Store, load_weights, run_name
from genbench.seeds import derive
from genbench.storage import files, lease
from genbench.storage.files import Damaged
from genbench.training import checkpoint
from genbench.training.ensemble import Stack
from genbench.training.fabric import Fabric, launch
from genbench.training.loop import Progress, fabric_of, fit, no_progress

log = logging.getLogger("genbench")


class Trained(NamedTuple):
    """What each of several trained models cost, and why each failed; None where it did not."""

    cost: dict[str, float]
    reasons: Sequence[str | None]


def fresh(spec: Spec, data: Data) -> Model:
    """Build the model of a spec with the weights that training begins with.

    Raises:
        Unsupported: if the model does not go with the data.
    """
    torch.manual_seed(derive(spec.seed, "initialisation"))
    return build_model(spec.model, spec.encoder, data)


def kept_weights(path: Path, train: bool = True) -> tuple[dict[str, Tensor], dict[str, float]] | None:
    """Return kept weights and the cost of training. Damaged ones are reported: trained again they will be the same.

    Raises:
        ConfigError: if they are damaged and are not to be trained again.
    """
    try:
        return load_weights(path)
    except Damaged as error:
        if not train:
            raise ConfigError(f"{error}; run it again to train it") from error
        log.warning("%s; it is trained again", error)
        return None


def train(
    specs: Sequence[Spec],
    models: Sequence[Model],
    stores: Sequence[Store],
    data: Data,
    fabric: Fabric,
    progress: Sequence[Progress],
    spent: Mapping[str, float] = MappingProxyType({}),
) -> Trained:
    """Train one model, or several as a stack, and keep their weights.

    Args:
        specs: what to train; they share data and plan.
        models: of the specs, freshly built; they have the trained weights in the end.
        stores: in which the runs of the specs may be written.
        data: the task.
        fabric: launched.
        progress: told about training.
        spent: what came before, kept with the cost; its seconds go into the total.

    Raises:
        RunFailed: if all failed.
    """
    plan, folders = plan_of(specs[0]), [store.folder(spec) for store, spec in zip(stores, specs, strict=True)]
    midways = [Midway(s.record_path(spec).parent / "steps", spec, data) for s, spec in zip(stores, specs, strict=True)]

    def visit(step: int) -> None:
        for midway, model in zip(midways, models, strict=True):
            midway(step, model)

    learner = models[0] if len(models) == 1 else Stack(models, [spec.seed for spec in specs])
    before = checkpoint.elapsed(folders[0] / "checkpoint.safetensors")
    with provenance.Meter(fabric.device) as meter:
        run = "+".join(spec.train_key for spec in specs)
        fit(learner, data, plan, fabric, seed=specs[0].seed, folder=folders, run=run, progress=progress, evaluate=visit)
    seconds = before + meter.seconds - sum(midway.seconds for midway in midways)
    cost = {"train_seconds": seconds / len(models), "train_peak_mib": meter.peak_mib, **spent}
    if spent:
        cost["total_train_seconds"] = cost["train_seconds"] + sum(v for n, v in spent.items() if n.endswith("_seconds"))
    if fabric.is_global_zero:
        # The first one last, for its folder has the checkpoint: until then it shows the way to the others.
        for spec, model, store, reason in reversed(list(zip(specs, models, stores, learner.reasons, strict=True))):
            if reason is not None:
                store.write_failure(spec, reason)
            elif kept_weights(store.folder(spec) / "model.safetensors") is None:
                store.save_model(spec, model.state_dict(), cost)
        stores[0].drop_checkpoints(specs[0])
    return Trained(cost, learner.reasons)


def train_stack(
    spec: Spec, store: Store, progress: Mapping[str, Progress], *, accelerator: str = "auto", wait: float = math.inf
) -> dict[str, str]:
    """Train the stack of a spec, if its own weights are not kept, and keep those of all members.

    A model that does not go with the data leaves nothing behind.

    Args:
        spec: of any member.
        store: where weights are kept; the checkpoint lies with the first member.
        progress: told about training, by the members' training keys.
        accelerator: auto, cpu or cuda.
        wait: seconds to wait for another process that is at one of the members.

    Returns:
        Why members failed, by their training keys.

    Raises:
        RunFailed: if all of them failed.
        Busy: if another process is at one of them for longer than that.
    """
    specs, plan = spec.members, plan_of(spec)
    fabric = fabric_of(plan, accelerator)
    launch(fabric)
    lease.start_expiry_timers(store.root / "leases", map(run_name, specs))
    with ExitStack() as leases:
        # Everybody takes them in this order, so that nobody waits for somebody who waits for him.
        stores = [leases.enter_context(store.hold(member, wait)) for member in specs]
        if kept_weights(store.folder(spec) / "model.safetensors") is not None:
            return {}
        try:
            with threadpool_limits(plan.threads, user_api="blas"):
                data = build_data(spec.data)
                try:
                    models = [fresh(member, data) for member in specs]
                except Unsupported:  # which the record of each will say
                    return {}
                watching = [progress.get(member.train_key, no_progress) for member in specs]
                trained = train(specs, models, stores, data, fabric, watching)
        except ConfigError:  # the request was wrong, the run did not fail
            raise
        except Exception as error:
            for own, member in zip(stores, specs, strict=True):
                own.write_failure(member, full_reason(error))
            raise
    reasons = zip(specs, trained.reasons, strict=True)
    return {member.train_key: reason for member, reason in reasons if reason is not None}


def reason_of(error: Exception) -> str:
    """Return in one line why something failed."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {files.shown(Path(error.filename))}"
    own = isinstance(error, (RunFailed, ConfigError, OSError))
    return str(error) if own else f"{type(error).__name__}: {str(error).strip() or 'no reason given'}"


def full_reason(error: Exception) -> str:
    """Return what is kept beside a run: a traceback unless the error speaks for itself, for then it is a bug."""
    return reason_of(error) if isinstance(error, (RunFailed, OSError)) else traceback.format_exc()
