"""Checkpoints: the state of a training in one safetensors file; the previous file is kept."""

import logging
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from genbench.errors import ConfigError
from genbench.storage import files, tensors

log = logging.getLogger("genbench")
NAME = "checkpoint.safetensors"
"""File name, in the folder of the run; the previous checkpoint has the prefix "previous-"."""
FIELDS = ("step", "seconds", "run")


class Checkpoint(NamedTuple):
    """What a checkpoint contains.

    Args:
        tensors: the state of the training, by name.
        step: finished steps.
        seconds: duration of these steps.
    """

    tensors: dict[str, Tensor]
    step: int
    seconds: float


def save(path: Path, checkpoint: Checkpoint, run: str) -> None:
    """Write a checkpoint of a run; the existing file becomes the previous one."""
    if path.exists():
        files.discard(_previous(path))
        path.replace(_previous(path))
    header = {"step": str(checkpoint.step), "seconds": str(checkpoint.seconds), "run": run}
    tensors.save(path, checkpoint.tensors, header)


def elapsed(path: Path) -> float:
    """Return the seconds of training until a checkpoint; 0 if none can be read."""
    for candidate in (path, _previous(path)):
        try:
            return float(tensors.head(candidate, FIELDS)["seconds"])
        except (FileNotFoundError, ValueError):  # Damaged is one
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
        except FileNotFoundError:
            continue
        except files.Damaged as error:
            log.warning("%s; training resumes from the previous checkpoint, or starts again", error)
            files.discard(candidate)
            continue
        if header["run"] != run:
            other = header["run"] or "without a name"
            raise ConfigError(f"{files.shown(candidate)} belongs to another run, {other}: remove it")
        return Checkpoint(state, int(header["step"]), float(header["seconds"]))
    return None


def _previous(path: Path) -> Path:
    return path.with_name("previous-" + path.name)
