"""The lock that one process at a time holds while it changes a runs folder."""

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

LOCK = ".refresh.lock"
HOLDER = ".refresh.json"


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a runs folder, which is made where it is missing; the lock ends with the process.

    It is a `flock`. On a file system without it filelock marks the lock by a file, which can outlive a process that
    is killed: remove `.refresh.lock` by hand then.

    Raises:
        RefreshInProgressError: another process holds it.
        ConfigError: the folder is a file, or cannot be written to.
    """
    lock = FileLock(folder / LOCK)
    holder = folder / HOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
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


def _described(holder: Path) -> str:
    """Which process holds the lock, for a message; empty where its file cannot be read."""
    with suppress(ArtifactError, KeyError, TypeError):
        facts = read_json(holder)
        return f" (process {facts['pid']} on {facts['host']}, since {facts['since']})"
    return ""
