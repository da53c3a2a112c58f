"""Logbooks: the scalars of a run for TensorBoard or Weights & Biases.

They only listen: no result and no key depends on them, and one that cannot be written is told once and left alone.
`train.csv` is kept in any case.
"""

import importlib
import json
import logging
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from genbench.errors import ConfigError, unknown
from genbench.runs.record import Record
from genbench.runs.spec import Spec
from genbench.runs.store import run_name
from genbench.training.loop import Progress

log = logging.getLogger("genbench")

KINDS = ("tensorboard", "wandb")

_left: set[str] = set()
"""Kinds that could not be written in this process: nobody waits for a server again and again."""


class TensorBoardLogger:
    """The event file of a run for TensorBoard.

    Args:
        folder: where the run's files are kept.
        run: name of the run; TensorBoard names it by its folder.
        spec: of the run, shown as text.
    """

    def __init__(self, folder: Path, run: str, spec: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))
        text = json.dumps(spec, indent=1)
        self._writer.add_text("spec", textwrap.indent(text, "    "))  # as Markdown has it, code

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Keep scalars of a step."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def close(self, failed: bool) -> None:
        """End the run."""
        self._writer.close()


class WandbLogger:
    """A run of Weights & Biases: online, offline or disabled, as WANDB_MODE says.

    Args:
        folder: where the run's files are kept.
        run: name of the run, by which a resumed one goes on in the same place.
        spec: of the run.
    """

    def __init__(self, folder: Path, run: str, spec: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        wandb = _imported("wandb", "wandb")
        quiet = wandb.Settings(silent=True, console="off")
        where = {"dir": str(folder), "resume": "allow", "settings": quiet}
        self._run = wandb.init(project="genbench", name=run, id=run[-64:], **where)
        self._run.config.update(spec, allow_val_change=True)

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Keep scalars of a step."""
        self._run.log(dict(scalars), step=step)

    def close(self, failed: bool) -> None:
        """End the run."""
        self._run.finish(exit_code=int(failed))


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
        self.loggers: dict[str, TensorBoardLogger | WandbLogger] | None = None

    def listening(self, progress: Progress) -> Progress:
        """Return a progress function that is heard by the logbooks too."""
        if not self.kinds:
            return progress

        def both(step: int, steps: int, logs: dict[str, float]) -> None:
            progress(step, steps, logs)
            scalars = {f"train/{name}": value for name, value in logs.items()}
            self._tell(lambda logger: logger.log(scalars, step))

        return both

    def conclude(self, record: Record) -> None:
        """Write down what was measured."""
        if not self.kinds or not record:
            return
        rows = [row for row in record["results"] if row["point"] == "main" and row["value"] is not None]
        scalars = {f"result/{row['metric']}": row["value"] for row in rows}
        self._tell(lambda logger: logger.log(scalars, self.spec.plan["steps"]))

    def __enter__(self) -> "Logbooks":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.loggers:
            self._tell(lambda logger: logger.close(failed=error is not None))
        self.loggers = None

    def _tell(self, say: Callable[[TensorBoardLogger | WandbLogger], None]) -> None:
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

    def _open(self, kind: str) -> TensorBoardLogger | WandbLogger:
        run = run_name(self.spec)
        logger = WandbLogger if kind == "wandb" else TensorBoardLogger
        return logger(self.root / "logs" / run, run, self.spec.json())


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
