"""A step of a training, and the state that it moves: all that a checkpoint has to restore."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from genbench.core import Example, Learner
from genbench.errors import ConfigError
from genbench.numerics.precision import float32_products
from genbench.seeds import derive
from genbench.storage import files
from genbench.training.checkpoint import Checkpoint
from genbench.training.optimizer import Adam
from genbench.training.plan import Plan
from genbench.training.process_group import Group

L = TypeVar("L", bound=Learner)


class Clock:
    """The seconds of a training, with those before a resumption; pauses do not count."""

    def __init__(self) -> None:
        self._began = time.monotonic()  # earlier by the seconds before a resumption, later by pauses

    @property
    def seconds(self) -> float:
        """The seconds so far."""
        return time.monotonic() - self._began

    def add(self, seconds: float) -> None:
        """Add the seconds before a resumption."""
        self._began -= seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time of a block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._began += time.monotonic() - began


class TrainingState(Generic[L]):
    """A learner, on its device, between two steps of its training."""

    def __init__(self, learner: L, plan: Plan, clock: Clock) -> None:
        self.learner, self.clock, self._before = learner, clock, clock.seconds
        self.trained = [p for p in learner.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self.trained] if plan.ema else []
        self.optimizer = Adam(self.trained, plan.optimizer, betas=plan.betas, weight_decay=plan.weight_decay)
        self.step = 0
        self.best_loss = math.inf  # lowest validation loss so far
        self.best: list[Tensor] = []  # weights and buffers of that validation
        persistent = learner.state_dict().keys()  # other buffers are computed again, perhaps after a checkpoint is read
        self._buffers = [name for name, _ in learner.named_buffers() if name in persistent]
        self._raw: list[Tensor] = []  # the trained weights, while the learner holds their average

    def checkpoint(self) -> Checkpoint:
        """Return what restores this state, and the seconds of training so far."""
        tensors = {f"model.{name}": value for name, value in self.learner.state_dict().items()}
        tensors |= {f"average.{i}": value for i, value in enumerate(self.average)}
        if self.best:
            tensors |= {"best.loss": torch.tensor(self.best_loss, dtype=torch.float64)}
            tensors |= {f"best.{i}": value for i, value in enumerate(self.best)}
        for i, moments in enumerate(self.optimizer.states):
            tensors |= {f"optimizer.{i}.{name}": value for name, value in moments.items()}
        return Checkpoint(tensors, self.step, self.clock.seconds - self._before)

    def restore(self, saved: Checkpoint, path: Path) -> None:
        """Return to the state of a checkpoint, which was read from a path.

        Raises:
            ConfigError: if the checkpoint belongs to another model or an earlier version.
        """
        tensors = saved.tensors
        weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        try:
            self.learner.load_state_dict(weights)
            for i, mean in enumerate(self.average):
                mean.copy_(tensors[f"average.{i}"])
            for i, moments in enumerate(self.optimizer.states):
                for name, value in moments.items():
                    # Absent for a parameter without gradients so far. The memory layout of the copy stays as it is.
                    value.copy_(tensors.get(f"optimizer.{i}.{name}", value))
            if "best.loss" in tensors:
                self.best_loss = tensors["best.loss"].item()
                self.best = [value.clone().copy_(tensors[f"best.{i}"]) for i, value in enumerate(self._in_use())]
        except (RuntimeError, KeyError) as error:
            why = str(error).splitlines()[-1].strip()
            other = f"another model, or to an earlier version of genbench: {why}"
            raise ConfigError(f"{files.shown(path)} belongs to {other}; remove it to train again") from error
        self.step = saved.step
        self.clock.add(saved.seconds)

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Give the learner its averaged weights for the duration of a block."""
        self._raw = [parameter.detach().clone() for parameter in self.trained] if self.average else []
        try:
            self._load(self.average)
            yield
        finally:
            self.take_back_trained()

    def take_back_trained(self) -> None:
        """Give the learner the weights that it trains, also if a signal interrupted `averaged_weights` halfway."""
        self._load(self._raw)
        self._raw = []
        self.learner.train()

    def keep_if_best(self, loss: float | None) -> None:
        """Keep the weights in use, and the buffers, if no validation so far had a loss as low."""
        if loss is not None and loss < self.best_loss:
            self.best_loss, self.best = loss, [value.clone() for value in self._in_use()]

    def finish(self) -> L:
        """Return the learner to evaluate: its weights have the best validation loss, or else are the average."""
        self._load(self.best or self.average)
        return self.learner

    def _in_use(self) -> list[Tensor]:
        """Return the weights in use and the buffers that move with them."""
        return [*(parameter.detach() for parameter in self.trained), *map(self.learner.get_buffer, self._buffers)]

    def _load(self, values: Sequence[Tensor]) -> None:
        """Copy weights (and buffers, if given) into the learner, and set evaluation mode; do nothing without values."""
        with torch.no_grad():
            for current, value in zip(self._in_use(), values, strict=False):
                current.copy_(value)
        self.learner.eval()


