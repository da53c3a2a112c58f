"""Engines: where the cells of a sweep run. Results never depend on the engine."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Protocol

from genbench.errors import ConfigError, unknown
from genbench.runs.spec import Spec
from genbench.runs.store import Store
from genbench.sweeps.jobs import News, Task, Tell, tasks, work
from genbench.sweeps.process_pool import Workers
from genbench.sweeps.ray_executor import Cluster

ROUND = 2.0
"""Seconds for which a cell that somebody else is at is waited for before the next one is looked at."""


class Engine(Protocol):
    """Runs tasks somewhere: every cell ends with the news that it is done, failed or busy."""

    def run(self, tasks: Sequence[Task], tell: Tell) -> None:
        """Run tasks and return when all have ended."""
        ...


class Here:
    """An engine: this process.

    Args:
        store: where results are kept.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def run(self, tasks: Sequence[Task], tell: Tell) -> None:
        """Run tasks one after the other."""
        for task in tasks:
            work(task, self.store, tell)


def local(store: Store, jobs: int) -> AbstractContextManager[Engine]:
    """Return the engine for so many processes side by side; one job runs in this process."""
    return nullcontext(Here(store)) if jobs == 1 else Workers(store, jobs)


def chosen(name: str, store: Store, jobs: int, address: str | None, gpus: float) -> AbstractContextManager[Engine]:
    """Return the engine of that name.

    Args:
        name: local or ray.
        store: where results are kept.
        jobs: processes of the local one.
        address: of the Ray cluster.
        gpus: of each run on it.

    Raises:
        ConfigError: if there is none of that name, or it has no such option.
    """
    if name == "local":
        if address is not None or gpus:
            raise ConfigError("--address and --gpus are of a Ray cluster: add --engine ray")
        return local(store, jobs)
    if name == "ray":
        if jobs != 1:
            raise ConfigError("--jobs is of the local engine; Ray runs as many cells as its cores hold")
        return Cluster(store, address, gpus)
    raise unknown("no engine", name, ("local", "ray"))


def execute(
    specs: Sequence[Spec], store: Store, engine: AbstractContextManager[Engine], tell: Tell, log: Sequence[str] = ()
) -> list[str | None]:
    """Run every cell and return, for each, None or the reason why it failed. One failure never stops the others.

    A cell that somebody else is at is left for later, and then either found done, or taken over.

    Args:
        specs: the cells.
        store: where results are kept.
        engine: where they run.
        tell: hears what happens.
        log: logbooks that are kept of every run.
    """
    outcomes: dict[int, str | None] = {}

    def hear(news: News) -> None:
        if news.kind in ("done", "failed"):
            outcomes[news.cell] = news.reason if news.kind == "failed" else None
        tell(news)

    left = tasks(specs, log)
    try:
        with engine as entered:
            while left:
                entered.run(left, hear)
                left = [replace(rest, wait=ROUND) for task in left if (rest := task.left(outcomes)) is not None]
    finally:
        store.remove_leftovers()
    return [outcomes[index] for index in range(len(specs))]
