"""Checkpoints: the state of a training in one safetensors file, beside the previous checkpoint."""

import logging
import time
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from genbench.errors import ConfigError
from genbench.storage import files, tensors

log = logging.getLogger("genbench")
NAME = "checkpoint.safetensors"
"""File name, in the folder of the run; the previous checkpoint has the prefix "previous-"."""
SHARE = 0.02
"""Largest share of the time of a training that saving may take."""
FIELDS = ("step", "seconds", "run")


class Checkpoint(NamedTuple):
    """The state of a training by name, its finished steps, and their duration in seconds."""

    tensors: dict[str, Tensor]
    step: int
    seconds: float


class Saver:
    """Saves the checkpoints of a training, seldom enough to take at most 2 % of its time.

    Args:
        run: identifies the training.
        save_every: seconds between checkpoints; more if saving takes longer than 2 % of them.
    """

    def __init__(self, path: Path, run: str, save_every: float) -> None:
        self.path, self.run, self.save_every = path, run, save_every
        self.ended, self.cost, self.step = time.monotonic(), 0.0, 0

    def due(self) -> bool:
        """Return whether it is time for the next checkpoint."""
        return time.monotonic() - self.ended > self.save_every * max(1.0, self.cost / (SHARE * 30))

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; the existing file becomes the previous one. Raises OSError if it cannot be written."""
        began = time.monotonic()
        if self.path.exists():
            self.path.replace(_previous(self.path))
        header = {"step": str(checkpoint.step), "seconds": str(checkpoint.seconds), "run": self.run}
        tensors.save(self.path, checkpoint.tensors, header)
        self.step, self.ended = checkpoint.step, time.monotonic()
        self.cost = self.ended - began


def read(path: Path, run: str) -> Checkpoint | None:
    """Return the latest undamaged checkpoint, or None; damaged ones are reported and removed.

    Raises:
        ConfigError: if the checkpoint belongs to another run.
    """
    for candidate in (path, _previous(path)):
        try:
            state, header = tensors.load(candidate, FIELDS)
        except FileNotFoundError:
            continue
        except files.Damaged as error:
            log.warning("%s; training resumes from the previous checkpoint, or starts again", error)
            candidate.unlink(missing_ok=True)
            continue
        if header["run"] != run:
            other = header["run"] or "without a name"
            raise ConfigError(f"{files.shown(candidate)} belongs to another run, {other}: remove it")
        return Checkpoint(state, int(header["step"]), float(header["seconds"]))
    return None


def drop(run: Path) -> None:
    """Remove the checkpoints of a run, given its folder, once its trained weights are saved."""
    for leftover in run.rglob(f"*{NAME}"):
        leftover.unlink(missing_ok=True)


def _previous(path: Path) -> Path:
    return path.with_name("previous-" + path.name)
