"""The run behind a Recommender: how it was opened, and how it is saved under another name."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kg.errors import ArtifactError
from kg.io.files import publish_folder, temporary_beside
from kg.io.removal import remove_trees
from kg.stores.base import Store
from recall.runs.hold import RunHold
from recall.runs.layout import RunLayout


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """How a Recommender was opened: by which way, from which run, which it keeps on disk.

    Attributes:
        way: folder or link.
        run: its folder.
        hold: keeps the run on disk.
        verify: whether its checksums were compared.
        store: what answers Cypher, where the caller gave one.
        temporary: a folder that holds the run and goes with the Recommender; None for a published run.
    """

    way: Path
    run: RunLayout
    hold: RunHold
    verify: bool
    store: Store | None
    temporary: TemporaryDirectory[str] | None = None


def copy_run(run: RunLayout, folder: Path) -> RunLayout:
    """Copy a run to a new folder, which appears whole or not at all; its checksums are compared first.

    Args:
        run: complete.
        folder: must not exist, or be empty.

    Returns:
        The copy.

    Raises:
        ArtifactError: the run is damaged, or there is something in the folder.
    """
    target = folder.absolute()
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise ArtifactError(f"{folder} is there already and not empty: name a new folder")
    run.verify()
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = temporary_beside(target)
    try:
        shutil.copytree(run.path, staging)
        if target.exists():
            target.rmdir()
        publish_folder(staging, target)
    finally:
        remove_trees([staging])
    return RunLayout(target.resolve())
