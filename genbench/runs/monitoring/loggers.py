"""Loggers: the scalars of a run for TensorBoard or Weights & Biases, beside train.csv.

No result and no key depends on them. A logger that fails is reported once, and not used again in this process.
"""

import importlib
import json
import logging
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from genbench.errors import ConfigError, first_line, unknown
from genbench.runs.monitoring import LOGGERS
from genbench.runs.record_types import Record
from genbench.runs.spec import Spec, plan_of
from genbench.runs.store import run_name
from genbench.training.loop import Progress

log = logging.getLogger("genbench")

_failed: set[str] = set()
"""Kinds that failed in this process: no other run waits for the same server."""


class TensorBoardLogger:
    """The event file of a run for TensorBoard, which names the run by its folder.

    Args:
        spec: spec of the run, shown as text.
    """

    def __init__(self, folder: Path, spec: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))
        text = json.dumps(spec, indent=1)
        self._writer.add_text("spec", textwrap.indent(text, "    "))  # a code block in Markdown

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Log the scalars of a step."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def close(self, failed: bool) -> None:
        """End the run."""
        self._writer.close()


class WandbLogger:
    """A run of Weights & Biases: online, offline or disabled, as WANDB_MODE says.

    Args:
        folder: for the files of the run. A resumed run of the same name continues the logged one.
    """

    def __init__(self, folder: Path, spec: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        wandb = _imported("wandb")
        settings = wandb.Settings(silent=True, console="off")
        name = {"project": "genbench", "name": folder.name, "id": folder.name[-64:]}
        self._run = wandb.init(**name, dir=str(folder), resume="allow", settings=settings)
        self._run.config.update(spec, allow_val_change=True)
        # Prerequisites and stages count their own steps, and wandb ignores what goes back in its own.
        self._run.define_metric("*", step_metric="step")

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Log the scalars of a step."""
        self._run.log({"step": step, **scalars})

    def close(self, failed: bool) -> None:
        """End the run."""
        self._run.finish(exit_code=int(failed))


Logger = TensorBoardLogger | WandbLogger


class Loggers:
    """The loggers of one run, opened when there is something to log.

    Args:
        root: results folder; they write to its folder logs.

    Raises:
        ConfigError: if a kind is unknown, or its package is not installed.
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
        """Log what was measured."""
        rows = [row for row in record["results"] if row["point"] == "main" and row["value"] is not None]
        if rows:
            self._log({f"result/{row['metric']}": row["value"] for row in rows}, plan_of(self.spec).steps)

    def __enter__(self) -> "Loggers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, logger in self.loggers.items():
            try:
                logger.close(failed=error is not None)
            except Exception as reason:
                _give_up(name, reason)
        self.loggers = {}

    def _log(self, scalars: Mapping[str, Any], step: int) -> None:
        for kind in self.kinds:
            if kind in _failed:
                continue
            try:
                if kind not in self.loggers:
                    make = WandbLogger if kind == "wandb" else TensorBoardLogger
                    self.loggers[kind] = make(self.folder, self.spec.json())
                self.loggers[kind].log(scalars, step)
            except Exception as error:  # every package has its own errors
                _give_up(kind, error)


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds. Raises ConfigError if a kind is unknown, or its package is not installed."""
    for kind in kinds:
        if kind not in LOGGERS:
            raise unknown("no logger", kind, LOGGERS)
        _imported(kind)
    return tuple(kinds)


def _give_up(kind: str, error: Exception) -> None:
    _failed.add(kind)
    log.warning("%s is not used from now on: %s", kind, first_line(error))


def _imported(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"--log {package} needs a package: pip install 'genbench[{package}]'") from error
