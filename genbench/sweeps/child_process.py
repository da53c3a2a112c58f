"""The start of a child process that must not outlive its parent, before it imports anything that takes long."""

import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

from genbench.training.allocator import keep_freed


def start(module: str, function: str, pipe: Connection) -> None:
    """Call a function of a module with a pipe to the parent, which alone answers Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    keep_freed()
    called: Callable[[Connection], None] = getattr(importlib.import_module(module), function)
    called(pipe)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
