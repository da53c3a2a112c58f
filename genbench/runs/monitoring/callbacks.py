"""Evaluation of samples during training."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import TypeAdapter

from genbench.core import Data, Model
from genbench.errors import RunFailed
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import evaluate, measure, unsupported
from genbench.registry import metrics
from genbench.runs.make_spec import VALIDATION, bind_metrics
from genbench.runs.monitoring.sample_files import GRID_SIZE, has_images, save_image_grid
from genbench.runs.record_types import Row, metric_of
from genbench.runs.spec import Spec, plan_of, sampling_of
from genbench.seeds import derive
from genbench.settings import settings_in
from genbench.storage import files
from genbench.storage.files import Damaged
from genbench.training.plan import Plan
from genbench.training.process_group import ALONE, Group
from genbench.validation import explain

log = logging.getLogger("genbench")

STEP = TypeAdapter(list[Row])
"""Content of the file of a step of a training."""

FAILED = "failed.txt"
"""File in the folder of steps: why a member of an ensemble that is being trained could not be evaluated."""

LOST = "its file is lost or damaged, or this step was trained for another evaluation"
"""Why a step has no values at all."""

COMPONENT = "component"
"""The field of a saved row that holds the name, version and settings of its metric."""


class TrainingEvaluation:
    """Callback that measures the metrics of samples every `plan.eval_every` steps, and draws images at `grid_every`.

    Every `plan.validate_every` steps, it measures and returns the loss on validation data. The values of a step are
    saved as STEP.json, its images as STEP.png. A resumed run does not evaluate a saved step again, because the result
    would be the same.

    Args:
        spec: describes how samples are drawn, and which metrics there are.
        group: processes that share the work; the first one writes the files.
    """

    def __init__(self, folder: Path, spec: Spec, model: Model, data: Data, group: Group = ALONE) -> None:
        self.folder, self.spec, self.model, self.data, self.group = folder, spec, model, data, group
        # A teacher has no metrics: its plan alone asks for the loss on validation data.
        self.metrics = bind_metrics([VALIDATION], {}, data.event) | spec.metrics

    def __call__(self, step: int) -> float | None:
        """Evaluate the model after this many steps, and return its loss on validation data if that is due.

        Raises:
            RunFailed: if the validation loss is to choose the weights, but the first loss cannot be measured.
        """
        plan = plan_of(self.spec)
        measures, validates = _measures(plan, step), plan.validates_after(step)
        draws = has_images(self.data) and bool(plan.grid_every) and step % plan.grid_every == 0 and step < plan.steps
        path = self.folder / f"{step}.{'json' if measures or validates else 'png'}"
        rows = self.group.broadcast(_kept(path) if self.group.is_first else None)
        if rows is None:
            files.make(self.folder)
            rows = self._validate() if validates else []
            rows += self._sample(path, measures) if measures or draws else []
            if (measures or validates) and self.group.is_first:
                of_step = {"point": "training", "step": step}
                kept = [row | of_step | {COMPONENT: self.metrics[metric_of(row)]} for row in rows]
                files.write_sealed(path, json.dumps(kept), place_of(path))
        loss = next((row for row in rows if row["metric"] == VALIDATION), None)
        if loss is None:
            return None
        # A later step may lack a loss because it is not finite; such a step is not chosen.
        if loss["value"] is None and plan.stop == "validation" and step == min(plan.validate_every, plan.steps):
            raise RunFailed(f"plan.stop=validation cannot choose a step: {loss['reason']}")
        return loss["value"]

    def best_step(self) -> int | None:
        """Return the step with the lowest loss on validation data; None if the file of a step is missing."""
        kept = [_kept(self.folder / f"{step}.json") for step in _measured_steps(self.folder, plan_of(self.spec))]
        if not kept or None in kept:
            return None
        measured = [row for rows in kept for row in rows or () if row["metric"] == VALIDATION]
        return min((row for row in measured if row["value"] is not None), key=lambda row: row["value"])["step"]

    def note_failure(self, reason: str) -> None:
        """Store why the model could not be evaluated, for a resumed training of the other members."""
        files.write_sealed(self.folder / FAILED, reason, place_of(self.folder / FAILED))

    def noted_failure(self) -> str | None:
        """Return why the model could not be evaluated before the training was resumed; None if it could."""
        try:
            return files.read_sealed(self.folder / FAILED, place_of(self.folder / FAILED)).strip()
        except FileNotFoundError:
            return None
        except Damaged as error:
            return str(error)

    def forget_failure(self) -> None:
        """Remove the note of a failure."""
        (self.folder / FAILED).unlink(missing_ok=True)

    def _validate(self) -> list[dict[str, Any]]:
        seed, settings = derive(self.spec.seed, "evaluation"), settings_in(self.metrics[VALIDATION])
        none = torch.empty(0, *self.data.event.shape)
        evaluation = Evaluation(self.data, seed, x=none, model=self.model, batch=sampling_of(self.spec).batch)
        return measure(evaluation, VALIDATION, settings, False)

    def _sample(self, path: Path, measures: bool) -> list[dict[str, Any]]:
        """Draw samples, save them as images, and measure them if that is due."""
        spec, sampling = self.spec, replace(sampling_of(self.spec), curve=())
        of_samples = [name for name in self.metrics if metrics[name].traits["of"] == "samples"] if measures else []
        chosen = {name: settings_in(self.metrics[name]) for name in of_samples}
        if not chosen:
            if not has_images(self.data):
                return []
            sampling = replace(sampling, n=min(GRID_SIZE, sampling.n))
        rows, main = evaluate(
            self.model,
            self.data,
            chosen,
            sample=spec.sample,
            sampling=sampling,
            seed=spec.seed,
            group=self.group,
            errors=False,
        )
        if self.group.is_first:
            save_image_grid(path.with_suffix(".png"), main, self.data)
        return rows


def read_steps(folder: Path, plan: Plan, wanted: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what these metrics, in these versions and with these settings, measured during training, step by step.

    The weights of a step are not saved. A row without a value therefore states why: its metric was added after the
    step, the step was trained for another evaluation, or the file of the step is lost or damaged. If all steps were
    trained for another evaluation, there is no folder, and there are no rows.

    Args:
        wanted: metrics by name.
    """
    rows = []
    for step in _measured_steps(folder, plan):
        found = _kept(folder / f"{step}.json")
        of_wanted = [row for row in found or () if row.pop(COMPONENT) == wanted.get(metric_of(row))]
        due = [name for name in wanted if metrics[name].traits["of"] == "samples"] if _measures(plan, step) else []
        due += [VALIDATION] if VALIDATION in wanted and plan.validates_after(step) else []
        missing = set(due) - {metric_of(row) for row in of_wanted}
        why = LOST if found is None else "it was added or changed later"
        reason = f"not measured after {step} steps: {why}"
        absent = [row for name in sorted(missing) for row in unsupported(name, reason)]
        rows += [*of_wanted, *(row | {"point": "training", "step": step} for row in absent)]
    return rows


