"""What is done on a full disk: say so in one message, and free the space of the unfinished work."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kg.errors import GraphRecallError
from kg.io.removal import remove_trees
from recall.runs.registry import RunsFolder, free_bytes


@contextmanager
def disk_full_explained(folder: Path, *, again: str) -> Iterator[None]:
    """Turn the many ways in which libraries report a full disk into one message.

    Args:
        folder: of the runs.
        again: what to start again when there is room, and what becomes of it.
    """
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise GraphRecallError(
            f"the disk is full: {free_bytes(folder) / 1e6:.0f} MB are left at {folder} now that the unfinished work is "
            f"removed. The run that serves is untouched. Make room and {again}"
        ) from error


@contextmanager
def staging_dropped_on_full_disk(runs: RunsFolder) -> Iterator[None]:
    """Remove the unfinished work when the disk is full."""
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            remove_trees([runs.staging_root], inside=runs.path)
        raise


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one of its causes, is that of a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        # safetensors and faiss raise their own errors, with the operating system's words in them.
        text = str(error)
        if "No space left on device" in text or "code: 28" in text or "File too large" in text or "code: 27" in text:
            return True
        error = error.__cause__ or error.__context__
    return False
