"""Configure the allocator of glibc to keep the memory that tensors free, for the next ones.

glibc maps every block above a threshold afresh, and hands the top of the heap back when it is free: the kernel then
clears the pages of tensors of some hundred KB over and over. A training step of ten stacked networks spends a fifth of
its time on that. No result depends on it.
"""

import ctypes
from contextlib import suppress

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # as malloc.h has them
LARGE = 32 * 2**20
"""Bytes from which a block is mapped on its own, and returned when freed; glibc takes no higher threshold."""

KEPT = 256 * 2**20
"""Bytes of free memory at the top of the heap that are kept."""


def keep_freed() -> None:
    """Let this process keep what it frees. Does nothing where the C library is not glibc."""
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, LARGE)
        mallopt(_TRIM_THRESHOLD, KEPT)
