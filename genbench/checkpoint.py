"""Checkpoints: the whole state of a run in one safetensors file, of which the previous one is kept."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genbench import files
from genbench.errors import ConfigError


def save(
    path: Path, model: nn.Module, average: list[Tensor], optimizer: torch.optim.Optimizer, step: int, seconds: float
) -> None:
    """Write weights, average, optimiser, finished steps and the time they took; the last one becomes the previous."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{i}": value for i, value in enumerate(average)}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    if path.exists():
        path.replace(_previous(path))
    files.replace(path, lambda temporary: save_file(tensors, temporary, {"step": str(step), "seconds": str(seconds)}))


def exists(path: Path) -> bool:
    """Return whether there is a checkpoint to go on from."""
    return path.exists() or _previous(path).exists()


def elapsed(path: Path) -> float:
    """Return the seconds of training behind a checkpoint; 0 where there is none that can be read."""
    for candidate in (path, _previous(path)):
        try:
            with safe_open(candidate, "pt") as file:
                return float((file.metadata() or {})["seconds"])
        except (SafetensorError, KeyError, ValueError, OSError):
            continue
    return 0.0


def load(path: Path, model: nn.Module, average: list[Tensor], optimizer: torch.optim.Optimizer) -> int:
    """Restore a run from its checkpoint, or from the previous one where the last cannot be read.

    Returns:
        The number of finished steps.

    Raises:
        ConfigError: if neither can be read, or if the checkpoint is of another model.
    """
    reasons = []
    for candidate in (path, _previous(path)):
        if not candidate.exists():
            continue
        try:
            tensors = load_file(candidate)
            with safe_open(candidate, "pt") as file:
                step = int((file.metadata() or {})["step"])
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            reasons.append(f"{candidate.name}: {error}")
            continue
        _restore(candidate, tensors, model, average, optimizer)
        return step
    raise ConfigError(f"no readable checkpoint in {path.parent} ({'; '.join(reasons)}); remove it to start again")


def _restore(
    path: Path, tensors: dict[str, Tensor], model: nn.Module, average: list[Tensor], optimizer: torch.optim.Optimizer
) -> None:
    weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(f"{path} is of another model: {str(error).splitlines()[-1].strip()}") from error
    for i, mean in enumerate(average):
        mean.copy_(tensors[f"average.{i}"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, i, field = name.split(".", 2)
            state.setdefault(int(i), {})[field] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _previous(path: Path) -> Path:
    return path.with_name("previous-" + path.name)
