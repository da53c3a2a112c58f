"""How long the cells of a sweep take, estimated from the recorded seconds of cells like them."""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from genbench.runs.record_types import Record
from genbench.runs.spec import Spec
from genbench.sweeps.cells import CellEvent

PRIOR = 60.0
"""Seconds of a sweep's own pace that weigh as much as the recorded seconds, which other machines may have taken."""


class Duration(NamedTuple):
    """Seconds of a cell."""

    train: float
    evaluate: float


def recorded_durations(specs: Sequence[Spec], records: Iterable[Record]) -> list[Duration]:
    """Return the mean recorded duration of each cell's model, data and steps; empty if nothing is recorded.

    A cell whose model, data and steps have no record gets the mean of all records.
    """
    recorded = defaultdict[tuple[str, str, int], list[Duration]](list)
    for record in records:
        if "failure" not in record and (cost := record["provenance"]["training"]["cost"]):
            train = cost.get("total_train_seconds", cost["train_seconds"])
            measured = [part["cost"] for part in record["provenance"]["measurements"]]
            evaluate = sum(cost["evaluate_seconds"] for cost in measured if cost)
            key = record["labels"]["model"], record["labels"]["data"], record["spec"]["plan"]["steps"]
            recorded[key].append(Duration(train, evaluate))
    means = {key: _mean(durations) for key, durations in recorded.items()}
    if not means:
        return []
    default = _mean(means.values())
    return [means.get((spec.model_label, spec.data_label, spec.plan["steps"]), default) for spec in specs]


def _mean(durations: Iterable[Duration]) -> Duration:
    return Duration(*map(fmean, zip(*durations, strict=True)))


class TimeLeft:
    """Estimates the time that a sweep still takes.

    Args:
        cells: number of cells.
        durations: of each cell; empty if unknown.
        processes: number of cells that run at a time.
    """

    def __init__(self, cells: int, durations: Sequence[Duration], processes: int) -> None:
        self.durations = durations or [Duration(1.0, 0.0)] * cells
        self.prior = PRIOR if durations else 0.0
        self.processes = processes
        self.left = {index: sum(duration) for index, duration in enumerate(self.durations)}
        self.work = sum(self.left.values())
        self.start = time.monotonic()

    def on_event(self, event: CellEvent) -> None:
        """Take note of what happened to a cell."""
        if event.kind == "step":
            for cell in event.ensemble or (event.cell,):
                train, evaluate = self.durations[cell]
                self.left[cell] = train * (1 - event.step / event.steps) + evaluate
        elif event.kind in ("done", "failed"):
            self.left.pop(event.cell, None)
        elif event.kind in ("busy", "lost"):
            self.left[event.cell] = sum(self.durations[event.cell])

    def seconds(self) -> float | None:
        """Return the estimate; None while there is nothing to estimate from."""
        left = sum(self.left.values())
        done = self.work - left + self.prior * self.processes
        if not done or not left:
            return None
        pace = (time.monotonic() - self.start + self.prior) / done
        return pace * max(left, self.processes * max(self.left.values()))
