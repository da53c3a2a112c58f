"""How long the cells of a sweep take, estimated from the recorded seconds of cells like them."""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import NamedTuple

from genbench.runs.record_types import Record
from genbench.runs.spec import Spec
from genbench.sweeps.cells import CellEvent

PRIOR = (1.0,) * 5
"""Paces that count like observed ones, because the longest cells come first, and may be long by a wrong record."""


class Duration(NamedTuple):
    """Seconds of a cell."""

    train: float
    evaluate: float


def recorded_durations(specs: Sequence[Spec], records: Iterable[Record]) -> list[Duration]:
    """Return the median recorded duration of each cell's model, data and steps; empty if nothing is recorded.

    A cell whose model, data and steps have no record gets the median of the others.
    """
    recorded = defaultdict[tuple[str, str, int], list[Duration]](list)
    for record in records:
        if "failure" not in record and (cost := record["provenance"]["training"]["cost"]):
            train = cost.get("total_train_seconds", cost["train_seconds"])
            measured = [part["cost"] for part in record["provenance"]["measurements"]]
            evaluate = sum(cost["evaluate_seconds"] for cost in measured if cost)
            key = record["labels"]["model"], record["labels"]["data"], record["spec"]["plan"]["steps"]
            recorded[key].append(Duration(train, evaluate))
    medians = {key: _median(durations) for key, durations in recorded.items()}
    if not medians:
        return []
    default = _median(medians.values())
    return [medians.get((spec.model_label, spec.data_label, spec.plan["steps"]), default) for spec in specs]


def _median(durations: Iterable[Duration]) -> Duration:
    return Duration(*map(median, zip(*durations, strict=True)))


class TimeLeft:
    """Estimates the time that a sweep still takes.

    Args:
        cells: number of cells.
        durations: of each cell; empty if unknown.
        processes: number of cells that run at a time.
    """

    def __init__(self, cells: int, durations: Sequence[Duration], processes: int) -> None:
        self.durations = durations or [Duration(1.0, 0.0)] * cells
        self.recorded = bool(durations)
        self.processes = processes
        self.left = {index: sum(duration) for index, duration in enumerate(self.durations)}
        self.start: dict[int, float] = {}
        self.paces: dict[tuple[int, str], float] = {}

    def on_event(self, event: CellEvent) -> None:
        """Take note of what happened to a cell."""
        now = time.monotonic()
        if event.kind in ("busy", "lost"):
            self.left[event.cell] = sum(self.durations[event.cell])
        elif event.kind == "step":
            self._on_step(event, now)
        elif event.kind in ("done", "failed"):
            left = self.left.pop(event.cell)
            if left and event.kind == "done":
                self.paces[event.cell, "evaluate"] = (now - self.start.get(event.cell, now)) / left
        elif event.kind == "started":
            self.start[event.cell] = now

    def _on_step(self, event: CellEvent, now: float) -> None:
        cells = event.ensemble or (event.cell,)
        done = sum(self.durations[cell].train for cell in cells) * event.step / event.steps
        if done:
            self.paces[event.cell, "train"] = (now - self.start.setdefault(event.cell, now)) / done
        for cell in cells:
            train, evaluate = self.durations[cell]
            self.left[cell] = train * (1 - event.step / event.steps) + evaluate
            if event.step == event.steps:
                self.start[cell] = now

    def seconds(self) -> float | None:
        """Return the estimate; None while there is nothing to estimate from."""
        if not self.left:
            return None
        if self.recorded:  # the median, because some cells were recorded on busy machines
            pace = median([*PRIOR, *self.paces.values()])
        elif self.paces:
            pace = fmean(self.paces.values())
        else:
            return None
        return pace * max(sum(self.left.values()) / self.processes, *self.left.values())
