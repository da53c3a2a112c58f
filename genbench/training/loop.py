"""Training: one plan for a whole table, one loop for every model.

Nothing random outlives a step: every stream of step k is seeded by (seed, purpose, k), and the batch is a function of
k too. The state of a run is therefore weights, averages, optimiser and k, and a resumed run repeats the others bit
for bit without any generator's state being kept.
"""

import csv
import io
import math
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from genbench.core import Data, Example, Learner
from genbench.errors import ConfigError
from genbench.seeds import derive
from genbench.settings import Count, Fraction, NonNegative, Positive, Size
from genbench.storage import files
from genbench.training import checkpoint
from genbench.training.fabric import Fabric, launch, make_fabric

VERSION = 1
"""Raised whenever the same plan would train another model."""

BLOCK = 100
"""Steps between two looks at the losses: a look makes a GPU wait."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The budget and the optimiser of a run: steps and batch are shared by a table.

    Args:
        steps: number of optimiser steps.
        batch_size: global batch, whatever the number of devices.
        lr: peak learning rate.
        optimizer: adam, or adamw with decoupled weight decay.
        weight_decay: of adamw; adam takes none.
        betas: of both.
        warmup: steps of linear warm-up, at most a tenth of all steps.
        schedule: learning rate after the warm-up.
        lr_min: where the cosine ends, as a share of the peak.
        clip: largest norm of the gradient; 0 does not clip.
        ema: decay of the average of weights that is evaluated, ramped as (1 + step) / (10 + step); 0 keeps none.
        precision: fp32, or bf16 autocast.
        accumulate: parts that a batch is worked in, to save memory.
        threads: CPU threads of a run; one is fastest for small networks, data of large ones asks for more.
        compile: whether the training step is compiled (needs a C++ compiler on CPU).
        eval_every: steps between evaluations of samples during training; 0 evaluates at the end only.
        grid_every: steps between pages of sample images to look at during training; 0 draws none.
    """

    steps: Size = 5000
    batch_size: Count = 256
    lr: Positive = 1e-3
    optimizer: Literal["adam", "adamw"] = "adamw"
    weight_decay: NonNegative = 1e-5
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    warmup: Size = 0
    schedule: Literal["constant", "cosine"] = "constant"
    lr_min: Fraction = 0.0
    clip: NonNegative = 0.0
    ema: Fraction = 0.0
    precision: Literal["fp32", "bf16"] = "fp32"
    accumulate: Count = 1
    threads: Count = 1
    compile: bool = False
    eval_every: Size = 0
    grid_every: Size = 10_000

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        warmup = min(self.warmup, self.steps // 10)
        if step < warmup:
            return self.lr * (step + 1) / warmup
        if self.schedule == "constant":
            return self.lr
        done = (step - warmup) / max(1, self.steps - warmup)
        return self.lr * (self.lr_min + (1 - self.lr_min) * (1 + math.cos(math.pi * done)) / 2)

    def ema_at(self, step: int) -> float:
        """Return the decay of the average after a step: a short run must not keep its initial weights."""
        return min(self.ema, (1 + step) / (10 + step))

    def visited(self, step: int) -> bool:
        """Return whether somebody looks at the model after a step that is not the last."""
        return step < self.steps and any(every and step % every == 0 for every in (self.eval_every, self.grid_every))


Progress = Callable[[int, int, dict[str, float]], None]
"""Somebody who watches a run, told (steps done, all steps, latest logged scalars)."""


L = TypeVar("L", bound=Learner)

Visit = Callable[[int, L], None]
"""Somebody who looks at a model in training, told the steps done; the model has the averaged weights and must keep
them."""


def silent(step: int, steps: int, logs: dict[str, float]) -> None:
    """Watch nothing."""


def fabric_of(plan: Plan, accelerator: str = "auto", devices: int | str = 1) -> Fabric:
    """Return the Fabric for a plan. Raises ConfigError where the accelerator, or a compiler, is not there."""
    precision: Literal["32-true", "bf16-mixed"] = "bf16-mixed" if plan.precision == "bf16" else "32-true"
    # Under torchrun the launcher has decided how many processes there are.
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    nodes = int(os.environ.get("WORLD_SIZE", "1")) // local if local else 1
    try:
        fabric = make_fabric(accelerator, local or devices, nodes, precision)
    except Exception as error:
        raise ConfigError(f"devices: {str(error).splitlines()[0]}") from error
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # as torch looks for it
    if plan.compile and fabric.device.type == "cpu" and shutil.which(compiler) is None:
        raise ConfigError(f"plan.compile=true needs a C++ compiler on CPU, and there is no {compiler}: leave it out")
    return fabric


def fit(
    model: L,
    data: Data,
    plan: Plan,
    fabric: Fabric,
    *,
    seed: int,
    folder: Path | Sequence[Path] | None = None,
    run: str = "",
    progress: Progress | Sequence[Progress] = silent,
    visit: Visit[L] | None = None,
    save_every: float = 30.0,
) -> L:
    """Train a model, or a stack of them, and return it with the weights that are to be evaluated.

    Args:
        model: freshly built, or of any weights if the folder holds a checkpoint to go on from.
        data: its training split is used.
        plan: the budget.
        fabric: the devices and the precision; its processes are launched here unless they run.
        seed: all randomness derives from it; the members of a stack have seeds of their own.
        folder: where train.csv and the checkpoint are kept; None keeps nothing. Of a stack, one a member for
            train.csv, and the checkpoint is in the first.
        run: what tells this training from others: checkpoints carry it.
        progress: told about every block of steps; of a stack, one a member.
        visit: called at the steps that `plan.visited` names.
        save_every: seconds between checkpoints; results do not depend on it.

    Raises:
        RunFailed: if the loss is not finite, naming the step.
        ConfigError: if the batch cannot be divided as asked, or the checkpoint is of another run.
    """
    launch(fabric)
    parts = fabric.world_size * plan.accumulate
    if plan.batch_size % parts:
        raise ConfigError(
            f"plan.batch_size {plan.batch_size} cannot be divided into {fabric.world_size} devices x "
            f"{plan.accumulate} accumulated parts"
        )
    torch.set_num_threads(plan.threads)
    folders = [folder] if isinstance(folder, Path) else folder or []
    watching = [progress] if callable(progress) else progress
    saved = folders[0] / "checkpoint.safetensors" if folders else None
    found = checkpoint.read(saved, run) if saved is not None else None
    if found is None:
        model.prepare(data, derive(seed, "prepare"))
    model = model.to(fabric.device)
    trained = [p for p in model.parameters() if p.requires_grad]
    average = [p.detach().clone() for p in trained] if plan.ema else []
    optimizer = _optimizer(trained, plan)
    if found is not None:
        checkpoint.restore(found, model, average, optimizer)
    start, before = (found.step, found.seconds) if found is not None else (0, 0.0)
    if start >= plan.steps:
        return _averaged(model, trained, average)

    module, wrapped = fabric.setup(cast(L, torch.compile(model)) if plan.compile else model, optimizer)
    module.train()
    generator = torch.Generator(device=fabric.device)
    batch_source = model.batch_source(data, fabric.device)
    log = Log([place / "train.csv" for place in folders if fabric.is_global_zero], start, plan.steps)
    began = last_save = last_look = time.monotonic()
    steps = range(start, plan.steps)

    def draw(step: int) -> Example:
        return model.example(batch_source, step, plan.batch_size, seed, generator)

    examples = ahead(draw, steps) if model.prefetch and spare(fabric.device) else map(draw, steps)
    for step, example in zip(steps, examples, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = plan.lr_at(step)
        _seed_dropout(derive(seed, "dropout", step, fabric.global_rank), fabric.device)
        logged: dict[str, Tensor] = {}
        # Every process draws the whole batch and works its share, so that a coupling sees the global batch.
        for part in range(plan.accumulate):
            share = _share(example, fabric.global_rank * plan.accumulate + part, parts)
            with fabric.no_backward_sync(module, enabled=part + 1 < plan.accumulate):  # type: ignore[arg-type]
                scalars = module(share)
                fabric.backward(scalars["loss"].sum() / plan.accumulate)
            for name, value in scalars.items():
                logged[name] = logged.get(name, 0) + value.detach() / plan.accumulate
        if plan.clip:
            model.clip(plan.clip)
        wrapped.step()
        wrapped.zero_grad(set_to_none=True)
        if average:
            get_ema_multi_avg_fn(plan.ema_at(step))(average, [p.detach() for p in trained], 0)
        log.add(logged)
        full = step + 1 in (start + 1, start + 20, plan.steps) or (step + 1) % BLOCK == 0
        row = (step + 1) % steps_in_row(plan.steps) == 0
        # Slow steps are looked at by the clock; not in a group of processes, whose clocks may disagree.
        if full or (row and fabric.world_size == 1 and time.monotonic() - last_look > save_every / 2):
            logs, last_look = log.flush(fabric, model), time.monotonic()
            for watch, latest in zip(watching, logs if fabric.is_global_zero else (), strict=False):
                watch(step + 1, plan.steps, latest)
            # At the end of a row of train.csv, which a resumed run goes on with.
            if saved is not None and row and fabric.is_global_zero and time.monotonic() - last_save > save_every:
                seconds = before + time.monotonic() - began
                checkpoint.save(saved, model, average, optimizer, step + 1, seconds, run)
                last_save = time.monotonic()
        if visit is not None and plan.visited(step + 1):
            if fabric.is_global_zero:
                left = time.monotonic()
                with _shown(model, trained, average):
                    visit(step + 1, model)
                began += time.monotonic() - left
            fabric.barrier()
    return _averaged(model, trained, average)


def spare(device: torch.device) -> bool:
    """Return whether a thread of this process finds a core that is idle: workers of a sweep fill all of them."""
    return device.type != "cpu" or multiprocessing.parent_process() is None


def ahead(draw: Callable[[int], Example], steps: range) -> Iterator[Example]:
    """Yield the example of every step, the next of which is drawn by a thread while one is in use.

    What drawing raises is raised where that example is asked for.
    """
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(draw, steps[0])
        for following in steps[1:]:
            example, coming = coming.result(), thread.submit(draw, following)
            yield example
        yield coming.result()


def steps_in_row(steps: int) -> int:
    """Return of how many steps a row of train.csv is the mean."""
    return math.ceil(steps / 10_000)


class Log:
    """The scalars of every step, kept on the device until a block is flushed to train.csv.

    Beyond 10,000 steps a row is the mean over as many steps as keep the file within 10,000 rows.

    Args:
        paths: of train.csv, one for each model that is trained; none keeps nothing.
        start: finished steps.
        steps: all steps.
    """

    def __init__(self, paths: Sequence[Path], start: int, steps: int) -> None:
        self.step = start
        self.pending: list[dict[str, Tensor]] = []
        self.tables = [Table(path, start, steps_in_row(steps)) for path in paths]

    def add(self, scalars: dict[str, Tensor]) -> None:
        """Keep the scalars of one step; vectors where several models are trained."""
        self.pending.append(scalars)

    def flush(self, fabric: Fabric, model: Learner) -> list[dict[str, float]]:
        """Write what is pending and return the latest scalars of each model.

        Raises:
            RunFailed: if no loss is finite any more.
        """
        names = list(self.pending[0])
        rows = torch.stack([torch.stack([row[name].float() for name in names]) for row in self.pending])
        values = cast(Tensor, fabric.all_reduce(rows, reduce_op="mean")).cpu().reshape(*rows.shape[:2], -1)
        finite = torch.isfinite(values[:, names.index("loss")])
        first = self.step + 1 + (~finite).int().argmax(0)
        model.diverged(torch.where(finite.all(0), 0, first).tolist())
        for table, good, own in zip(self.tables, finite.all(0).tolist(), values.unbind(2), strict=False):
            if good:
                scalars = (dict(zip(names, row, strict=True)) for row in own.tolist())
                table.add([{"step": self.step + 1 + i, **row} for i, row in enumerate(scalars)])
        self.step += len(rows)
        self.pending = []
        return [dict(zip(names, row, strict=True)) for row in values[-1].T.tolist()]


class Table:
    """A file train.csv.

    Args:
        path: of the file.
        start: finished steps; rows of later ones will be repeated, and are dropped.
        every: steps of which a row is the mean.
    """

    def __init__(self, path: Path, start: int, every: int) -> None:
        self.path, self.every = path, every
        self.rows: list[dict[str, float]] = []
        files.make(path.parent)
        self._forget_after(start)

    def add(self, rows: list[dict[str, float]]) -> None:
        """Write the rows of a block of steps."""
        self.rows += rows
        self._write()

    def _write(self) -> None:
        ready = len(self.rows) // self.every * self.every
        if not ready:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self.path.exists():
            writer.writerow(self.rows[0])
        for i in range(0, ready, self.every):
            part = self.rows[i : i + self.every]
            mean = [sum(row[name] for row in part) / len(part) for name in part[0] if name != "step"]
            writer.writerow([int(part[-1]["step"]), *(f"{value:.6g}" for value in mean)])
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text.getvalue())
        self.rows = self.rows[ready:]

    def _forget_after(self, start: int) -> None:
        """Drop the rows of steps that will be repeated."""
        if not self.path.exists():
            return
        # What stands behind the last line's end was cut off by a kill.
        header, *rows = self.path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines() or [""]
        kept = [row for row in rows if row.partition(",")[0].isdigit() and int(row.partition(",")[0]) <= start]
        if kept:
            files.write(self.path, "\n".join([header, *kept]) + "\n")
        else:
            self.path.unlink()


def _optimizer(parameters: list[nn.Parameter], plan: Plan) -> torch.optim.Optimizer:
    if plan.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=plan.lr, betas=plan.betas, fused=True)
    return torch.optim.AdamW(parameters, lr=plan.lr, betas=plan.betas, weight_decay=plan.weight_decay, fused=True)


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
def _shown(model: Learner, trained: list[nn.Parameter], average: list[Tensor]) -> Iterator[None]:
    """Give a model its averaged weights for a while."""
    own = [parameter.detach().clone() for parameter in trained] if average else []
    _averaged(model, trained, average)
    try:
        yield
    finally:
        _averaged(model, trained, own).train()


def _averaged(model: L, trained: list[nn.Parameter], average: list[Tensor]) -> L:
    with torch.no_grad():
        for parameter, mean in zip(trained, average, strict=bool(average)):
            parameter.copy_(mean)
    return model.eval()
