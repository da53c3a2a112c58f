"""Memory: requests that cannot fit into this machine are refused by an estimate, before anything is allocated."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from genbench.errors import ConfigError

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files in which containers state their limit."""


@cache
def total() -> float:
    """Return the bytes of memory that this machine, or this container, has; infinity where it is not known."""
    found = []
    with suppress(OSError, ValueError, AttributeError):
        found.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    for path in LIMITS:
        with suppress(OSError, ValueError):
            found.append(float(Path(path).read_text()))
    return min(found, default=float("inf"))


@contextmanager
def paused_collection() -> Iterator[None]:
    """Pause cyclic garbage collection, which takes a quarter of the time of commands that read thousands of records."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def require(size: float, what: str) -> None:
    """Refuse what needs more memory than there is.

    Args:
        size: bytes that it needs at least.
        what: the setting, for the message, such as "plan.batch_size=1000000000".

    Raises:
        ConfigError: if that is more than the machine has.
    """
    if size > total():
        raise ConfigError(f"{what} needs at least {_gib(size)} of memory, and this machine has {_gib(total())}")


def _gib(size: float) -> str:
    return f"{size / 2**30:,.0f} GiB" if size < 2**60 else f"{size / 2**30:.0e} GiB"
