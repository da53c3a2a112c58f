"""Training: one loop for every model.

No random state outlives a step: (seed, purpose, k) seeds the batch and every random stream of step k. The state of a
run consists of its weights, their average, the best validated weights, the optimizer and k. A resumed run therefore
equals an uninterrupted run bit for bit.
"""

import logging
import multiprocessing
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

from genbench import activity
from genbench.core import Data, Example, Learner
from genbench.errors import ConfigError
from genbench.numerics.precision import deterministic_kernels, float32_products
from genbench.seeds import derive
from genbench.training import checkpoint
from genbench.training.interrupts import Interrupts
from genbench.training.plan import Plan
from genbench.training.process_group import Group
from genbench.training.step import Clock, Step, TrainingState
from genbench.training.train_log import TrainLog

log = logging.getLogger("genbench")
BLOCK = 100
"""Steps between two checks of the losses: a check makes a GPU wait."""

AHEAD, VALUES_AHEAD = 64, 2**15
"""Maximum number of examples drawn ahead, and of their values (samples x dimensions). Consecutive draws find their code
in the CPU cache; more draws would gain nothing, and a signal waits for their end."""

L = TypeVar("L", bound=Learner)

Progress = Callable[[int, int, dict[str, float]], None]
"""Progress callback: (finished steps, all steps, latest logged scalars)."""

Callback = Callable[[int], float | None]
"""Callback with the number of finished steps; it must not modify the model, and may return a validation loss."""


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
    clock: Clock | None = None,
) -> L:
    """Train a model, or an ensemble, and return it with the weights that are to be evaluated.

    Args:
        learner: freshly built, or with any weights if the folder contains a checkpoint to resume.
        seed: all randomness derives from it; the members of an ensemble have seeds of their own.
        folders: one per model for train.csv, the first one also for the checkpoint; if empty, nothing is saved.
        run: identifies the training in its checkpoints.
        progress: called after every block of steps, one per model.
        evaluate: called with averaged weights after the steps for which `plan.evaluates_after` is true. With
            plan.stop=validation, the weights with the lowest returned loss become the result.
        save_every: least seconds between checkpoints, which take at most 2 % of the time. A signal that stops the
            training also saves one.
        clock: measures the time of training; evaluating and saving do not count.

    Raises:
        RunFailed: if the loss is not finite; the message names the step.
        ConfigError: if the batch cannot be divided as planned, the checkpoint belongs to another run, or the plan needs
            a compiler that is not installed.
    """
    _check(plan, group, learner)
    torch.set_num_threads(plan.threads)
    path = folders[0] / checkpoint.NAME if folders else None
    saved = checkpoint.read(path, run) if path is not None else None
    learner = learner.to(group.device)
    if saved is None:
        learner.prepare(data, derive(seed, "prepare"))
    state = TrainingState(learner, plan, clock or Clock())
    if saved is not None and path is not None:
        state.restore(saved, path)
        if group.is_first:
            log.warning("resuming from step %s", f"{state.step:,}")
    if not plan.steps:
        return state.finish()

    learner.train()
    loop = _Loop(state, plan, group, seed, [path / "train.csv" for path in folders if group.is_first], saved)
    loop.progress, loop.evaluate, loop.log_every = progress, evaluate, save_every / 2
    if path is not None and group.is_first:
        loop.saver = checkpoint.Saver(path, run, save_every)
    if plan.compile:
        activity.report("compiling, which takes about a minute")
    with deterministic_kernels(plan.deterministic), loop.interrupts.handled():
        loop.run(_examples(learner, data, plan.batch_size, seed, range(state.step, plan.steps), group.device))
    return state.finish()


