"""Where the jobs of a sweep run: in this process or in several. Results never depend on it."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from multiprocessing.connection import Connection
from types import FrameType
from typing import TYPE_CHECKING

import torch

from genbench.errors import reason_of
from genbench.runs.spec import Spec
from genbench.runs.store import Store
from genbench.storage.memory import keep_freed
from genbench.sweeps.cells import GRACE, CellEvent, Job, OnEvent, forwarded_warnings, give_up, make_jobs, run_job
from genbench.sweeps.durations import Duration

if TYPE_CHECKING:
    from genbench.sweeps.ray_cluster import RayCluster

log = logging.getLogger("genbench")

POLL = 0.2
"""Seconds between two looks at the events of running jobs."""


def execute(
    specs: Sequence[Spec],
    store: Store,
    processes: int,
    on_event: OnEvent,
    loggers: Sequence[str] = (),
    durations: Sequence[Duration] = (),
    cluster: "RayCluster | None" = None,
) -> list[str | None]:
    """Run every cell and return, for each, None or the reason why it failed. One failure never stops the others.

    Args:
        processes: number of processes; 1 runs the cells in this process.
        durations: how long cells like these took; the longest run first, so that none is alone at the end.
        cluster: where the cells run instead of on this machine.
    """
    reasons: dict[int, str | None] = {}

    def watch(event: CellEvent) -> None:
        if event.cell in reasons:  # news of a cluster may come late
            return
        if event.kind in ("done", "failed"):
            reasons[event.cell] = event.message if event.kind == "failed" else None
        on_event(event)

    jobs = make_jobs(specs, loggers)
    if durations:
        jobs.sort(key=lambda job: -sum(sum(durations[index]) for index in job.cells))
    try:
        if processes == 1 and cluster is None:
            run_here(jobs, store, watch)
        else:
            with cluster or ProcessPool(store, processes) as workers:
                run_on(workers, jobs, store, watch, reasons)
    finally:
        store.remove_leftovers()
    return [reasons[index] for index in range(len(specs))]


def run_here(jobs: Sequence[Job], store: Store, on_event: OnEvent) -> None:
    """Run jobs in this process; a job that another process holds is tried again after the others."""
    waiting = deque(jobs)
    while waiting:
        left = run_job(waiting.popleft(), store, on_event)
        if left is not None:
            waiting.append(left)


def run_on(
    workers: "ProcessPool | RayCluster", jobs: Sequence[Job], store: Store, on_event: OnEvent, ended: Collection[int]
) -> None:
    """Run jobs on workers until every cell has ended with an event "done" or "failed".

    Args:
        ended: the cells that have ended, which the caller updates by the events.
    """
    waiting, running, losses = deque(jobs), dict[Future, Job](), Counter[int]()
    while waiting or running:
        for job in list(waiting):
            future = workers.start(job)
            if future is not None:
                waiting.remove(job)
                running[future] = job
        finished, _ = wait(running, POLL, FIRST_COMPLETED)
        for event in workers.events():
            on_event(event)
        for future in finished:
            job = running.pop(future)
            try:
                left = workers.result(future, on_event)
            except Exception as error:
                reason = "its process was killed" if isinstance(error, BrokenExecutor) else reason_of(error)
                left = job.only({*job.cells}.difference(ended))
                if left is not None:
                    left = _without_lost(left, losses, workers.tries, reason, store, on_event)
            if left is not None:
                waiting.append(left)


def _without_lost(
    job: Job, losses: Counter[int], tries: int, reason: str, store: Store, on_event: OnEvent
) -> Job | None:
    """Report that the process of a job was lost, and return what to try again."""
    first = next(iter(job.cells))
    losses[first] += 1
    # The members of an ensemble were trained together, and are lost together.
    lost = job.cells if job.cells[first].stack else {first: job.cells[first]}
    if losses[first] < tries:
        for index in lost:
            on_event(CellEvent(index, "lost", message=reason))
        return job
    for index, spec in lost.items():
        give_up(index, spec, store, on_event, f"{reason}, {tries} times" if tries > 1 else reason)
    return job.only(job.cells.keys() - lost.keys())


class Worker:
    """An executor with one process, because a killed process breaks the whole of its executor.

    Args:
        gpu: the only GPU that the process sees, as CUDA_VISIBLE_DEVICES names it; empty for none.
    """

    def __init__(self, gpu: str) -> None:
        self.gpu = gpu
        context = multiprocessing.get_context("spawn")
        self.events, sender = context.Pipe(duplex=False)
        self.executor = ProcessPoolExecutor(1, context, prepare, (sender, gpu))
        self.threads = 0
        children = set(multiprocessing.active_children())
        # The process inherits the blocked signal, so that Ctrl-C never reaches it: the parent handles it.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.future: Future = self.executor.submit(os.getpid)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        (self.process,) = set(multiprocessing.active_children()) - children
        sender.close()

    def submit(self, job: Job, store: Store) -> Future:
        """Run a job after what was submitted before."""
        self.future, self.threads = self.executor.submit(work, job, store), job.threads
        return self.future


class ProcessPool:
    """Processes on this machine; they do not outlive their parent.

    Args:
        processes: number of processes, each with its own GPU if there are enough. Without GPUs, fewer run at a time if
            the threads of their jobs would exceed the cores.
    """

    tries = 2

    def __init__(self, store: Store, processes: int) -> None:
        self.store = store
        self.processes = processes
        self.gpus = visible_gpus()
        self.max_threads = float("inf") if self.gpus else max(processes, _cores())
        self.workers: list[Worker] = []

    def __enter__(self) -> "ProcessPool":
        if 0 < len(self.gpus) < self.processes:
            text = "%d processes share %d GPUs; --jobs %d gives each a GPU of its own"
            log.warning(text, self.processes, len(self.gpus), len(self.gpus))
        return self

    def __exit__(self, *error: object) -> None:
        busy = [worker for worker in self.workers if not worker.future.done()]
        for worker in busy:
            worker.process.terminate()
        try:
            wait([worker.future for worker in busy], GRACE)
        finally:
            for worker in self.workers:
                if not worker.future.done():
                    worker.process.kill()
                worker.executor.shutdown()

    def start(self, job: Job) -> Future | None:
        """Start a job; None while there is no room for it."""
        busy = [worker for worker in self.workers if not worker.future.done()]
        threads = job.threads + sum(worker.threads for worker in busy)
        if len(busy) == self.processes or (busy and threads > self.max_threads):
            return None
        worker = next((worker for worker in self.workers if worker.future.done()), None)
        if worker is None:
            used = Counter(worker.gpu for worker in self.workers)
            worker = Worker(min(self.gpus, key=used.__getitem__, default=""))
            self.workers.append(worker)
        try:
            return worker.submit(job, self.store)
        except BrokenExecutor:  # its process was killed; the next call starts another
            self.workers.remove(worker)
            return None

    def events(self) -> list[CellEvent]:
        """Return what has happened since the last call."""
        received = []
        for worker in self.workers:
            with suppress(EOFError, OSError):  # the process was killed
                while worker.events.poll():
                    received.append(worker.events.recv())
        return received

    def result(self, future: Future, on_event: OnEvent) -> Job | None:
        """Return the cells of a job that other processes hold. Raises the error by which its process was lost."""
        return future.result()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    count, named = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return [name.strip() for name in named.split(",")][:count] if named else [str(index) for index in range(count)]


_pipes: list[Connection] = []
_lock = threading.Lock()
"""A worker process reports events through its pipe; warnings may come from other threads."""


def _send(event: CellEvent) -> None:
    with _lock:
        _pipes[0].send(event)


def prepare(pipe: Connection, gpu: str) -> None:
    """Prepare a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    keep_freed()
    _pipes.append(pipe)


def work(job: Job, store: Store) -> Job | None:
    """Run a job in a worker process. SIGTERM, which an idle process obeys at once, lets it save its training."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        with forwarded_warnings(_send):
            return run_job(job, store, _send)
    except KeyboardInterrupt:
        raise RuntimeError("its process was stopped by SIGTERM") from None
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _stop(number: int, frame: FrameType | None) -> None:
    """Save checkpoints and give back leases as on Ctrl-C; a second signal does not interrupt this."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
