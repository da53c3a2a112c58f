"""The log of a training: train.csv, with every scalar, averaged over a few steps in long trainings."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from genbench.core import Learner
from genbench.storage import files
from genbench.training.process_group import Group

MAX_ROWS = 10_000

TRIAL = 100
"""A training that has learned nothing after this many steps, or after all its steps, fails."""

ZERO = torch.finfo(torch.float32).eps ** 2
"""A loss that is zero to rounding: the square of an error of one unit in the last place."""


def steps_per_row(steps: int) -> int:
    """Return the number of steps that a row of train.csv averages, so that a run has at most 10,000 rows."""
    return math.ceil(steps / MAX_ROWS)


class TrainLog:
    """The scalars of every step, kept on the device until a block of them is written to train.csv.

    Args:
        paths: paths of train.csv, one for each model that is trained.
        start: number of finished steps.
        steps: all steps of the training.
        saved: the tensors of the checkpoint that the training resumes from.
    """

    def __init__(self, paths: Sequence[Path], start: int, steps: int, saved: Mapping[str, Tensor]) -> None:
        self.step, self.steps_per_row = start, steps_per_row(steps)
        self.trial = start + min(TRIAL, steps)
        self.vanishes: Tensor | None = None
        self.pending: list[dict[str, Tensor]] = []
        self.tables = [TrainCsv(path, start, self.steps_per_row) for path in paths]
        for i, table in enumerate(self.tables):
            table.rows = saved[f"log.{i}"].tolist() if f"log.{i}" in saved else []

    def incomplete_rows(self) -> dict[str, Tensor]:
        """Return the scalars of steps whose row of train.csv is not complete, for a checkpoint."""
        tables = enumerate(self.tables)
        return {f"log.{i}": torch.tensor(table.rows, dtype=torch.float64) for i, table in tables if table.rows}

    def add(self, scalars: dict[str, Tensor]) -> None:
        """Add the scalars of one step; vectors if several models are trained."""
        self.pending.append(scalars)

    def flush(self, group: Group, learner: Learner) -> list[dict[str, float]]:
        """Write what is pending and return the latest scalars of each model.

        Raises:
            RunFailed: if no model has a finite loss any more, or none has learned anything.
        """
        names = list(self.pending[0])
        rows = torch.stack([torch.stack([row[name].float() for name in names]) for row in self.pending])
        values = group.mean(rows).cpu().reshape(*rows.shape[:2], -1)
        finite = torch.isfinite(values[:, names.index("loss")])
        first = self.step + 1 + (~finite).int().argmax(0)
        learner.diverged(torch.where(finite.all(0), self._learned_nothing(names, values), first).tolist())
        for table, good, of_model in zip(self.tables, finite.all(0).tolist(), values.unbind(2), strict=False):
            if good:
                table.add(names, [[self.step + 1 + i, *row] for i, row in enumerate(of_model.tolist())])
        self.step += len(rows)
        self.pending = []
        return [dict(zip(names, row, strict=True)) for row in values[-1].T.tolist()]

    def _learned_nothing(self, names: list[str], values: Tensor) -> Tensor:
        """Return, per model, -steps if all losses of these steps were zero to rounding, or all weights 0; else 0."""
        vanishes = values[:, names.index("loss")].abs() <= ZERO
        if "ess" in names:
            vanishes |= ~torch.isfinite(values[:, names.index("ess")])
        vanishes = vanishes.all(0)
        self.vanishes = vanishes if self.vanishes is None else self.vanishes & vanishes
        steps = self.step + len(values)
        return self.vanishes * (-steps if steps >= self.trial else 0)


class TrainCsv:
    """Writer of train.csv. A resumed run first drops the rows after step `start`, because it repeats those steps."""

    def __init__(self, path: Path, start: int, steps_per_row: int) -> None:
        self.path, self.steps_per_row = path, steps_per_row
        self.rows: list[list[float]] = []  # steps of an incomplete row: the step, then its scalars
        files.make(path.parent)
        self._drop_rows_after(start)

    def add(self, names: Sequence[str], rows: list[list[float]]) -> None:
        """Add steps with their scalars, and write the complete rows."""
        self.rows += rows
        ready = len(self.rows) // self.steps_per_row * self.steps_per_row
        if not ready:
            return
        with self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if not file.tell():
                writer.writerow(["step", *names])
            for i in range(0, ready, self.steps_per_row):
                part = self.rows[i : i + self.steps_per_row]
                mean = [sum(values) / len(part) for values in zip(*part, strict=True)]
                writer.writerow([int(part[-1][0]), *(f"{value:.6g}" for value in mean[1:])])
        self.rows = self.rows[ready:]

    def _drop_rows_after(self, start: int) -> None:
        if not self.path.exists():
            return
        # A kill may have cut the last line off.
        header, *rows = self.path.read_text(errors="replace").rpartition("\n")[0].splitlines() or [""]
        kept = [row for row in rows if row.partition(",")[0].isdigit() and int(row.partition(",")[0]) <= start]
        if kept:
            files.write(self.path, "\n".join([header, *kept]) + "\n")
        else:
            self.path.unlink(missing_ok=True)
