"""The studies of tunings below a runs folder: who holds them, and what killed ones left there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from kg.errors import ConfigError, TuneInProgressError
from kg.io.removal import remove_trees
from recall.runs.lock import acquire

DATA, TRAINING = "data", "training"


def unfinished_work(folder: Path) -> list[Path]:
    """What a study needs only while it is at work."""
    return [folder / DATA, folder / TRAINING]


@contextmanager
def tuning_kept_out(studies: Path) -> Iterator[list[Path]]:
    """Keep tunings from a folder of studies, and name what killed ones left there beside their trials.

    Raises:
        TuneInProgressError: one is at work.
    """
    if not studies.is_dir():
        yield []
        return
    with locked(studies):
        folders = [folder for folder in studies.iterdir() if folder.is_dir()]
        yield [
            path
            for folder in folders
            for path in ([folder] if folder.name.startswith("neo4j-") else unfinished_work(folder))
        ]


def remove_leftovers_of_studies(studies: Path, *, but: Path, keep: Path | None) -> None:
    """Remove what killed tunings of other data left, except for their trials.

    Args:
        studies: the folder of all studies.
        but: the study that is at work.
        keep: the copy of a database that it reads.
    """
    for other in studies.iterdir():
        if other.name.startswith("neo4j-"):
            remove_trees([other] if other != keep else [], inside=studies)
        elif other.is_dir() and other != but:
            remove_trees(unfinished_work(other), inside=studies)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the studies of a runs folder; the lock ends with the process, however it ends.

    Raises:
        TuneInProgressError: another process holds it.
        ConfigError: the runs folder is a file, or on a file system without locks.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(f"runs.folder is {folder.parent}, which is a file: name a folder") from error
    try:
        lock = acquire(folder / ".lock")
    except Timeout as error:
        raise TuneInProgressError(
            f"another tuning is at work in {folder}: wait for it, or give this one another runs.folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
