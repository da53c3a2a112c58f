"""The state of a training: all that a checkpoint has to restore."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from genbench.core import Learner
from genbench.errors import ConfigError
from genbench.storage import files
from genbench.training.checkpoint import Checkpoint
from genbench.training.optimizer import Adam
from genbench.training.plan import Plan

L = TypeVar("L", bound=Learner)


class TrainingState(Generic[L]):
    """A learner, on its device, between two steps of its training."""

    def __init__(self, learner: L, plan: Plan) -> None:
        self.learner = learner
        self.trained = [p for p in learner.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self.trained] if plan.ema else []
        self.optimizer = Adam(self.trained, plan.optimizer, betas=plan.betas, weight_decay=plan.weight_decay)
        self.step = 0
        self.best_loss = math.inf  # lowest validation loss so far
        self.best: list[Tensor] = []  # weights and buffers of that validation
        persistent = learner.state_dict().keys()  # other buffers are computed again, perhaps after a checkpoint is read
        self._buffers = [name for name, _ in learner.named_buffers() if name in persistent]
        self._raw: list[Tensor] = []  # the trained weights, while the learner holds their average
        self._began = time.monotonic()  # earlier by the seconds before a resumption, later by those that do not count

    def checkpoint(self) -> Checkpoint:
        """Return what restores this state, and the seconds of training so far."""
        tensors = {f"model.{name}": value for name, value in self.learner.state_dict().items()}
        tensors |= {f"average.{i}": value for i, value in enumerate(self.average)}
        if self.best:
            tensors |= {"best.loss": torch.tensor(self.best_loss, dtype=torch.float64)}
            tensors |= {f"best.{i}": value for i, value in enumerate(self.best)}
        for i, moments in enumerate(self.optimizer.states):
            tensors |= {f"optimizer.{i}.{name}": value for name, value in moments.items()}
        return Checkpoint(tensors, self.step, time.monotonic() - self._began)

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
        self._began = time.monotonic() - saved.seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time of a block from the time of training."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._began += time.monotonic() - began

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
        """Return the learner with the weights to evaluate: those of the best validation, or else the average."""
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
