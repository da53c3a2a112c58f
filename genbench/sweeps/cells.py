"""Cells of a sweep: those that share a training form a job, which one process runs, and report events."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from genbench import user_code
from genbench.errors import ConfigError, reason_of
from genbench.runs.monitoring.loggers import Loggers
from genbench.runs.run import Launch, run, train
from genbench.runs.spec import Spec, plan_of
from genbench.runs.store import Store
from genbench.storage.lease import Busy
from genbench.training.loop import Progress, no_progress

log = logging.getLogger("genbench")

GRACE = 60.0
"""Seconds in which a stopped process may save the checkpoint of its training."""

BUSY_WAIT = 5.0
"""Seconds that a job waits, when it is tried again, for a process that holds one of its cells."""


@dataclass(frozen=True)
class CellEvent:
    """What happened to a cell.

    Args:
        cell: index of the cell; -1 for a warning, which belongs to no cell.
        kind: started; step (with step, steps and logs); done; failed (with the reason); busy (another process holds the
            cell, which is tried again later); lost (the process was killed; the cell is tried again); warning.
        message: why the cell failed, which process holds it, or the warning.
        ensemble: cells that are trained together with this one, which reports for them.
    """

    cell: int
    kind: Literal["started", "step", "done", "failed", "busy", "lost", "warning"]
    step: int = 0
    steps: int = 0
    logs: tuple[tuple[str, float], ...] = ()
    message: str = ""
    ensemble: tuple[int, ...] = ()


OnEvent = Callable[[CellEvent], None]


@dataclass(frozen=True)
class Job:
    """Cells that run one after the other, because they share one model or one ensemble.

    Args:
        cells: specs by index.
        wait: seconds to wait for another process that holds a cell.
    """

    cells: Mapping[int, Spec]
    wait: float = 0.0
    loggers: tuple[str, ...] = ()

    @property
    def threads(self) -> int:
        """Number of threads of each run of the job."""
        return max(plan_of(spec).threads for spec in self.cells.values())

    def only(self, cells: Collection[int]) -> "Job | None":
        """Return a job with only the given cells; None if it has none of them."""
        chosen = {index: spec for index, spec in self.cells.items() if index in cells}
        return replace(self, cells=chosen) if chosen else None


Ended = tuple[list[CellEvent], Job | None]
"""How a job ended: events "done" and "failed", and the cells that other processes hold."""


def make_jobs(specs: Sequence[Spec], loggers: Sequence[str] = ()) -> list[Job]:
    """Group cells by the model, or the ensemble, that they train."""
    groups: dict[str, dict[int, Spec]] = {}
    for index, spec in enumerate(specs):
        groups.setdefault(spec.members[0].train_key, {})[index] = spec
    return [Job(cells, loggers=tuple(loggers)) for cells in groups.values()]


def run_job(job: Job, store: Store, on_event: OnEvent) -> Job | None:
    """Run the cells of a job, and return a job with the cells that other processes hold; None if there are none.

    One failure never stops the others: every cell ends with an event "done", "failed" or "busy".
    """
    busy: set[int] = set()

    def watch(event: CellEvent) -> None:
        if event.kind == "busy":
            busy.add(event.cell)
        on_event(event)

    trained = _train_ensemble(job, store, watch)
    for index, spec in trained.items():
        _run_cell(index, spec, job, store, watch)
    left = job.only(busy)
    return replace(left, wait=BUSY_WAIT) if left is not None else None


def _train_ensemble(job: Job, store: Store, on_event: OnEvent) -> Mapping[int, Spec]:
    """Train the members of an ensemble whose weights are missing, and return the cells that can be measured."""
    untrained = {index: spec for index, spec in job.cells.items() if spec.stack and not store.has_weights(spec)}
    if not untrained:
        return job.cells
    try:
        with ExitStack() as opened:
            progress = {}
            shown, first = next(iter(untrained.items()))
            ensemble = tuple(untrained) if len(untrained) > 1 else ()
            on_event(CellEvent(shown, "started", ensemble=ensemble))
            for index, spec in reversed(untrained.items()):
                loggers = opened.enter_context(Loggers(job.loggers, store.root, spec))
                shows = _progress(index, on_event, ensemble) if index == shown else no_progress
                progress[spec.train_key] = loggers.wrap(shows)
            failed = train(first, store, progress, launch=Launch(wait=job.wait))
    except Busy as reason:
        for index in job.cells:
            on_event(CellEvent(index, "busy", message=str(reason)))
        return {}
    except Exception as error:
        for index, spec in untrained.items():
            _fail(index, spec, store, on_event, error)
        return {index: spec for index, spec in job.cells.items() if index not in untrained}
    for index, spec in untrained.items():
        if spec.train_key in failed:
            on_event(CellEvent(index, "failed", message=failed[spec.train_key]))
    return {index: spec for index, spec in job.cells.items() if spec.train_key not in failed}


def _run_cell(index: int, spec: Spec, job: Job, store: Store, on_event: OnEvent) -> None:
    on_event(CellEvent(index, "started"))
    try:
        with Loggers(job.loggers, store.root, spec) as loggers:
            progress = loggers.wrap(_progress(index, on_event))
            loggers.log_results(run(spec, store, progress=progress, launch=Launch(wait=job.wait)))
    except Busy as reason:
        on_event(CellEvent(index, "busy", message=str(reason)))
    except Exception as error:
        _fail(index, spec, store, on_event, error)
    else:
        on_event(CellEvent(index, "done"))


def _progress(index: int, on_event: OnEvent, ensemble: tuple[int, ...] = ()) -> Progress:
    def report(step: int, steps: int, logs: Mapping[str, float]) -> None:
        on_event(CellEvent(index, "step", step, steps, tuple(logs.items()), ensemble=ensemble))

    return report


def _fail(index: int, spec: Spec, store: Store, on_event: OnEvent, error: Exception) -> None:
    """Report a failed cell. Save the reason for a wrong request here, because `run` does so for failed runs only."""
    if isinstance(error, ConfigError):
        give_up(index, spec, store, on_event, str(error))
    else:
        on_event(CellEvent(index, "failed", message=reason_of(error)))


def give_up(index: int, spec: Spec, store: Store, on_event: OnEvent, reason: str) -> None:
    """Save beside a run why it failed, and report it."""
    with suppress(Busy), store.hold(spec, wait=1.0) as held:
        held.write_failure(spec, reason)
    on_event(CellEvent(index, "failed", message=reason))


class _WarningForwarder(logging.Handler):
    """Log handler that turns warnings into events."""

    def __init__(self, on_event: OnEvent) -> None:
        super().__init__(logging.WARNING)
        self.on_event = on_event

    def emit(self, record: logging.LogRecord) -> None:
        self.on_event(CellEvent(-1, "warning", message=record.getMessage()))


@contextmanager
def forwarded_warnings(on_event: OnEvent) -> Iterator[None]:
    """Turn the warnings of a block into events."""
    handler = _WarningForwarder(on_event)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def run_cells(job: Job, store: Store, code: Sequence[str], send: OnEvent = lambda event: None) -> Ended:
    """Run a job on another machine, which loads the user's Python files first, and send its other events."""
    for path in code:
        user_code.load_file(Path(path))
    ended: list[CellEvent] = []

    def on_event(event: CellEvent) -> None:
        if event.kind in ("done", "failed"):
            ended.append(event)
        else:
            send(event)

    with forwarded_warnings(on_event):
        return ended, run_job(job, store, on_event)
