"""Runs the stages of a job: each is done once, whatever kills the process in between."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from kg.errors import ArtifactError
from kg.io.files import checksum, fsync, fsync_tree, read_json, write_json
from kg.io.removal import remove_trees
from kg.progress import Progress, Task
from recall.ops.logs import FIELDS
from recall.runs.layout import RunLayout

_log = logging.getLogger(__name__)
STAGE_DONE = "stage done"  # the event of the log entry at the end of each stage


class Stages:
    """The stages of one job, each done once, whatever kills the process in between.

    A stage is done again only where its files are damaged, and then with all stages after it.

    Attributes:
        folder: of the staging; `run` below it has the layout of a run, `work` holds what belongs into none.
        timings: seconds of each stage, those of an earlier attempt included.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = RunLayout(folder / "run")
        self.work = folder / "work"
        self.timings: dict[str, float] = {}
        if not self.run.path.is_dir():  # it was published by a refresh that was killed before the marks were gone
            remove_trees([folder / "done", self.work], inside=folder)

    def do(self, name: str, makes: Path | None, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do a stage unless it is done.

        Args:
            name: of the stage.
            makes: the folder it writes; what a killed attempt left there is removed first. None: it only returns facts.
            work: does it; returns facts, plain data, which are kept with the mark.

        Returns:
            The facts.
        """
        makes = makes if makes is not None else self.work / "nothing"
        done = self._done(name, makes)
        if done is not None:
            _log.info("stage %s was done by an earlier attempt", name)
        else:
            remove_trees([makes], inside=self.folder)
            makes.parent.mkdir(parents=True, exist_ok=True)
            start = time.monotonic()
            result = work()
            if makes.is_dir():
                fsync_tree(makes)
            fsync(makes.parent)
            done = {"facts": result, "seconds": time.monotonic() - start, "files": _checksums(makes)}
            write_json(self._mark(name), done)
            facts = {"event": STAGE_DONE, "stage": name, "seconds": round(done["seconds"], 3)}
            _log.info("%s: %s", STAGE_DONE, name, extra={FIELDS: facts})
        self.timings[name] = round(float(done["seconds"]), 3)
        kept: dict[str, Any] = done["facts"]
        return kept

    def _mark(self, name: str) -> Path:
        return self.folder / "done" / f"{name}.json"

    def _done(self, name: str, makes: Path) -> dict[str, Any] | None:
        """The mark of a stage whose files are as it left them; else None, and the stages after it are not done either.

        Unfinished work lies about from one night to the next, so it is not taken on trust.
        """
        mark = self._mark(name)
        if not mark.is_file():
            return None
        try:
            done: dict[str, Any] = read_json(mark)
            if all((makes / file).is_file() and checksum(makes / file) == sha for file, sha in done["files"].items()):
                return done
            problem = f"{makes} is not as it was left"
        except (ArtifactError, KeyError) as error:
            problem = str(error)
        _log.warning("stage %s is done again, with all after it: %s", name, problem)
        for other in mark.parent.glob("*.json"):
            if other.stem not in self.timings:
                other.unlink()
        return None


def _checksums(made: Path) -> dict[str, str]:
    """Of the files of a folder; a stage that leaves none has none."""
    return {str(path.relative_to(made)): checksum(path) for path in sorted(made.rglob("*")) if path.is_file()}


class Renamed:
    """A listener that sees every task under one name."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name

    def task(self, description: str, *, total: int | None = None) -> AbstractContextManager[Task]:
        """See `kg.progress.Progress`."""
        return self._progress.task(self._name, total=total)
