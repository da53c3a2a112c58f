"""Executors: where the jobs of a sweep run. Results never depend on the executor."""

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from genbench.runs.spec import Spec
from genbench.runs.store import Store
from genbench.sweeps.jobs import Job, JobEvent, OnEvent, make_jobs, run_job
from genbench.sweeps.process_pool import ProcessPool


class Executor(Protocol):
    """Runs jobs somewhere."""

    def run(self, jobs: Sequence[Job], on_event: OnEvent) -> None:
        """Run jobs until every cell has ended with an event "done" or "failed"."""
        ...


class SequentialExecutor:
    """Runs jobs in this process, one after the other."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def run(self, jobs: Sequence[Job], on_event: OnEvent) -> None:
        """Run jobs; one that another process holds is tried again after the others."""
        waiting = deque(jobs)
        while waiting:
            left = run_job(waiting.popleft(), self.store, on_event)
            if left is not None:
                waiting.append(left)


def local(store: Store, processes: int) -> AbstractContextManager[Executor]:
    """Return the executor for a number of processes on this machine; a single one is this process."""
    return nullcontext(SequentialExecutor(store)) if processes == 1 else ProcessPool(store, processes)


def execute(
    specs: Sequence[Spec],
    store: Store,
    executor: AbstractContextManager[Executor],
    on_event: OnEvent,
    loggers: Sequence[str] = (),
) -> list[str | None]:
    """Run every cell and return, for each, None or the reason why it failed. One failure never stops the others."""
    reasons: dict[int, str | None] = {}

    def watch(event: JobEvent) -> None:
        if event.kind in ("done", "failed"):
            reasons[event.cell] = event.message if event.kind == "failed" else None
        on_event(event)

    try:
        with executor as entered:
            entered.run(make_jobs(specs, loggers), watch)
    finally:
        store.remove_leftovers()
    return [reasons[index] for index in range(len(specs))]
