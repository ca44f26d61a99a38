"""Memory that the system has free, and that this process gives back to it."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")


def free_memory() -> int:
    """Bytes of memory that nobody needs now; of a system that does not say, all that it has."""
    with suppress(OSError, ValueError):
        (line,) = [line for line in _MEMINFO.read_text().splitlines() if line.startswith("MemAvailable:")]
        return int(line.split()[1]) << 10
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def give_back_memory() -> None:
    """Give the system the memory of what this process needs no more.

    glibc keeps freed memory below what is in use for itself, however much that is; other allocators are left to
    themselves.
    """
    gc.collect()
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
