"""Checkpoints: the whole state of a training in one safetensors file; the previous file is kept."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genbench.errors import ConfigError
from genbench.storage import files, tensors
from genbench.storage.files import Damaged
from genbench.training.optimizer import Adam

log = logging.getLogger("genbench")
NAME = "checkpoint.safetensors"
"""File name, in the folder of the run; the previous checkpoint has the prefix "previous-"."""
FIELDS = ("step", "seconds", "run")


class Best(NamedTuple):
    """The trained parameters with the lowest validation loss so far."""

    loss: float = math.inf
    weights: Sequence[Tensor] = ()


NONE = Best()
"""Before the first validation, and where none chooses the weights."""


class Checkpoint(NamedTuple):
    """The state of a training.

    Args:
        path: the file it was read from.
        state: named tensors: weights, average, optimizer.
        step: finished steps.
        seconds: duration of these steps.
    """

    path: Path
    state: dict[str, Tensor]
    step: int
    seconds: float

    @property
    def best(self) -> Best:
        """The weights with the lowest validation loss of these steps."""
        if "best.loss" not in self.state:
            return NONE
        count = sum(name.startswith("best.") for name in self.state) - 1
        return Best(float(self.state["best.loss"]), [self.state[f"best.{i}"] for i in range(count)])


def save(
    path: Path,
    model: nn.Module,
    average: list[Tensor],
    optimizer: Adam,
    step: int,
    seconds: float,
    run: str,
    best: Best = NONE,
) -> None:
    """Write the state after some steps and their duration; the existing file becomes the previous one."""
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    state |= {f"average.{i}": value for i, value in enumerate(average)}
    if best.weights:
        state |= {"best.loss": torch.tensor(best.loss, dtype=torch.float64)}
        state |= {f"best.{i}": value for i, value in enumerate(best.weights)}
    for i, fields in enumerate(optimizer.states):
        state |= {f"optimizer.{i}.{name}": value for name, value in fields.items()}
    if path.exists():
        files.discard(_previous(path))
        path.replace(_previous(path))
    tensors.save(path, state, {"step": str(step), "seconds": str(seconds), "run": run})


def exists(path: Path) -> bool:
    """Return whether there is a checkpoint to resume."""
    return path.exists() or _previous(path).exists()


def elapsed(path: Path) -> float:
    """Return the seconds of training until a checkpoint; 0 if none can be read."""
    for candidate in (path, _previous(path)):
        try:
            return float(tensors.head(candidate, FIELDS)["seconds"])
        except (Damaged, FileNotFoundError, ValueError):
            continue
    return 0.0


def read(path: Path, run: str) -> Checkpoint | None:
    """Return the latest undamaged checkpoint; None if there is none.

    Damaged ones are reported and removed: the run resumes from the previous one, or starts again.

    Raises:
        ConfigError: if it belongs to another run.
    """
    for candidate in (path, _previous(path)):
        try:
            state, header = tensors.load(candidate, FIELDS)
            found = Checkpoint(candidate, state, int(header["step"]), float(header["seconds"]))
        except FileNotFoundError:
            continue
        except (Damaged, ValueError) as error:
            log.warning("%s; training resumes from the previous checkpoint, or starts again", error)
            files.discard(candidate)
            continue
        if header["run"] != run:
            other = header["run"] or "without a name"
            raise ConfigError(f"{files.shown(candidate)} belongs to another run, {other}: remove it")
        return found
    return None


def restore(saved: Checkpoint, model: nn.Module, average: list[Tensor], optimizer: Adam) -> None:
    """Restore the state of a training.

    Raises:
        ConfigError: if the checkpoint belongs to another model.
    """
    state = saved.state
    weights = {name.removeprefix("model."): t for name, t in state.items() if name.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        why = str(error).splitlines()[-1].strip()
        raise ConfigError(f"{saved.path} belongs to another model: {why}") from error
    for i, mean in enumerate(average):
        mean.copy_(state[f"average.{i}"])
    for i, fields in enumerate(optimizer.states):
        for name, value in fields.items():
            # Absent for a parameter without gradients so far. What lies otherwise in memory than a file is kept so.
            value.copy_(state.get(f"optimizer.{i}.{name}", value))


def _previous(path: Path) -> Path:
    return path.with_name("previous-" + path.name)
