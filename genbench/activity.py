"""Activity: progress messages of long computations. The command line shows them; elsewhere nothing listens."""

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