class Step:
    """The step that a training repeats; dropout derives from the seed."""

    def __init__(self, state: TrainingState, plan: Plan, group: Group, seed: int) -> None:
        self.state, self.plan, self.group, self.seed = state, plan, group, seed
        self.parts = plan.parts(group.size)
        self.module = group.wrap(state.learner)
        if plan.compile:
            # A number that differs from the last training's would become a symbol, which a stack cannot take.
            torch.compiler.reset()
        compiled = torch.compile(self.module) if plan.compile else self.module
        precision = "fp32" if state.learner.full_precision else plan.precision
        self.scalars_of = _in_precision(compiled, precision, group.device)
        self.arithmetic = partial(float32_products, "tf32") if precision == "tf32" else nullcontext

    def take(self, example: Example) -> dict[str, Tensor]:
        """Take a step on a global batch, and return its scalars."""
        state, plan, group, step = self.state, self.plan, self.group, self.state.step
        seed_dropout(derive(self.seed, "dropout", step, group.rank), group.device)
        logged: dict[str, Tensor] = {}
        # Every process draws the whole batch and takes its share, so that a coupling sees the global batch.
        for part in range(plan.accumulate):
            share = _share(example, group.rank * plan.accumulate + part, self.parts)
            with self.arithmetic(), group.backward(self.module, last=part + 1 == plan.accumulate):
                scalars = self.scalars_of(share)
                (scalars["loss"].sum() / plan.accumulate).backward()  # an ensemble has one loss per member
            for name, value in scalars.items():
                logged[name] = logged.get(name, 0) + value.detach() / plan.accumulate
        if plan.clip:
            state.learner.clip(plan.clip)
        state.optimizer.step(plan.lr_at(step))
        if state.average:
            get_ema_multi_avg_fn(plan.ema_at(step))(state.average, [p.detach() for p in state.trained], 0)
        state.step += 1
        return logged


def seed_dropout(seed: int, device: torch.device) -> None:
    """Seed the global stream of the device in use; torch.manual_seed is slow where CUDA is never used."""
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def _share(example: Example, part: int, parts: int) -> Example:
    """Return every `parts`-th sample of an example."""
    if parts == 1:
        return example
    return type(example)(*(None if item is None else item[part::parts] for item in example))


def _in_precision(
    module: Callable[[Example], dict[str, Tensor]], precision: str, device: torch.device
) -> Callable[[Example], dict[str, Tensor]]:
    """Return the function from an example to its scalars, with the arithmetic of a precision: bf16 is autocast."""
    if precision != "bf16":
        return module

    def scalars_of(example: Example) -> dict[str, Tensor]:
        with torch.autocast(device.type, torch.bfloat16):
            return {name: value.float() for name, value in module(example).items()}

    return scalars_of
