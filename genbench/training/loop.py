"""Training: one loop for every model.

No random state outlives a step: every stream of step k is seeded by (seed, purpose, k), and the batch is a function of
k too. The state of a run is its weights, their average, the best validated weights, the optimizer and k. No state of a
generator is kept, and a resumed run still equals an uninterrupted one bit for bit.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from genbench.core import Data, Example, Learner
from genbench.errors import ConfigError
from genbench.numerics.precision import float32_products
from genbench.seeds import derive
from genbench.training import checkpoint
from genbench.training.plan import Plan
from genbench.training.process_group import Group
from genbench.training.second_thread import prefetch, second_thread_allowed
from genbench.training.state import TrainingState
from genbench.training.step import Step
from genbench.training.train_log import TrainLog

BLOCK = 100
"""Steps between two checks of the losses: a check makes a GPU wait."""

L = TypeVar("L", bound=Learner)

Progress = Callable[[int, int, dict[str, float]], None]
"""Progress callback: (finished steps, all steps, latest logged scalars)."""

Callback = Callable[[int], float | None]
"""Callback with the number of finished steps, which must leave the model as it is and may return a validation loss."""


def no_progress(step: int, steps: int, logs: dict[str, float]) -> None:
    """Ignore the progress of a training."""


@float32_products("ieee")
def fit(
    learner: L,
    data: Data,
    plan: Plan,
    group: Group,
    *,
    seed: int,
    folders: Sequence[Path] = (),
    run: str = "",
    progress: Sequence[Progress] = (),
    evaluate: Callback | None = None,
    save_every: float = 30.0,
) -> L:
    """Train a model, or an ensemble, and return it with the weights that are to be evaluated.

    Args:
        learner: freshly built, or with any weights if the folder contains a checkpoint to resume.
        data: its training split is used.
        plan: the budget.
        group: the processes that share each batch.
        seed: all randomness derives from it; the members of an ensemble have seeds of their own.
        folders: one per model for train.csv, the first one also for the checkpoint; without any, nothing is kept.
        run: identifies the training in its checkpoints.
        progress: called after every block of steps, one per model.
        evaluate: called after the steps for which `plan.evaluates_after` is true; the averaged weights are in use then.
            With `plan.stop` at validation, those of the lowest loss that it returns are kept.
        save_every: least seconds between checkpoints; one is saved at the next logged end of a row of train.csv.
            Results do not depend on it.

    Raises:
        RunFailed: if the loss is not finite, with the step.
        ConfigError: if the batch cannot be divided as planned, the checkpoint belongs to another run, or the plan needs
            a compiler that is not there.
    """
    _check(plan, group)
    torch.set_num_threads(plan.threads)
    path = folders[0] / checkpoint.NAME if folders else None
    saved = checkpoint.read(path, run) if path is not None else None
    learner = learner.to(group.device)
    if saved is None:
        learner.prepare(data, derive(seed, "prepare"))
    state = TrainingState(learner, plan)
    if saved is not None and path is not None:
        state.restore(saved, path)
    if state.step >= plan.steps:
        return state.finish()

    learner.train()
    step = Step(state, plan, group, seed)
    log = TrainLog([path / "train.csv" for path in folders if group.is_first], state.step, plan.steps)
    schedule = SaveSchedule(state.step, plan.steps, log.steps_per_row, save_every, by_time=group.size == 1)
    for example in _examples(learner, data, plan.batch_size, seed, range(state.step, plan.steps), group.device):
        log.add(step.take(example))
        logs_due = schedule.logs_due(state.step)
        if logs_due:
            logs = log.flush(group, learner)
            for callback, latest in zip(progress, logs if group.is_first else (), strict=False):
                callback(state.step, plan.steps, latest)
        if evaluate is not None and plan.evaluates_after(state.step):
            with state.averaged_weights():
                loss = group.broadcast(evaluate(state.step))
                if plan.stop == "validation":
                    state.keep_if_best(loss)
        # After the evaluation of its step, which a resumed run does not repeat.
        if path is not None and group.is_first and logs_due and schedule.save_due(state.step):
            checkpoint.save(path, state.checkpoint(), run)
    return state.finish()


class SaveSchedule:
    """After which steps a training logs, and saves a checkpoint.

    Args:
        start: finished steps.
        stop: all steps.
        steps_per_row: steps that a row of train.csv averages.
        save_every: least seconds between checkpoints.
        by_time: whether slow steps are also logged by time: of a single process only, since the clocks of several
            differ.
    """

    def __init__(self, start: int, stop: int, steps_per_row: int, save_every: float, *, by_time: bool) -> None:
        self.always_logged = (start + 1, start + 20, stop)
        self.steps_per_row, self.save_every, self.by_time = steps_per_row, save_every, by_time
        self.last_logs = self.last_save = time.monotonic()

    def logs_due(self, step: int) -> bool:
        """Return whether the losses are checked and logged after a step."""
        now, row_ends = time.monotonic(), self.by_time and step % self.steps_per_row == 0
        due = step in self.always_logged or step % BLOCK == 0
        due = due or (row_ends and now - self.last_logs > self.save_every / 2)
        self.last_logs = now if due else self.last_logs
        return due

    def save_due(self, step: int) -> bool:
        """Return whether a checkpoint is saved after a step: at the end of a row, where a resumed run begins."""
        now = time.monotonic()
        due = step % self.steps_per_row == 0 and now - self.last_save > self.save_every
        self.last_save = now if due else self.last_save
        return due


def _check(plan: Plan, group: Group) -> None:
    """Refuse a plan that this group or machine cannot follow."""
    plan.parts(group.size)
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # torch's own choice
    if plan.compile and group.device.type == "cpu" and shutil.which(compiler) is None:
        raise ConfigError(f"plan.compile=true needs a C++ compiler on CPU, and there is no {compiler}: leave it out")


def _examples(
    learner: Learner, data: Data, size: int, seed: int, steps: range, device: torch.device
) -> Iterator[Example]:
    """Return the examples of steps, drawn ahead by a thread where that saves time."""
    generator = torch.Generator(device=device)
    batch_source = learner.batch_source(data, device)

    def draw(step: int) -> Example:
        return learner.example(batch_source, step, size, seed, generator)

    return prefetch(draw, steps) if learner.prefetch and second_thread_allowed(device) else map(draw, steps)
