"""Midway: what samples are worth while a model is still in training, so that tables can be drawn against steps."""

import json
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from genbench import files
from genbench.core import Data, Model
from genbench.evaluate import evaluate
from genbench.gallery import keep_page
from genbench.registry import metrics
from genbench.spec import Spec, sampling_of, settings_in


class Midway:
    """Measures the metrics of samples at chosen steps of training, and keeps each step as STEP.json and STEP.png.

    A step that is kept already, of the run that was interrupted, is not measured again: it would be the same.

    Args:
        folder: where the steps are kept.
        spec: says how samples are drawn, and which metrics there are.
        data: the task.
    """

    def __init__(self, folder: Path, spec: Spec, data: Data) -> None:
        self.folder, self.spec, self.data = folder, spec, data
        self.seconds = 0.0

    def __call__(self, step: int, model: Model) -> None:
        """Measure a model after that many steps."""
        path = self.folder / f"{step}.json"
        if path.exists():
            return
        began = time.monotonic()
        files.make(self.folder.parent)
        chosen = {n: settings_in(part) for n, part in self.spec.metrics.items() if metrics[n].traits["of"] == "samples"}
        sampling = replace(sampling_of(self.spec), curve=())
        rows, main = evaluate(model, self.data, chosen, sample=self.spec.sample, sampling=sampling, seed=self.spec.seed)
        keep_page(path.with_suffix(".png"), main, self.data)
        files.write(path, json.dumps([row | {"point": "training", "step": step} for row in rows]))
        self.seconds += time.monotonic() - began

    def rows(self, wanted: Collection[str]) -> list[dict[str, Any]]:
        """Return what was measured of these metrics, step by step."""
        steps = sorted(self.folder.glob("*.json"), key=lambda path: int(path.stem))
        rows = [row for path in steps for row in json.loads(path.read_text(encoding="utf-8"))]
        return [row for row in rows if row["metric"].partition(".")[0] in wanted]
