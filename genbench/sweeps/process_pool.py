"""Workers: processes of this machine that run one task after the other. They do not outlive their parent."""

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
from types import TracebackType

from genbench.runs.store import Store
from genbench.sweeps import child_process
from genbench.sweeps.jobs import Forwarder, News, Task, Tell, give_up, work

TRIES = 2
"""How often a task is begun whose process is killed."""


class Worker:
    """A process that waits for tasks.

    Args:
        store: where results are kept.
    """

    def __init__(self, store: Store) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=child_process.begin, args=(__name__, serve.__name__, end))
        # Ctrl-C is for the parent alone, from the first moment on: the child inherits what is blocked.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        end.close()
        with suppress(OSError):  # that it has ended already is seen in a moment
            self.pipe.send(store)
        self.task: Task | None = None

    def begin(self, task: Task) -> None:
        """Give it a task."""
        self.task = task
        self.pipe.send(task)

    def end(self) -> None:
        """Let it go when it is idle; otherwise end it."""
        if self.task is not None:
            self.process.terminate()
        with suppress(OSError):
            self.pipe.send(None)
        self.pipe.close()
        self.process.join(timeout=10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class Workers:
    """An engine: local processes side by side.

    Args:
        store: where results are kept.
        jobs: how many processes; fewer run at a time where the threads of their tasks would not fit the cores.
    """

    def __init__(self, store: Store, jobs: int) -> None:
        self.store = store
        self.jobs = jobs
        self.threads = max(jobs, _cores())
        self.workers: list[Worker] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            if worker.task is not None:
                worker.process.terminate()
        while self.workers:
            self.workers.pop().end()

    def run(self, tasks: Sequence[Task], tell: Tell) -> None:
        """Run tasks. Of those whose process was killed, what is left is tried again, and then given up."""
        waiting, ended, killed = deque(tasks), {}, Counter()

        def hear(news: News) -> None:
            if news.kind in ("done", "failed", "busy"):
                ended[news.cell] = news
            tell(news)

        while waiting or any(worker.task for worker in self.workers):
            self._hand_out(waiting)
            for pipe in wait([worker.pipe for worker in self.workers if worker.task]):
                worker = next(worker for worker in self.workers if worker.pipe is pipe)
                try:
                    news = worker.pipe.recv()
                except (EOFError, OSError):
                    self.workers.remove(worker)
                    worker.process.join()
                    self._killed(worker, waiting, ended, killed, hear)
                else:
                    if news is None:
                        worker.task = None
                    else:
                        hear(news)

    def _hand_out(self, waiting: deque[Task]) -> None:
        while waiting:
            used = sum(worker.task.threads for worker in self.workers if worker.task)
            fitting = next((task for task in waiting if not used or used + task.threads <= self.threads), None)
            idle = next((worker for worker in self.workers if not worker.task), None)
            if fitting is None or (idle is None and len(self.workers) >= self.jobs):
                return
            if idle is None:
                idle = Worker(self.store)
                self.workers.append(idle)
            waiting.remove(fitting)
            try:
                idle.begin(fitting)
            except OSError:
                continue  # it was killed while it was idle; that its pipe is closed is seen in a moment

    def _killed(
        self, worker: Worker, waiting: deque[Task], ended: dict[int, News], killed: Counter[int], hear: Tell
    ) -> None:
        left = worker.task.left(ended) if worker.task else None
        if left is None:
            return
        first = next(iter(left.cells))
        killed[first] += 1
        code = worker.process.exitcode
        how = (
            f"its process was killed by signal {-code}" if code and code < 0 else f"its process ended with code {code}"
        )
        # The models of a stack were lost together.
        lost = left.cells if left.cells[first].stack else {first: left.cells[first]}
        for index, spec in lost.items():
            if killed[first] < TRIES:
                hear(News(index, "lost", reason=how))
            else:
                give_up(index, spec, self.store, hear, f"{how}, {TRIES} times")
        if killed[first] >= TRIES:
            left = left.left(ended)
        if left is not None:
            waiting.append(left)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def serve(pipe: Connection) -> None:
    """Work for the parent, which says in which store, and then what."""
    store: Store = pipe.recv()
    lock = threading.Lock()

    def send(news: News | None) -> None:
        with lock:
            pipe.send(news)

    logging.getLogger("genbench").addHandler(Forwarder(send))
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        if task is None:
            return
        work(task, store, send)
        send(None)
