"""The one module that removes folders: never through a link, and never outside the folder that it was given.

To be removed, a folder gets a hidden name first: a process that is killed meanwhile leaves no half of it under its own.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from kg.errors import ArtifactError
from kg.io.files import TEMPORARY, temporary_beside


def remove_trees(folders: Iterable[Path], *, inside: Path | None = None) -> None:
    """Remove folders and what is in them; missing ones are fine. Of a link only the link itself is removed.

    Args:
        folders: to be removed.
        inside: the folder that they lie in, with no link on the way; None for what the caller has just made itself.

    Raises:
        ArtifactError: one does not lie there, or behind a link; it and those after it are left alone.
    """
    for folder in folders:
        if inside is not None:
            check_inside(folder, inside)
        hidden = temporary_beside(folder)
        try:
            folder.rename(hidden)
        except FileNotFoundError:
            continue
        except OSError:  # a mount point cannot be renamed
            hidden = folder
        _remove(hidden)


def remove_leftovers(folder: Path, *, inside: Path, below: bool = False, older_than: float = 0.0) -> None:
    """Remove what killed writers left in a folder under temporary names.

    Args:
        folder: may be missing. With the default of `older_than` nobody else may be writing there.
        inside: the folder that it lies in, or itself; there is no link on the way.
        below: look into its folders, too; links are not followed.
        older_than: seconds since the last change, forward or back: a clock may have been set. What is younger stays.

    Raises:
        ArtifactError: the folder does not lie there, or is behind a link.
    """
    check_inside(folder / "leftover", inside)
    for path in sorted(folder.rglob(".*.tmp*") if below else folder.glob(".*.tmp*")):
        if not TEMPORARY.fullmatch(path.name):
            continue
        with suppress(FileNotFoundError):  # it lay in a folder that is gone by now
            if older_than and abs(time.time() - path.lstat().st_mtime) < older_than:
                continue
            _remove(path)


def check_inside(path: Path, inside: Path) -> None:
    """Make sure that a path leads into a folder without any link behind it.

    Args:
        path: may be missing, and may itself be a link.
        inside: the folder; the way to it may go through links.

    Raises:
        ArtifactError: it leads elsewhere; the message names the link.
    """
    ends = {inside.absolute(), inside.resolve()}
    at = path.absolute()
    if ".." in at.parts:
        raise ArtifactError(f"{path} is not removed: it does not say plainly where it lies")
    at = at.parent
    while at not in ends:
        if at.is_symlink():
            raise ArtifactError(
                f"{path} is not removed: {at} is a link to {at.readlink()}, and what lies behind it may be somebody "
                "else's. Put a folder in its place"
            )
        if at == at.parent:
            raise ArtifactError(f"{path} is not removed: it does not lie in {inside}")
        at = at.parent


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        elif path.is_mount():  # what is in it; the place itself cannot be removed
            for inner in path.iterdir():
                _remove(inner)
        else:
            shutil.rmtree(path)
