"""Locks that one process at a time holds: while it changes a runs folder, and while it writes single files of it.

Each is a `flock`, which ends with the process, however it ends. A file in its place would outlive a process that is
killed, and refuse for ever, so a file system without `flock` is refused.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from os import getpid
from pathlib import Path
from platform import node

from filelock import FileLock, Timeout

from kg.errors import ArtifactError, ConfigError, RefreshInProgressError
from kg.io.files import read_json, write_json
from recall.runs.hold import NO_LOCKS

LOCK = ".refresh.lock"
HOLDER = ".refresh.json"


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a runs folder, which is made where it is missing; the lock ends with the process.

    Raises:
        RefreshInProgressError: another process holds it.
        ConfigError: the folder is a file, cannot be written to, or is on a file system without locks.
    """
    holder = folder / HOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = acquire(folder / LOCK)
    except Timeout as error:
        raise RefreshInProgressError(
            f"another refresh{_described(holder)} is writing to {folder}: wait for it, or give this one another "
            "runs.folder"
        ) from error
    except FileExistsError as error:
        raise ConfigError(f"runs.folder is {folder}, which is a file: name a folder") from error
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise ConfigError(
            f"runs.folder {folder} cannot be written to by this user ({error.strerror}): give it the right, or "
            "name another folder"
        ) from error
    try:
        with suppress(OSError):  # the disk may be full; the file only improves the message above
            since = datetime.now(UTC).isoformat(timespec="seconds")
            write_json(holder, {"pid": getpid(), "host": node(), "since": since})
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
        lock.release()


def acquire(file: Path, *, patience: float = 0.0, every: float = 0.05) -> FileLock:
    """Get a lock; release it by `release()`.

    Args:
        file: that stands for it, made where it is missing; its folder exists. It stays there and means nothing by that.
        patience: seconds to wait for another process.
        every: seconds between two tries.

    Raises:
        filelock.Timeout: another process holds it.
        ConfigError: the file system has no locks.
        OSError: the file cannot be opened.
    """
    lock = FileLock(file, fallback_to_soft=False)
    try:
        lock.acquire(timeout=patience, poll_interval=every)
    except OSError as error:  # a Timeout is one, too, without a number
        if error.errno not in NO_LOCKS:
            raise
        raise ConfigError(
            f"the file system of {file.parent} has no locks (flock: {error.strerror}), and without them two processes "
            "would write to it at once: mount it with locks (NFS: without `nolock`, and with its lock service "
            "running), or name a runs.folder on another disk"
        ) from error
    return lock


def _described(holder: Path) -> str:
    """Which process holds the lock, for a message; empty where its file cannot be read."""
    with suppress(ArtifactError, KeyError, TypeError):
        facts = read_json(holder)
        return f" (process {facts['pid']} on {facts['host']}, since {facts['since']})"
    return ""
