"""Checkpoints: the whole state of a run in one safetensors file, of which the previous one is kept."""

import logging
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genbench.errors import ConfigError
from genbench.storage import files, tensors
from genbench.storage.files import Damaged

log = logging.getLogger("genbench")
NAME = "checkpoint.safetensors"
"""File name, in the folder of the run; the previous checkpoint has the prefix "previous-"."""
FIELDS = ("step", "seconds", "run")


class Checkpoint(NamedTuple):
    """The state of a run after some of its steps.

    Args:
        path: where it was read.
        state: named tensors: weights, average, optimizer.
        step: finished steps.
        seconds: the time they took.
    """

    path: Path
    state: dict[str, Tensor]
    step: int
    seconds: float


def save(
    path: Path,
    model: nn.Module,
    average: list[Tensor],
    optimizer: torch.optim.Optimizer,
    step: int,
    seconds: float,
    run: str,
) -> None:
    """Write the state of a run after some steps, and the time they took; the last one becomes the previous."""
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    state |= {f"average.{i}": value for i, value in enumerate(average)}
    for i, fields in optimizer.state_dict()["state"].items():
        state |= {f"optimizer.{i}.{name}": torch.as_tensor(value) for name, value in fields.items()}
    if path.exists():
        path.replace(_previous(path))
    tensors.save(path, state, {"step": str(step), "seconds": str(seconds), "run": run})


def exists(path: Path) -> bool:
    """Return whether there is a checkpoint to go on from."""
    return path.exists() or _previous(path).exists()


def elapsed(path: Path) -> float:
    """Return the seconds of training behind a checkpoint; 0 where there is none that can be read."""
    for candidate in (path, _previous(path)):
        try:
            return float(tensors.head(candidate, FIELDS)["seconds"])
        except (Damaged, FileNotFoundError, ValueError):
            continue
    return 0.0


def read(path: Path, run: str) -> Checkpoint | None:
    """Return the last checkpoint that is whole, if there is one.

    A damaged one is reported and removed: the run goes on from the previous one, or from its beginning.

    Raises:
        ConfigError: if it is of another run.
    """
    for candidate in (path, _previous(path)):
        try:
            state, header = tensors.load(candidate, FIELDS)
            found = Checkpoint(candidate, state, int(header["step"]), float(header["seconds"]))
        except FileNotFoundError:
            continue
        except (Damaged, ValueError) as error:
            log.warning("%s; training goes back to what was kept before it", error)
            candidate.unlink(missing_ok=True)
            continue
        if header["run"] != run:
            other = header["run"] or "a nameless one"
            raise ConfigError(f"{files.shown(candidate)} is of another run, {other}: remove it")
        return found
    return None


def restore(checkpoint: Checkpoint, model: nn.Module, average: list[Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Put a run into the state of its checkpoint.

    Raises:
        ConfigError: if the checkpoint is of another model.
    """
    state = checkpoint.state
    weights = {name.removeprefix("model."): t for name, t in state.items() if name.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(f"{checkpoint.path} is of another model: {str(error).splitlines()[-1].strip()}") from error
    for i, mean in enumerate(average):
        mean.copy_(state[f"average.{i}"])
    moments: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, value in state.items():
        if name.startswith("optimizer."):
            _, i, field = name.split(".", 2)
            like = parameters[int(i)]
            # Fused optimizers require moments with the memory layout of their parameter.
            moments.setdefault(int(i), {})[field] = (
                torch.empty_like(like, device="cpu").copy_(value) if value.shape == like.shape else value
            )
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


def _previous(path: Path) -> Path:
    return path.with_name("previous-" + path.name)
