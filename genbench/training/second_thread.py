"""A second thread, which works ahead of the first one or beside it."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch

T = TypeVar("T")


def second_thread_allowed(device: torch.device) -> bool:
    """Return whether a second thread may work: not on the CPU in a worker of a sweep, whose siblings use all cores."""
    return device.type != "cpu" or multiprocessing.parent_process() is None


def prefetch(draw: Callable[[int], T], steps: range) -> Iterator[T]:
    """Yield what `draw` returns for each step, while a second thread draws for the next step.

    On a GPU, both threads use the same stream. An error of `draw` is raised at its own step.
    """
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(draw, steps[0])
        for following in steps[1:]:
            drawn, coming = coming.result(), thread.submit(draw, following)
            yield drawn
        yield coming.result()


@contextmanager
def beside(idle: bool) -> Iterator[Callable[..., Callable[[], Any]]]:
    """Yield `submit(function, ...)`, which runs a function in a second thread and returns a getter of its result.

    The getter, to be called once, runs the function itself if the second thread has not begun it.

    Args:
        idle: whether the second thread is free; False runs each function at once, in this thread.
    """
    with ThreadPoolExecutor(1) as thread:

        def submit(function: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[[], Any]:
            work = partial(function, *arguments, **options)
            if not idle:
                result = work()
                return lambda: result
            future = thread.submit(work)
            return lambda: work() if future.cancel() else future.result()

        try:
            yield submit
        finally:
            thread.shutdown(wait=False, cancel_futures=True)
