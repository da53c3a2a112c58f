"""Memory: requests that cannot fit into this machine are refused by an estimate, before anything is allocated."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from genbench.errors import ConfigError

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # constants of malloc.h
LARGE = 32 * 2**20
"""Size in bytes above which a block is mapped separately and returned when freed; the largest that glibc allows."""

KEPT = 256 * 2**20
"""Bytes of free memory that stay at the top of the heap."""

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files in which containers state their limit."""


@cache
def total() -> float:
    """Return the bytes of memory of this machine or container; infinity if the number is not known."""
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


@contextmanager
def uncollected_imports() -> Iterator[None]:
    """Pause cyclic garbage collection while torch is imported, and leave what then exists out of later collections.

    The objects of torch's modules live as long as the process, but every collection scans them, even at exit. These
    scans take a quarter of the time of a command that only imports torch. If torch is already imported, collection
    stays as it is.
    """
    if "torch" in sys.modules:
        yield
        return
    with paused_collection():
        yield
        gc.freeze()


def require(size: float, what: str) -> None:
    """Refuse a request that needs more memory than there is.

    Args:
        size: bytes that the request needs at least.
        what: the setting, for the message, such as "plan.batch_size=1000000000".

    Raises:
        ConfigError: if this is more than the machine has.
    """
    if size > total():
        raise ConfigError(f"{what} needs at least {_gib(size)} of memory, but this machine has {_gib(total())}")


def _gib(size: float) -> str:
    return f"{size / 2**30:,.0f} GiB" if size < 2**60 else f"{size / 2**30:.0e} GiB"


def keep_freed() -> None:
    """Keep the memory that this process frees for its next tensors. Has no effect unless the C library is glibc.

    By default, glibc maps every block above a threshold anew, and returns free memory at the top of the heap. The
    kernel then clears the pages of tensors of some hundred KB again and again, which takes a fifth of the time of a
    step of ten stacked networks. No result depends on this.
    """
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, LARGE)
        mallopt(_TRIM_THRESHOLD, KEPT)