class _Loop:
    """The steps of a training, and what happens between them."""

    evaluate: Callback | None
    progress: Sequence[Progress]
    log_every: float
    saver: checkpoint.Saver | None = None

    def __init__(
        self,
        state: TrainingState,
        plan: Plan,
        group: Group,
        seed: int,
        tables: Sequence[Path],
        saved: checkpoint.Checkpoint | None,
    ) -> None:
        self.state, self.plan, self.group, self.resumed = state, plan, group, saved is not None
        self.step = Step(state, plan, group, seed)
        self.log = TrainLog(tables, state.step, plan.steps, {} if saved is None else saved.tensors)
        self.always_logged = (state.step + 1, state.step + 3, state.step + 20, plan.steps)
        self.logged = time.monotonic()
        self.interrupts = Interrupts(together=group.size > 1)

    def run(self, examples: Iterator[Example]) -> None:
        """Take all steps. Raises KeyboardInterrupt, after a checkpoint, if a signal stops the training."""
        try:
            if self.resumed:  # repeats an interrupted evaluation; others are saved
                self._evaluate()
            while self.state.step < self.plan.steps:
                with self.interrupts.uninterrupted(), activity.training_step():  # drawing may move the learner's state
                    self.log.add(self.step.take(next(examples)))
                    logs = self._flush() if self._logs_due() else None
                if logs is not None:
                    for callback, latest in zip(self.progress, logs if self.group.is_first else (), strict=False):
                        callback(self.state.step, self.plan.steps, latest)
                self._evaluate()
                if logs is not None and self.saver is not None and self.saver.due():
                    self._save(self.saver)
                if self.group.any_asked(self.interrupts.asked):
                    self._save_interrupted()
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if self.group.size == 1 and not self.interrupts.busy:
                self._save_interrupted()
            raise

    def _logs_due(self) -> bool:
        """Return whether the losses are checked and logged now; only a process that trains alone goes by time."""
        step = self.state.step
        slow = self.group.size == 1 and time.monotonic() - self.logged > self.log_every
        return slow or step % BLOCK == 0 or step in self.always_logged

    def _flush(self) -> list[dict[str, float]]:
        self.logged = time.monotonic()
        return self.log.flush(self.group, self.state.learner)

    def _evaluate(self) -> None:
        """Evaluate the averaged weights if that is due after this step."""
        if self.evaluate is None or not self.plan.evaluates_after(self.state.step):
            return
        with self.state.clock.paused(), self.state.averaged_weights():
            loss = self.group.broadcast(self.evaluate(self.state.step))
            if self.plan.stop == "validation":
                self.state.keep_if_best(loss)

    def _save(self, saver: checkpoint.Saver) -> None:
        with self.state.clock.paused():
            saved = self.state.checkpoint()
            saver.save(saved._replace(tensors=saved.tensors | self.log.incomplete_rows()))

    def _save_interrupted(self) -> None:
        """Save a checkpoint of the latest step, unless there is one."""
        self.state.take_back_trained()
        if self.log.pending:
            self._flush()
        if self.saver is not None and self.state.step > self.saver.step:
            self._save(self.saver)
            log.warning("stopped after step %s, with a checkpoint", f"{self.state.step:,}")


def _check(plan: Plan, group: Group, learner: Learner) -> None:
    """Refuse a plan that this group, machine or learner cannot follow."""
    plan.parts(group.size)
    if plan.precision == "tf32" and group.device.type != "cuda":
        raise ConfigError("plan.precision=tf32 needs a GPU, but this training runs on a CPU: set plan.precision=fp32")
    if plan.compile and learner.not_compiled:
        raise ConfigError(f"plan.compile=true: {learner.not_compiled}")
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # torch's own choice
    if plan.compile and group.device.type == "cpu" and shutil.which(compiler) is None:
        raise ConfigError(
            f"plan.compile=true needs a C++ compiler on a CPU, but {compiler} is missing: omit plan.compile"
        )


def _examples(
    learner: Learner, data: Data, size: int, seed: int, steps: range, device: torch.device
) -> Iterator[Example]:
    generator = torch.Generator(device=device)
    batch_source = learner.batch_source(data, device)

    def draw(step: int) -> Example:
        return learner.example(batch_source, step, size, seed, generator)

    if learner.draws == "thread" and second_thread_allowed(device):
        return _prefetch(draw, steps)
    ahead = min(AHEAD, max(1, VALUES_AHEAD // (size * data.event.dims))) if learner.draws == "block" else 1
    return _in_blocks(draw, steps, ahead)


def _in_blocks(draw: Callable[[int], Example], steps: range, ahead: int) -> Iterator[Example]:
    """Yield what `draw` returns for each step, drawn for several steps in a row. No yielded example stays in memory."""
    for first in range(0, len(steps), ahead):
        drawn = deque(map(draw, steps[first : first + ahead]))
        while drawn:
            yield drawn.popleft()


def second_thread_allowed(device: torch.device) -> bool:
    """Return whether a second thread may work: not on the CPU in a worker of a sweep, whose siblings use all cores."""
    return device.type != "cpu" or multiprocessing.parent_process() is None


def _prefetch(draw: Callable[[int], Example], steps: range) -> Iterator[Example]:
    """Yield what `draw` returns for each step, while a second thread draws for the next step.

    On a GPU, both threads use the same stream. An error of `draw` is raised at its own step.
    """
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(draw, steps[0])
        for following in steps[1:]:
            drawn, coming = coming.result(), thread.submit(draw, following)
            yield drawn
        yield coming.result()
