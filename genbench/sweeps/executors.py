"""Where the jobs of a sweep run: in this process, or in a pool of processes. Results never depend on it.

The processes of a pool run one job after the other, and do not outlive their parent.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import NamedTuple

import torch

from genbench.runs.spec import Spec
from genbench.runs.store import Store
from genbench.storage.memory import keep_freed
from genbench.sweeps.jobs import Job, JobEvent, OnEvent, WarningForwarder, give_up, make_jobs, run_job

log = logging.getLogger("genbench")

MAX_TRIES = 2
"""How often a job is started if its process is killed each time."""

GRACE = 60.0
"""Seconds in which a stopped worker may save the checkpoint of its training before it is killed."""


def execute(
    specs: Sequence[Spec], store: Store, processes: int, on_event: OnEvent, loggers: Sequence[str] = ()
) -> list[str | None]:
    """Run every cell and return, for each, None or the reason why it failed. One failure never stops the others.

    Args:
        processes: number of processes; 1 runs the cells in this process.
    """
    reasons: dict[int, str | None] = {}

    def watch(event: JobEvent) -> None:
        if event.kind in ("done", "failed"):
            reasons[event.cell] = event.message if event.kind == "failed" else None
        on_event(event)

    jobs = make_jobs(specs, loggers)
    try:
        if processes == 1:
            run_here(store, jobs, watch)
        else:
            with ProcessPool(store, processes) as pool:
                pool.run(jobs, watch)
    finally:
        store.remove_leftovers()
    return [reasons[index] for index in range(len(specs))]


def run_here(store: Store, jobs: Sequence[Job], on_event: OnEvent) -> None:
    """Run jobs in this process; a job that another process holds is tried again after the others."""
    waiting = deque(jobs)
    while waiting:
        left = run_job(waiting.popleft(), store, on_event)
        if left is not None:
            waiting.append(left)


class Finished(NamedTuple):
    """What a worker sends at the end of a job: a job with the cells that other processes hold, or None."""

    left: Job | None


class Worker:
    """A process that runs the jobs it is sent.

    Args:
        gpu: the only GPU that the process sees, as CUDA_VISIBLE_DEVICES names it; empty for none.
    """

    def __init__(self, store: Store, gpu: str = "") -> None:
        self.gpu = gpu
        context = multiprocessing.get_context("spawn")
        self.pipe, child_end = context.Pipe()
        self.process = context.Process(target=serve, args=(child_end, gpu))
        # The child inherits the blocked signals, so that Ctrl-C never reaches it: the parent handles it.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        child_end.close()
        with suppress(OSError):  # if the process has ended already, its closed pipe is noticed later
            self.pipe.send(store)
        self.job: Job | None = None
        self.ended: set[int] = set()

    def send(self, job: Job) -> None:
        """Let the process run a job."""
        self.job, self.ended = job, set()
        self.pipe.send(job)

    def stop(self) -> None:
        """Stop the process, which may save the checkpoint of its training first."""
        if self.job is not None:
            self.process.terminate()
        with suppress(OSError):
            self.pipe.send(None)
        self.process.join(timeout=GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


class ProcessPool:
    """Runs jobs in several processes on this machine.

    Args:
        processes: number of processes; fewer run at a time if the threads of their jobs would exceed the cores. Each
            process has its own GPU, if there are enough.
    """

    def __init__(self, store: Store, processes: int) -> None:
        self.store = store
        self.processes = processes
        self.max_threads = max(processes, _cores())
        self.workers: list[Worker] = []
        self.gpus = visible_gpus()

    def __enter__(self) -> "ProcessPool":
        if 0 < len(self.gpus) < self.processes:
            text = "%d processes share %d GPUs; --jobs %d gives each a GPU of its own"
            log.warning(text, self.processes, len(self.gpus), len(self.gpus))
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers:
            if worker.job is not None:
                worker.process.terminate()
        while self.workers:
            self.workers.pop().stop()

    def run(self, jobs: Sequence[Job], on_event: OnEvent) -> None:
        """Run jobs until every cell has ended with an event "done" or "failed".

        If the process of a job is killed, the job is tried again, at most `MAX_TRIES` times in all.
        """
        waiting, kills = deque(jobs), Counter()
        while waiting or any(worker.job for worker in self.workers):
            self._distribute(waiting)
            for pipe in wait([worker.pipe for worker in self.workers if worker.job]):
                worker = next(worker for worker in self.workers if worker.pipe is pipe)
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    self.workers.remove(worker)
                    worker.process.join()
                    self._handle_kill(worker, waiting, kills, on_event)
                    continue
                if isinstance(message, Finished):
                    worker.job = None
                    waiting.extend([message.left] if message.left is not None else [])
                else:
                    if message.kind in ("done", "failed"):
                        worker.ended.add(message.cell)
                    on_event(message)

    def _distribute(self, waiting: deque[Job]) -> None:
        while waiting:
            used = sum(worker.job.threads for worker in self.workers if worker.job)
            fitting = next((job for job in waiting if not used or used + job.threads <= self.max_threads), None)
            idle = next((worker for worker in self.workers if not worker.job), None)
            if fitting is None or (idle is None and len(self.workers) >= self.processes):
                return
            if idle is None:
                used_gpus = Counter(worker.gpu for worker in self.workers)
                idle = Worker(self.store, min(self.gpus, key=used_gpus.__getitem__, default=""))
                self.workers.append(idle)
            waiting.remove(fitting)
            with suppress(OSError):  # if the process was killed while idle, its closed pipe is noticed later
                idle.send(fitting)

    def _handle_kill(self, worker: Worker, waiting: deque[Job], kills: Counter[int], on_event: OnEvent) -> None:
        left = worker.job.only(worker.job.cells.keys() - worker.ended) if worker.job is not None else None
        if left is None:
            return
        first = next(iter(left.cells))
        kills[first] += 1
        code = worker.process.exitcode
        how = f"was killed by signal {-code}" if code and code < 0 else f"ended with code {code}"
        # The members of an ensemble were trained together, and are lost together.
        lost = left.cells if left.cells[first].stack else {first: left.cells[first]}
        if kills[first] < MAX_TRIES:
            for index in lost:
                on_event(JobEvent(index, "lost", message=f"its process {how}"))
        else:
            for index, spec in lost.items():
                give_up(index, spec, self.store, on_event, f"its process {how}, {MAX_TRIES} times")
            left = left.only(left.cells.keys() - lost.keys())
        if left is not None:
            waiting.append(left)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    count, named = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return [name.strip() for name in named.split(",")][:count] if named else [str(index) for index in range(count)]


def serve(pipe: Connection, gpu: str) -> None:
    """Receive the store, then run the jobs that the parent sends until it sends None, or SIGTERM on Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    keep_freed()
    lock = threading.Lock()  # warnings may come from other threads

    def send(message: JobEvent | Finished) -> None:
        with lock:
            pipe.send(message)

    logging.getLogger("genbench").addHandler(WarningForwarder(send))
    try:
        store: Store = pipe.recv()
        while (job := pipe.recv()) is not None:
            send(Finished(run_job(job, store, send)))
    except (EOFError, BrokenPipeError):  # the parent has stopped the pool, or was killed
        pass
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGTERM)


def _stop(number: int, frame: FrameType | None) -> None:
    """Save checkpoints and give back leases as on Ctrl-C; a second signal does not interrupt this."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
