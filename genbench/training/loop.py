"""Training: one loop for every model.

No random state outlives a step: every stream of step k is seeded by (seed, purpose, k), and the batch is a function of
k too. The state of a run is therefore weights, averages, optimizer and k, and a resumed run equals an uninterrupted
one bit for bit although no state of a generator is kept.
"""

import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from genbench.core import Data, Example, Learner
from genbench.errors import ConfigError
from genbench.seeds import derive
from genbench.training import checkpoint
from genbench.training.checkpoint import Best
from genbench.training.group import Group
from genbench.training.optimizer import Adam
from genbench.training.plan import Plan
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


def fit(
    learner: L,
    data: Data,
    plan: Plan,
    group: Group,
    *,
    seed: int,
    folder: Path | Sequence[Path] | None = None,
    run: str = "",
    progress: Progress | Sequence[Progress] = no_progress,
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
        folder: for train.csv and the checkpoint; None keeps nothing. An ensemble has one folder per member for
            train.csv, and its checkpoint is in the first.
        run: identifies the training in its checkpoints.
        progress: called after every block of steps; one callback per member of an ensemble.
        evaluate: called after the steps for which `plan.evaluates_after` is true; the averaged weights are in use then.
            With `plan.stop` at validation, those of the lowest loss that it returns are kept.
        save_every: seconds between checkpoints; results do not depend on it.

    Raises:
        RunFailed: if the loss is not finite, with the step.
        ConfigError: if the batch cannot be divided as planned, the checkpoint belongs to another run, or the plan needs
            a compiler that is not there.
    """
    parts = plan.parts(group.size)
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # torch's own choice
    if plan.compile and group.device.type == "cpu" and shutil.which(compiler) is None:
        raise ConfigError(f"plan.compile=true needs a C++ compiler on CPU, and there is no {compiler}: leave it out")
    torch.set_num_threads(plan.threads)
    folders = [folder] if isinstance(folder, Path) else folder or []
    callbacks = [progress] if callable(progress) else progress
    saved = folders[0] / checkpoint.NAME if folders else None
    found = checkpoint.read(saved, run) if saved is not None else None
    if found is None:
        learner.prepare(data, derive(seed, "prepare"))
    learner = learner.to(group.device)
    trained = [p for p in learner.parameters() if p.requires_grad]
    average = [p.detach().clone() for p in trained] if plan.ema else []
    optimizer = Adam(trained, plan.optimizer, betas=plan.betas, weight_decay=plan.weight_decay)
    if found is not None:
        checkpoint.restore(found, learner, average, optimizer)
    best = checkpoint.NONE if found is None else found.best
    start, seconds_before = (found.step, found.seconds) if found is not None else (0, 0.0)
    if start >= plan.steps:
        return _use_average(learner, trained, best.weights or average)

    learner.train()
    module = group.wrap(learner)
    loss_of = _in_precision(torch.compile(module) if plan.compile else module, plan.precision, group.device)
    generator = torch.Generator(device=group.device)
    batch_source = learner.batch_source(data, group.device)
    log = TrainLog([path / "train.csv" for path in folders if group.is_first], start, plan.steps)
    began = last_save = last_check = time.monotonic()
    steps = range(start, plan.steps)

    def draw(step: int) -> Example:
        return learner.example(batch_source, step, plan.batch_size, seed, generator)

    examples = prefetch(draw, steps) if learner.prefetch and has_idle_core(group.device) else map(draw, steps)
    for step, example in zip(steps, examples, strict=True):
        _seed_dropout(derive(seed, "dropout", step, group.rank), group.device)
        logged: dict[str, Tensor] = {}
        # Every process draws the whole batch and takes its share, so that a coupling sees the global batch.
        for part in range(plan.accumulate):
            share = _share(example, group.rank * plan.accumulate + part, parts)
            with group.backward(module, last=part + 1 == plan.accumulate):
                scalars = loss_of(share)
                (scalars["loss"].sum() / plan.accumulate).backward()
            for name, value in scalars.items():
                logged[name] = logged.get(name, 0) + value.detach() / plan.accumulate
        if plan.clip:
            learner.clip(plan.clip)
        optimizer.step(plan.lr_at(step))
        if average:
            get_ema_multi_avg_fn(plan.ema_at(step))(average, [p.detach() for p in trained], 0)
        log.add(logged)
        block_ends = step + 1 in (start + 1, start + 20, plan.steps) or (step + 1) % BLOCK == 0
        row_ends = (step + 1) % log.steps_per_row == 0
        # Slow steps are also logged by time. Single process only: the clocks of several differ.
        check_due = row_ends and group.size == 1 and time.monotonic() - last_check > save_every / 2
        if block_ends or check_due:
            logs, last_check = log.flush(group, learner), time.monotonic()
            for callback, latest in zip(callbacks, logs if group.is_first else (), strict=False):
                callback(step + 1, plan.steps, latest)
        if evaluate is not None and plan.evaluates_after(step + 1):
            evaluation_began = time.monotonic()
            with _averaged(learner, trained, average):
                loss = group.broadcast(evaluate(step + 1))
                if plan.stop == "validation" and loss is not None and loss < best.loss:
                    best = Best(loss, [parameter.detach().clone() for parameter in trained])
            began += time.monotonic() - evaluation_began
        # A checkpoint is saved at the end of a row of train.csv, because a resumed run begins with a new row, and after
        # the evaluation of its step, which a resumed run does not repeat.
        due = (block_ends or check_due) and row_ends and time.monotonic() - last_save > save_every
        if saved is not None and due and group.is_first:
            seconds = seconds_before + time.monotonic() - began
            checkpoint.save(saved, learner, average, optimizer, step + 1, seconds, run, best)
            last_save = time.monotonic()
    return _use_average(learner, trained, best.weights or average)


def has_idle_core(device: torch.device) -> bool:
    """Return whether a core is free for a second thread: the workers of a sweep occupy all of them."""
    return device.type != "cpu" or multiprocessing.parent_process() is None


def prefetch(draw: Callable[[int], Example], steps: range) -> Iterator[Example]:
    """Yield the example of every step, and let a thread draw the next one meanwhile.

    An error of drawing is raised at the step of that example.
    """
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(draw, steps[0])
        for following in steps[1:]:
            example, coming = coming.result(), thread.submit(draw, following)
            yield example
        yield coming.result()


def _in_precision(
    module: Callable[[Example], dict[str, Tensor]], precision: str, device: torch.device
) -> Callable[[Example], dict[str, Tensor]]:
    """Return the loss as computed in the precision of a plan; under bf16 the example itself is rounded, too."""
    if precision == "fp32":
        return module

    def loss_of(example: Example) -> dict[str, Tensor]:
        with torch.autocast(device.type, torch.bfloat16):
            rounded = (item.bfloat16() if item is not None and item.is_floating_point() else item for item in example)
            return {name: value.float() for name, value in module(type(example)(*rounded)).items()}

    return loss_of


def _seed_dropout(seed: int, device: torch.device) -> None:
    """Seed the global stream of the device in use. (torch.manual_seed costs a traceback where CUDA is never used.)"""
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def _share(example: Example, part: int, parts: int) -> Example:
    """Return every `parts`-th sample of an example."""
    if parts == 1:
        return example
    return type(example)(*(None if item is None else item[part::parts] for item in example))


@contextmanager
def _averaged(learner: Learner, trained: list[nn.Parameter], average: list[Tensor]) -> Iterator[None]:
    """Give a learner its averaged weights for the duration of a block."""
    own = [parameter.detach().clone() for parameter in trained] if average else []
    _use_average(learner, trained, average)
    try:
        yield
    finally:
        _use_average(learner, trained, own).train()


def _use_average(learner: L, trained: Sequence[nn.Parameter], average: Sequence[Tensor]) -> L:
    with torch.no_grad():
        for parameter, mean in zip(trained, average, strict=bool(average)):
            parameter.copy_(mean)
    return learner.eval()
