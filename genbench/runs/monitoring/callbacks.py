"""Evaluation of samples during training."""

import json
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from genbench.core import Data, Model
from genbench.errors import RunFailed
from genbench.metrics.measurement import evaluate
from genbench.registry import metrics
from genbench.runs.monitoring.image_grids import GRID_SIZE, has_images, save_image_grid
from genbench.runs.spec import Spec, sampling_of
from genbench.settings import settings_in
from genbench.storage import files
from genbench.storage.files import Damaged
from genbench.training.group import ALONE, Group


class TrainingEvaluation:
    """Callback that measures the metrics of samples every `plan.eval_every` steps, and draws images at `grid_every`.

    A step is kept as STEP.json and STEP.png, or as the image alone. A step that an interrupted run has kept is not
    evaluated again: the result would be the same.

    Args:
        spec: describes how samples are drawn, and which metrics there are.
        group: processes that share the work; the first one writes the files.
    """

    def __init__(self, folder: Path, spec: Spec, model: Model, data: Data, group: Group = ALONE) -> None:
        self.folder, self.spec, self.model, self.data, self.group = folder, spec, model, data, group
        self.seconds = 0.0
        """Time that evaluation took, which is not training time."""

    def __call__(self, step: int) -> None:
        """Evaluate the model after this many steps."""
        eval_every = self.spec.plan["eval_every"]
        measures = bool(eval_every) and step % eval_every == 0
        path = self.folder / f"{step}.{'json' if measures else 'png'}"
        if self.group.broadcast(path.exists()) or not (measures or has_images(self.data)):
            return
        began = time.monotonic()
        files.make(self.folder.parent)
        chosen, sampling = {}, replace(sampling_of(self.spec), curve=())
        if measures:
            of_samples = [name for name in self.spec.metrics if metrics[name].traits["of"] == "samples"]
            chosen = {name: settings_in(self.spec.metrics[name]) for name in of_samples}
        else:
            sampling = replace(sampling, n=min(GRID_SIZE, sampling.n))
        spec = self.spec
        rows, main = evaluate(
            self.model, self.data, chosen, sample=spec.sample, sampling=sampling, seed=spec.seed, group=self.group
        )
        if self.group.is_first:
            save_image_grid(path.with_suffix(".png"), main, self.data)
        if measures and self.group.is_first:
            files.write_sealed(path, json.dumps([row | {"point": "training", "step": step} for row in rows]))
        self.seconds += time.monotonic() - began


def read_steps(folder: Path, wanted: Collection[str]) -> list[dict[str, Any]]:
    """Return what was measured of some metrics during training, step by step.

    Raises:
        RunFailed: if a file is damaged. It is removed with the trained weights, so that the next attempt repeats it.
    """
    paths = sorted(folder.glob("*.json"), key=lambda path: int(path.stem))
    rows = [row for path in paths for row in _read_step(path)]
    return [row for row in rows if row["metric"].partition(".")[0] in wanted]


def _read_step(path: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(files.read_sealed(path))
    except Damaged as error:
        path.unlink()
        (path.parents[2] / "model.safetensors").unlink(missing_ok=True)
        raise RunFailed(f"{error}; the next attempt trains and measures it again") from error
