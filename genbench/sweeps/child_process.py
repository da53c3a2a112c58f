"""Offspring: how a process begins that must not outlive its parent: before it imports anything that takes a while."""

import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

from genbench.training.allocator import keep_freed


def begin(module: str, function: str, pipe: Connection) -> None:
    """Follow the parent, which alone answers Ctrl-C, and call a function of a module with a pipe to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow, daemon=True).start()
    keep_freed()
    called: Callable[[Connection], None] = getattr(importlib.import_module(module), function)
    called(pipe)


def _follow() -> None:
    """End this process when its parent has ended, however it ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
