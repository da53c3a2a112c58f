"""Activity: what long work reports about itself. The command line shows it; elsewhere it has no listener."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how many is done; 0 of 0 where that is not counted."""

_listeners: list[Listener] = []


def report(what: str, done: int = 0, total: int = 0) -> None:
    """Tell the listener of this process, if there is one, what is being done."""
    if _listeners:
        _listeners[-1](what, done, total)


@contextmanager
def shown_by(listener: Listener) -> Iterator[None]:
    """Let a listener hear the reports of a block, in all threads of this process."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
