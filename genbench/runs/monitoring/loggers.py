"""Loggers: the scalars of a run for TensorBoard or Weights & Biases, beside train.csv.

No result and no key depends on a logger. A logger that fails is reported once and not used again in this process.
"""

import importlib
import json
import logging
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genbench.errors import ConfigError, first_line
from genbench.runs.record_types import Record
from genbench.runs.spec import Spec, plan_of
from genbench.runs.store import run_name
from genbench.training.loop import Progress

log = logging.getLogger("genbench")

_failed: set[str] = set()
"""Kinds of loggers that failed in this process; later runs skip them instead of waiting for the same server."""


class Logger(NamedTuple):
    """An open logger: a function that logs the scalars of a step, and one that ends the log of a run."""

    log: Callable[[Mapping[str, float], int], None]
    close: Callable[[bool], None]


def _tensorboard(folder: Path, spec: Mapping[str, Any]) -> Logger:
    """Open an event file for TensorBoard, which names the run by its folder and shows the spec as text."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    writer.add_text("spec", textwrap.indent(json.dumps(spec, indent=1), "    "))  # a code block in Markdown

    def log_scalars(scalars: Mapping[str, float], step: int) -> None:
        for name, value in scalars.items():
            writer.add_scalar(name, value, step)

    return Logger(log_scalars, lambda failed: writer.close())


def _wandb(folder: Path, spec: Mapping[str, Any]) -> Logger:
    """Open a run of Weights & Biases: online, offline or disabled, as WANDB_MODE says; a resumed run continues it."""
    folder.mkdir(parents=True, exist_ok=True)
    wandb = _imported("wandb")
    settings = wandb.Settings(silent=True, console="off")
    name = {"project": "genbench", "name": folder.name, "id": folder.name[-64:]}
    run = wandb.init(**name, dir=str(folder), resume="allow", settings=settings)
    run.config.update(spec, allow_val_change=True)
    # Prerequisites and stages count their own steps from 0, and wandb ignores a step below the last one.
    run.define_metric("*", step_metric="step")
    return Logger(lambda scalars, step: run.log({"step": step, **scalars}), lambda failed: run.finish(int(failed)))


OPEN = {"tensorboard": _tensorboard, "wandb": _wandb}


class Loggers:
    """The loggers of one run, opened when there is something to log.

    Args:
        root: results folder; loggers write to its subfolder logs.

    Raises:
        ConfigError: if the package of a kind is not installed.
    """

    def __init__(self, kinds: Sequence[str], root: Path, spec: Spec) -> None:
        self.kinds, self.folder, self.spec = check_kinds(kinds), root / "logs" / run_name(spec), spec
        self.loggers: dict[str, Logger] = {}

    def wrap(self, progress: Progress) -> Progress:
        """Return a progress callback that also logs."""
        if not self.kinds:
            return progress

        def both(step: int, steps: int, logs: dict[str, float]) -> None:
            progress(step, steps, logs)
            self._log({f"train/{name}": value for name, value in logs.items()}, step)

        return both

    def log_results(self, record: Record) -> None:
        """Log the measured values."""
        rows = [row for row in record["results"] if row["point"] == "main" and row["value"] is not None]
        if rows:
            self._log({f"result/{row['metric']}": row["value"] for row in rows}, plan_of(self.spec).steps)

    def __enter__(self) -> "Loggers":
        return self

    def __exit__(self, *error: object) -> None:
        for name, logger in self.loggers.items():
            try:
                logger.close(error[0] is not None)
            except Exception as reason:
                _give_up(name, reason)
        self.loggers = {}

    def _log(self, scalars: Mapping[str, Any], step: int) -> None:
        for kind in self.kinds:
            if kind in _failed:
                continue
            try:
                if kind not in self.loggers:
                    self.loggers[kind] = OPEN[kind](self.folder, self.spec.json())
                self.loggers[kind].log(scalars, step)
            except Exception as error:  # every package has its own errors
                _give_up(kind, error)


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds. Raises ConfigError if the package of a kind is not installed."""
    for kind in kinds:
        _imported(kind)
    return tuple(map(str, kinds))


def _give_up(kind: str, error: Exception) -> None:
    _failed.add(kind)
    log.warning("%s is not used from now on: %s", kind, first_line(error))


def _imported(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"--log {package} needs the package {package}: pip install 'genbench[{package}]'") from error
