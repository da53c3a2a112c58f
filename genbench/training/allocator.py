"""Configure the allocator of glibc to keep the memory that tensors free, for the next ones.

By default glibc maps every block above a threshold anew, and returns free memory at the top of the heap: the kernel
then clears the pages of tensors of some hundred KB again and again, a fifth of the time of a step of ten stacked
networks. No result depends on it.
"""

import ctypes
from contextlib import suppress

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # constants of malloc.h
LARGE = 32 * 2**20
"""Bytes above which a block is mapped separately and returned when freed; the maximum of glibc."""

KEPT = 256 * 2**20
"""Bytes of free memory that stay at the top of the heap."""


def keep_freed() -> None:
    """Keep the memory that this process frees. Has no effect unless the C library is glibc."""
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, LARGE)
        mallopt(_TRIM_THRESHOLD, KEPT)
