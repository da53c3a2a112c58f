"""Cells: the runs of a sweep, what is told of them, and how one piece of work is done wherever it is done."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Literal

from genbench.errors import ConfigError
from genbench.runs.loggers import Logbooks
from genbench.runs.run import run
from genbench.runs.spec import Spec
from genbench.runs.store import Store
from genbench.runs.train import kept_weights, reason_of, train_stack
from genbench.storage.lease import Busy
from genbench.training.loop import Progress


@dataclass(frozen=True)
class News:
    """What happened to a cell.

    Args:
        cell: its index; -1 where it is about none.
        kind: started, step (with step, steps and logs), done, failed (with the reason), busy (somebody else is at it),
            lost (its process was killed; it is tried again), or said (with what, as the reason).
        step: finished steps of training.
        steps: all steps of training.
        logs: latest logged scalars.
        reason: why it failed, who is busy with it, or what is said.
    """

    cell: int
    kind: Literal["started", "step", "done", "failed", "busy", "lost", "said"]
    step: int = 0
    steps: int = 0
    logs: tuple[tuple[str, float], ...] = ()
    reason: str = ""


Tell = Callable[[News], None]


@dataclass(frozen=True)
class Task:
    """Cells that are run one after the other, because their models are trained as one stack, or are one and the same.

    Args:
        cells: specs by index.
        wait: seconds to wait for somebody else who is at it.
        log: logbooks that are kept of its runs.
    """

    cells: Mapping[int, Spec]
    wait: float = 0.0
    log: tuple[str, ...] = ()

    @property
    def threads(self) -> int:
        """Threads of each of its runs."""
        return max(spec.plan["threads"] for spec in self.cells.values())

    def left(self, ended: Mapping[int, object]) -> "Task | None":
        """Return what is left of it without the cells that ended."""
        cells = {index: spec for index, spec in self.cells.items() if index not in ended}
        return replace(self, cells=cells) if cells else None


def tasks(specs: Sequence[Spec], log: Sequence[str] = ()) -> list[Task]:
    """Group cells by the stack that they train, or the model."""
    groups: dict[str, dict[int, Spec]] = {}
    for index, spec in enumerate(specs):
        groups.setdefault(spec.members[0].train_key, {})[index] = spec
    return [Task(cells, log=tuple(log)) for cells in groups.values()]


def work(task: Task, store: Store, tell: Tell) -> None:
    """Run the cells of a task. One failure never stops the others; every cell ends as done, failed or busy."""
    ended = _stack(task, store, tell) if next(iter(task.cells.values())).stack else set()
    for index, spec in task.cells.items():
        if index not in ended:
            _one(index, spec, task, store, tell)


def _stack(task: Task, store: Store, tell: Tell) -> set[int]:
    """Train the stack of a task where weights of its cells are missing, and return the cells that this has ended."""
    untrained = {
        i: spec for i, spec in task.cells.items() if kept_weights(store.folder(spec) / "model.safetensors") is None
    }
    if not untrained:
        return set()

    def progress(index: int) -> Progress:
        return lambda step, steps, logs: tell(News(index, "step", step, steps, tuple(logs.items())))

    try:
        with ExitStack() as opened:
            watching = {}
            for index, spec in reversed(untrained.items()):
                tell(News(index, "started"))
                books = opened.enter_context(Logbooks(task.log, store.root, spec))
                watching[spec.train_key] = books.listening(progress(index))
            reasons = train_stack(next(iter(untrained.values())), store, watching, wait=task.wait)
    except Busy as reason:
        ended = {index: News(index, "busy", reason=str(reason)) for index in task.cells}
    except ConfigError as reason:
        for index, spec in untrained.items():
            give_up(index, spec, store, tell, str(reason))
        return set(untrained)
    except Exception as error:
        ended = {index: News(index, "failed", reason=reason_of(error)) for index in untrained}
    else:
        failed = {index: reasons[spec.train_key] for index, spec in untrained.items() if spec.train_key in reasons}
        ended = {index: News(index, "failed", reason=reason) for index, reason in failed.items()}
    for news in ended.values():
        tell(news)
    return set(ended)


def give_up(index: int, spec: Spec, store: Store, tell: Tell, reason: str) -> None:
    """Note that a cell failed for a reason that it could not note itself."""
    with suppress(Busy), store.hold(spec, wait=1.0) as held:
        held.write_failure(spec, reason)
    tell(News(index, "failed", reason=reason))


def _one(index: int, spec: Spec, task: Task, store: Store, tell: Tell) -> None:
    def progress(step: int, steps: int, logs: dict[str, float]) -> None:
        tell(News(index, "step", step, steps, tuple(logs.items())))

    tell(News(index, "started"))
    try:
        with Logbooks(task.log, store.root, spec) as books:
            books.conclude(run(spec, store, progress=books.listening(progress), wait=task.wait))
    except Busy as reason:
        tell(News(index, "busy", reason=str(reason)))
    except ConfigError as reason:
        give_up(index, spec, store, tell, str(reason))
    except Exception as error:
        tell(News(index, "failed", reason=reason_of(error)))
    else:
        tell(News(index, "done"))


class Forwarder(logging.Handler):
    """Passes on what is logged as news.

    Args:
        tell: to whom.
    """

    def __init__(self, tell: Tell) -> None:
        super().__init__(logging.WARNING)
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one message."""
        self.tell(News(-1, "said", reason=record.getMessage()))
