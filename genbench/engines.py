"""Engines: where the cells of a sweep run. Results never depend on the engine."""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Literal

from genbench.errors import ConfigError, RunFailed
from genbench.runner import run
from genbench.spec import Spec
from genbench.store import Store


@dataclass(frozen=True)
class News:
    """What happened to a cell.

    Args:
        cell: its index.
        kind: started, step (with step, steps and logs), done or failed (with the reason).
        step: finished steps of training.
        steps: all steps of training.
        logs: latest logged scalars.
        reason: why it failed.
    """

    cell: int
    kind: Literal["started", "step", "done", "failed"]
    step: int = 0
    steps: int = 0
    logs: tuple[tuple[str, float], ...] = ()
    reason: str = ""


Tell = Callable[[News], None]
Group = Sequence[tuple[int, Spec]]
"""Cells, with their indices, that are run one after the other."""


def execute(specs: Sequence[Spec], store: Store, jobs: int, tell: Tell) -> list[str | None]:
    """Run every cell and return, for each, None or the reason why it failed. One failure never stops the others.

    Args:
        specs: the cells.
        store: where results are kept.
        jobs: processes side by side; 1 runs in this process.
        tell: hears what happens.
    """
    if jobs == 1:
        return [_cell(index, spec, store, tell) for index, spec in enumerate(specs)]
    # Cells that share a trained model (they differ in sampling) are one piece of work: it is trained once.
    groups: dict[str, list[int]] = {}
    for index, spec in enumerate(specs):
        groups.setdefault(spec.train_key, []).append(index)
    outcomes: list[str | None] = [None] * len(specs)
    work = [[(index, specs[index]) for index in group] for group in groups.values()]
    for group, reasons in zip(work, _processes(work, store, jobs, tell), strict=True):
        for (index, _), reason in zip(group, reasons, strict=True):
            outcomes[index] = reason
    return outcomes


def _cell(index: int, spec: Spec, store: Store, tell: Tell) -> str | None:
    def progress(step: int, steps: int, logs: dict[str, float]) -> None:
        tell(News(index, "step", step, steps, tuple(logs.items())))

    tell(News(index, "started"))
    try:
        run(spec, store, progress=progress)
    except (RunFailed, ConfigError) as error:
        return _failed(index, spec, store, tell, str(error))
    except Exception as error:
        # A bug in one cell, perhaps in a plug-in: its traceback is kept beside it, and the sweep goes on.
        store.fail(spec, traceback.format_exc())
        return _failed(index, spec, store, tell, f"{type(error).__name__}: {error}", keep=False)
    tell(News(index, "done"))
    return None


def _failed(index: int, spec: Spec, store: Store, tell: Tell, reason: str, *, keep: bool = True) -> str:
    if keep:
        store.fail(spec, reason)
    tell(News(index, "failed", reason=reason))
    return reason


def _processes(work: Sequence[Group], store: Store, jobs: int, tell: Tell) -> list[list[str | None]]:
    context = multiprocessing.get_context("spawn")
    news: Any = context.Queue()
    done = threading.Event()

    def listen() -> None:
        while (item := news.get()) is not None:
            tell(item)
        done.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    outcomes: list[list[str | None]] = [["never started"] * len(group) for group in work]
    waiting = dict(enumerate(work))
    suspects: list[int] = []
    pool = None
    try:
        while waiting:
            alone = suspects.pop(0) if suspects else None
            chosen = dict(waiting) if alone is None else {alone: waiting[alone]}
            pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(news, os.getpid()))
            futures: dict[int, Future] = {i: pool.submit(_work, group, store) for i, group in chosen.items()}
            try:
                for i, future in futures.items():
                    outcomes[i] = future.result()
                    del waiting[i]
            except BrokenProcessPool:
                for i, future in futures.items():
                    if i in waiting and future.done() and future.exception() is None:
                        outcomes[i] = future.result()
                        del waiting[i]
                # A worker was killed, and with it the pool. Which cell was it? Those that were running go on alone:
                # one that is killed again is given up.
                if alone is None:
                    suspects = list(waiting)[:jobs]
                else:
                    killed = "its process was killed"
                    outcomes[alone] = [_failed(i, spec, store, news.put, killed) for i, spec in waiting.pop(alone)]
            pool.shutdown()
    except KeyboardInterrupt:
        if pool is not None:
            for process in list((pool._processes or {}).values()):
                process.terminate()
        raise
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        news.put(None)
        done.wait(timeout=5)
    return outcomes


_news: Any = None


def _begin(news: Any, parent: int) -> None:
    """Set a worker up: its news go to the parent, which alone answers Ctrl-C, and it does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global _news
    _news = news
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _work(group: Group, store: Store) -> list[str | None]:
    return [_cell(index, spec, store, _news.put) for index, spec in group]
