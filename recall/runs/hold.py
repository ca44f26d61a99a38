"""Locks that keep a run on disk while somebody reads it.

A reader holds a shared `flock` on the manifest of its run; whoever removes the run must first get the exclusive one,
and leaves the run alone when it cannot. The lock ends with the process, however it ends, and needs no right to write.
On Linux it works between processes, containers and, on NFS and most cluster file systems, machines. A file system
without it (the call answers ENOLCK, ENOSYS or EOPNOTSUPP) lets readers read as ever, and a remover sees no readers:
there the run that serves and the newest `runs.keep` are what stays, and a process that reads an older one for longer
may lose the files that it opens late, its embedded store.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from kg.errors import ArtifactError

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class RunHold:
    """Keeps one run on disk until it is released or nobody refers to it any more."""

    def __init__(self, manifest: Path) -> None:
        """Lock a run for reading.

        Args:
            manifest: of the run.

        Raises:
            ArtifactError: the run is gone, or is being removed.
        """
        self._descriptor: int | None = None
        gone = f"{manifest.parent} is being removed: load the run that serves now"
        try:
            self._descriptor = os.open(manifest, os.O_RDONLY | os.O_CLOEXEC)
            with _without_locks_suppressed():
                fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # It may have been renamed and unlocked again between the two calls.
            there = os.path.samestat(os.fstat(self._descriptor), manifest.stat())
        except (FileNotFoundError, BlockingIOError) as error:
            self.release()
            raise ArtifactError(gone) from error
        if not there:
            self.release()
            raise ArtifactError(gone)

    def release(self) -> None:
        """Let the run go; once is enough."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()


@contextmanager
def without_readers(manifest: Path) -> Iterator[bool]:
    """Say whether nobody reads a run; while the block lasts, nobody can begin to.

    Args:
        manifest: of the run; may be missing, and then nobody can read it.
    """
    try:
        descriptor = _opened(manifest)
    except FileNotFoundError:
        yield True
        return
    try:
        alone = True
        try:
            with _without_locks_suppressed():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            alone = False
        yield alone
    finally:
        os.close(descriptor)


def _opened(manifest: Path) -> int:
    with suppress(PermissionError):  # NFS locks a file exclusively only for who may write it
        return os.open(manifest, os.O_RDWR | os.O_CLOEXEC)
    return os.open(manifest, os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def _without_locks_suppressed() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
