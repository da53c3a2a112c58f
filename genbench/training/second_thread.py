"""A second thread, which works ahead of the first one."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

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
