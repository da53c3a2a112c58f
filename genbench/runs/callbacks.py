"""Midway: what samples are worth, and look like, while a model is still in training."""

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
from genbench.runs.image_grids import PAGE, keep_page, pictured
from genbench.runs.spec import Spec, sampling_of
from genbench.settings import settings_in
from genbench.storage import files
from genbench.storage.files import Damaged


class Midway:
    """Measures the metrics of samples every `plan.eval_every` steps, and draws a page of images every `grid_every`.

    Each step is kept as STEP.json and STEP.png, or the page alone. One that is kept already, of the run that was
    interrupted, is not measured again: it would be the same.

    Args:
        folder: where the steps are kept.
        spec: says how samples are drawn, and which metrics there are.
        data: the task.
    """

    def __init__(self, folder: Path, spec: Spec, data: Data) -> None:
        self.folder, self.spec, self.data = folder, spec, data
        self.seconds = 0.0

    def __call__(self, step: int, model: Model) -> None:
        """Measure a model after that many steps, or only look at it."""
        every = self.spec.plan["eval_every"]
        measured = bool(every) and step % every == 0
        path = self.folder / f"{step}.{'json' if measured else 'png'}"
        if path.exists() or not (measured or pictured(self.data)):
            return
        began = time.monotonic()
        files.make(self.folder.parent)
        chosen = self.spec.metrics if measured else {}
        chosen = {name: settings_in(part) for name, part in chosen.items() if metrics[name].traits["of"] == "samples"}
        sampling = replace(sampling_of(self.spec), curve=())
        if not measured:
            sampling = replace(sampling, n=min(PAGE, sampling.n))
        rows, main = evaluate(model, self.data, chosen, sample=self.spec.sample, sampling=sampling, seed=self.spec.seed)
        keep_page(path.with_suffix(".png"), main, self.data)
        if measured:
            files.write_sealed(path, json.dumps([row | {"point": "training", "step": step} for row in rows]))
        self.seconds += time.monotonic() - began

    def rows(self, wanted: Collection[str]) -> list[dict[str, Any]]:
        """Return what was measured of these metrics, step by step.

        Raises:
            RunFailed: if a step is damaged. It goes, and so do the trained weights: the next attempt comes by it again.
        """
        steps = sorted(self.folder.glob("*.json"), key=lambda path: int(path.stem))
        rows = [row for path in steps for row in self._read(path)]
        return [row for row in rows if row["metric"].partition(".")[0] in wanted]

    def _read(self, path: Path) -> list[dict[str, Any]]:
        try:
            return json.loads(files.read_sealed(path))
        except Damaged as error:
            path.unlink()
            (self.folder.parents[1] / "model.safetensors").unlink(missing_ok=True)
            raise RunFailed(f"{error}; the next attempt trains and measures it again") from error
