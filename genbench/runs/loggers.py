"""Logbooks: the scalars of a run for TensorBoard or Weights & Biases, through Fabric's loggers.

They only listen: no result and no key depends on them, and one that cannot be written is told once and left alone.
`train.csv` is kept in any case.
"""

import importlib
import json
import logging
import textwrap
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from genbench.errors import ConfigError, unknown
from genbench.runs.spec import Spec
from genbench.runs.store import Record, run_name
from genbench.training.fabric import Logger, TensorBoardLogger, rank_zero_only
from genbench.training.loop import Progress

log = logging.getLogger("genbench")

KINDS = ("tensorboard", "wandb")

_left: set[str] = set()
"""Kinds that could not be written in this process: nobody waits for a server again and again."""


class WandbLogger(Logger):
    """A Fabric logger for Weights & Biases, which lightning-fabric itself does not bring.

    Whether it is online is for WANDB_MODE to say: online, offline or disabled.

    Args:
        folder: where the run's files are kept.
        run: name of the run, by which a resumed one goes on in the same place.
    """

    def __init__(self, folder: Path, run: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        wandb = _imported("wandb", "wandb")
        quiet = wandb.Settings(silent=True, console="off")
        where = {"dir": str(folder), "resume": "allow", "settings": quiet}
        self._run: Any = wandb.init(project="genbench", name=run, id=run[-64:], **where)

    @property
    def name(self) -> str | None:
        """Return the project."""
        return self._run.project

    @property
    def version(self) -> str | None:
        """Return the run's id."""
        return self._run.id

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Keep the spec."""
        self._run.config.update(params, allow_val_change=True)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep scalars of a step."""
        self._run.log(dict(metrics), step=step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the run."""
        self._run.finish(exit_code=0 if status == "success" else 1)


class Logbooks:
    """The logbooks of one run, opened when it first has something to say.

    Args:
        kinds: which ones; none keeps nothing.
        root: results folder; they lie in its folder logs.
        spec: of the run.

    Raises:
        ConfigError: if there is no such logbook, or its package is not installed.
    """

    def __init__(self, kinds: Sequence[str], root: Path, spec: Spec) -> None:
        self.kinds, self.root, self.spec = check(kinds), root, spec
        self.loggers: dict[str, Logger] | None = None

    def listening(self, progress: Progress) -> Progress:
        """Return a progress function that is heard by the logbooks too."""
        if not self.kinds:
            return progress

        def both(step: int, steps: int, logs: dict[str, float]) -> None:
            progress(step, steps, logs)
            scalars = {f"train/{name}": value for name, value in logs.items()}
            self._tell(lambda logger: logger.log_metrics(scalars, step))

        return both

    def conclude(self, record: Record) -> None:
        """Write down what was measured."""
        if not self.kinds or not record:
            return
        rows = [row for row in record["results"] if row["point"] == "main" and row["value"] is not None]
        scalars = {f"result/{row['metric']}": row["value"] for row in rows}
        self._tell(lambda logger: logger.log_metrics(scalars, self.spec.plan["steps"]))

    def __enter__(self) -> "Logbooks":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.loggers:
            self._tell(lambda logger: logger.finalize("success" if error is None else "failed"))
        self.loggers = None

    def _tell(self, say: Callable[[Logger], object]) -> None:
        """Open the logbooks if they are not, and write into each."""
        opening = self.loggers is None
        loggers = self.loggers = self.loggers or {}
        for kind in self.kinds:
            if kind in _left:
                continue
            try:
                if opening:
                    loggers[kind] = self._open(kind)
                say(loggers[kind])
            except Exception as reason:  # each has errors of its own
                _left.add(kind)
                log.warning("%s is left out from now on: %s", kind, str(reason).strip() or type(reason).__name__)

    def _open(self, kind: str) -> Logger:
        run = run_name(self.spec)
        if kind == "wandb":
            logger = WandbLogger(self.root / "logs" / run, run)
            logger.log_hyperparams(self.spec.json())
            return logger
        board = TensorBoardLogger(self.root / "logs", name=run, version="")
        # Fabric's logger has no place for settings; a text has.
        text = json.dumps(self.spec.json(), indent=1)
        board.experiment.add_text("spec", textwrap.indent(text, "    "))  # as Markdown has it, code
        return board


def check(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds. Raises ConfigError if there is no such logbook, or its package is not installed."""
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("no logbook", kind, KINDS)
        _imported(kind, kind)
    return tuple(kinds)


def _imported(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"--log {extra} needs a package: pip install 'genbench[{extra}]'") from error
