"""Limits that the operating system puts on this process; what cannot be limited on a system is left as it is."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

_STATM = Path("/proc/self/statm")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_more_memory(more: int) -> bool:
    """Let this process take some bytes more than it has, and no more.

    What it has reserved without using it counts as taken, so it may use that as well.

    Returns:
        Whether the system does it: Linux does.
    """
    try:
        pages = int(_STATM.read_text().split()[0])
    except OSError:
        return False
    most = pages * resource.getpagesize() + more
    _lower(resource.RLIMIT_AS, most)
    return True


def limit_seconds(seconds: float) -> None:
    """Let this process compute for some seconds more, on all cores together, after which the system ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


def forbid_files() -> None:
    """Let this process write no file, and leave no image of its memory when it dies."""
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, most: int) -> None:
    soft, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    if soft == resource.RLIM_INFINITY or most < soft:
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, hard))
