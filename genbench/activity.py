"""Activity: progress messages of long computations, which the command line shows, and the age of a training step."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, int, int], None]
"""Called with a description of the work, the number done, and the total number; both are 0 if it is not counted."""

_listeners: list[Listener] = []


def report(what: str, done: int = 0, total: int = 0) -> None:
    """Send a description of the current work to the listener of this process, if there is one."""
    if _listeners:
        _listeners[-1](what, done, total)


@contextmanager
def shown_by(listener: Listener) -> Iterator[None]:
    """Send the reports of a block, from all threads of this process, to a listener."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


_steps: list[float] = []


@contextmanager
def training_step() -> Iterator[None]:
    """Measure how long the block, one step of a training, takes."""
    _steps.append(time.monotonic())
    try:
        yield
    finally:
        _steps.pop()


def step_age() -> float:
    """Return the seconds since the current training step of this process began; 0 if there is none."""
    return time.monotonic() - _steps[-1] if _steps else 0.0