def _kept(path: Path) -> list[dict[str, Any]] | None:
    """Return the rows of a step, [] if only its image is saved; None if its file is missing, or damaged (then warn)."""
    try:
        if path.suffix == ".png":
            return [] if path.is_file() else None
        return read_step(path)
    except FileNotFoundError:
        return None
    except Damaged as error:
        log.warning("%s; it is left out", error)
        return None


def _measured_steps(folder: Path, plan: Plan) -> list[int]:
    """Return the steps that have files; none if the weights were trained for another evaluation."""
    if not folder.is_dir() or not (plan.eval_every or plan.validate_every):
        return []
    return [step for step in range(1, plan.steps + 1) if _measures(plan, step) or plan.validates_after(step)]


def _measures(plan: Plan, step: int) -> bool:
    """Return whether metrics of samples are measured after this many steps, before the last one."""
    return bool(plan.eval_every) and step % plan.eval_every == 0 and step < plan.steps


def place_of(path: Path) -> str:
    """Return RUN/EVALUATION/steps/STEP.json of a path, which the checksum of a step's file covers."""
    return "/".join(path.parts[-4:])


def read_step(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a step of a training.

    Raises:
        Damaged: if they are not what was written, or of another step or run.
        FileNotFoundError: if there is no such file.
    """
    text = files.read_sealed(path, place_of(path))
    try:
        rows = STEP.validate_json(text, strict=True)
    except ValueError as error:
        raise Damaged(f"{files.shown(path)} holds no rows: {explain(error)}") from error
    if any(str(row.get("step")) != path.stem or COMPONENT not in row for row in rows):
        raise Damaged(f"{files.shown(path)} belongs to another step")
    return cast(list[dict[str, Any]], rows)
