"""Teaching: a model that learns from another one's samples has that one trained first, as a run of its own."""

import logging
import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import cast

from genbench.core import Data, Model
from genbench.errors import RunFailed
from genbench.models.flow_matching.model import FlowMatching
from genbench.models.flow_matching.reflow import Pool, Reflow
from genbench.models.latent.model import Latent
from genbench.runs.encoders import pretrain
from genbench.runs.spec import Spec
from genbench.runs.store import Store
from genbench.runs.train import fresh, kept_weights, train
from genbench.seeds import derive
from genbench.storage import tensors
from genbench.storage.files import Damaged
from genbench.training.fabric import Fabric
from genbench.training.loop import Progress

log = logging.getLogger("genbench")

KEPT = "pairs.checkpoint.safetensors"
"""Beside the checkpoints of a run that learns from pairs, and dropped with them once its weights are kept."""

SPENT = ("teacher_steps", "teacher_seconds", "pairs", "pair_evaluations", "pair_seconds")
"""What a teacher and its pairs cost: evaluations of its network are counted, of all pairs together."""


def teach(
    model: Model, spec: Spec, store: Store, data: Data, fabric: Fabric, progress: Progress
) -> Mapping[str, float]:
    """Give a model the pairs of its teacher, if it has one, and return what they cost.

    The teacher is the run of its own spec: one that is kept is taken, and one that has to be trained is kept.

    Args:
        model: of the spec, not trained yet.
        spec: names the teacher, or none.
        store: in which the run of the spec may be written.
        data: the task.
        fabric: launched.
        progress: told about the teacher's training.

    Raises:
        RunFailed: if the teacher cannot be trained, or its samples are not finite.
    """
    pupil = inner(model)
    if spec.teacher is None or not isinstance(pupil, Reflow):
        return {}
    path = store.folder(spec) / KEPT
    try:
        state, header = tensors.load(path, SPENT)
    except (FileNotFoundError, Damaged) as error:
        if isinstance(error, Damaged):
            log.warning("%s; the pairs are made again", error)
        teacher, seconds = _trained(spec.teacher, replace(store, lease_path=None), data, fabric, progress)
        began = time.monotonic()
        pool = pupil.pairs(cast(FlowMatching, inner(teacher)), data, derive(spec.seed, "pairs"), pupil.count)
        values = (spec.plan["steps"], seconds, pool.size, pool.evaluations, time.monotonic() - began)
        spent: dict[str, float] = dict(zip(SPENT, map(float, values), strict=True))
        pupil.learn(pool)
        if fabric.is_global_zero:
            tensors.save(path, {"x": pool.x, "label": pool.label}, {n: str(value) for n, value in spent.items()})
    else:
        spent = {name: float(value) for name, value in header.items()}
        pupil.learn(Pool(state["x"], state["label"], spent["pair_evaluations"]))
    return spent


def inner(model: Model) -> Model:
    """Return the model that works on latents, or else the model itself."""
    return model.model if isinstance(model, Latent) else model


def _trained(spec: Spec, store: Store, data: Data, fabric: Fabric, progress: Progress) -> tuple[Model, float]:
    """Return a teacher, trained, and the seconds that its training took."""

    def told(step: int, steps: int, logs: dict[str, float]) -> None:
        progress(step, steps, {f"teacher {name}": value for name, value in logs.items()})

    with store.hold(spec, math.inf) if fabric.is_global_zero else nullcontext(store) as held:
        model = fresh(spec, data)
        kept = fabric.broadcast(kept_weights(held.folder(spec) / "model.safetensors"))
        if kept is not None:
            state, cost = kept
            model.load_state_dict(state)
        else:
            if isinstance(model, Latent):
                pretrain(model.encoder, spec.encoder_key, data, fabric, progress)
            done = train([spec], [model], [held], data, fabric, [told])
            if done.reasons[0] is not None:
                raise RunFailed(f"the teacher, {spec.model_label}: {done.reasons[0]}")
            cost = done.cost
    return model.eval().to(fabric.device), cost["train_seconds"]
