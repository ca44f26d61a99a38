"""Runs on disk: where they lie, which one serves, and how one is replaced.

A runs folder holds published runs, each complete and never changed again, the link `current` to the one that serves,
and three hidden folders: `.staging/<fingerprint>` with the unfinished work of a refresh, `.cache` with text vectors,
and `.tune/<fingerprint>` with the trials of a search for hyper-parameters.
A run appears by one rename and starts to serve by another, so a reader sees the old run or the new one and a killed
refresh leaves nothing that looks like a run.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from os import getpid
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kg.errors import ArtifactError, ConfigError, RefreshInProgressError
from kg.files import (
    FORMAT_VERSION,
    MANIFEST,
    publish_folder,
    read_json,
    remove_leftovers,
    remove_trees,
    switch_link,
    verify_manifest,
    write_json,
)

CURRENT = "current"
LEFTOVER_AGE = 24 * 3600.0  # seconds; a tuning may be writing to the same cache
RUN_ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{8}")


def run_id(fingerprint: str, *, now: datetime | None = None) -> str:
    """A name that sorts by time and shows the inputs: `20260131T235959123Z-1a2b3c4d` (UTC, milliseconds)."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z-{fingerprint[:8]}"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The layout of one run.

    Attributes:
        path: the folder itself, never a link: whoever opens `current` keeps the run that it pointed to then.
    """

    path: Path

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """A published run, by its folder or by the link to it; checksums are read by `verify`.

        Raises:
            ArtifactError: there is no run.
        """
        given = Path(path)
        if not given.exists():
            broken = " (a link whose run is gone)" if given.is_symlink() else ""
            hint = ""
            if given.name == CURRENT:
                hint = ": nothing has been published there yet, run `graphrecall refresh CONFIG.toml` first"
            raise ArtifactError(f"there is no run at {given}{broken}{hint}")
        folder = given.resolve()
        if not (folder / MANIFEST).is_file():
            hint = ""
            if (folder / CURRENT).exists():
                hint = f"; it is a runs folder, did you mean {given / CURRENT}?"
            raise ArtifactError(f"{given} is not a published run: it has no {MANIFEST}{hint}")
        return cls(folder)

    @property
    def name(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def graph(self) -> Path:
        """The graph (kg.storage)."""
        return self.path / "graph"

    @property
    def features(self) -> Path:
        """Text vectors of the nodes (gnn.features)."""
        return self.path / "features"

    @property
    def model(self) -> Path:
        """The serving model's embeddings, trained on everything."""
        return self.path / "model"

    @property
    def index(self) -> Path:
        """The index over the serving model's items."""
        return self.path / "index"

    @property
    def store(self) -> Path:
        """The graph as an embedded database, which answers Cypher (kg.stores.embedded)."""
        return self.path / "store" / "graph.lbug"

    @property
    def evaluation_model(self) -> Path:
        """The evaluation model's embeddings, trained on the training part only."""
        return self.path / "evaluation" / "model"

    @property
    def channels(self) -> Path:
        """The channels fused with the serving model, fitted on everything (recall.fusion); not in every run."""
        return self.path / "channels"

    @property
    def evaluation_channels(self) -> Path:
        """The same channels fitted on the training part only."""
        return self.path / "evaluation" / "channels"

    @property
    def split(self) -> Path:
        """The part of every interaction, Parquet."""
        return self.path / "evaluation" / "split.parquet"

    @property
    def report(self) -> Path:
        """Counts, findings, metrics, timings."""
        return self.path / "report.json"

    @property
    def config(self) -> Path:
        """The configuration with every default written out."""
        return self.path / "config.json"

    def manifest(self) -> dict[str, Any]:
        """MANIFEST.json without the checks of `verify`."""
        manifest = read_json(self.path / MANIFEST)
        if not isinstance(manifest, dict):
            raise ArtifactError(f"{self.path / MANIFEST} is damaged: it holds no object")
        return manifest

    def verify(self) -> dict[str, Any]:
        """Compare every file with the manifest, which is returned.

        Raises:
            ArtifactError: a file is missing, changed or unlisted, or the run is of another format version.
        """
        return verify_manifest(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A line of `graphrecall runs`.

    Attributes:
        run: its folder.
        current: whether it is the one that serves.
        created: ISO 8601 UTC, or "" when the manifest cannot be read.
        bytes: size on disk.
        metrics: the test metrics of the model for warm users, as in the report; empty when unknown.
        problem: what is wrong with it, or None.
    """

    run: RunFolder
    current: bool
    created: str
    bytes: int
    metrics: dict[str, float]
    problem: str | None


class RunsFolder:
    """All runs of one deployment.

    Attributes:
        path: the folder; made when first written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def link(self) -> Path:
        """The link to the run that serves."""
        return self.path / CURRENT

    @property
    def cache(self) -> Path:
        """What outlives runs: text vectors by text and model."""
        return self.path / ".cache"

    @property
    def staging_root(self) -> Path:
        """Where unfinished refreshes lie."""
        return self.path / ".staging"

    @property
    def studies(self) -> Path:
        """Where the trials of tunings lie."""
        return self.path / ".tune"

    def current(self) -> RunFolder | None:
        """The run that serves, or None; a dangling link counts as none."""
        try:
            return RunFolder.open(self.link)
        except ArtifactError:
            return None

    def runs(self) -> list[RunFolder]:
        """Published runs, oldest first."""
        if not self.path.is_dir():
            return []
        return [
            RunFolder(folder.resolve())
            for folder in sorted(self.path.iterdir())
            if not folder.is_symlink() and folder.is_dir() and RUN_ID.fullmatch(folder.name)
        ]

    def summaries(self, *, verify: bool = False) -> list[RunSummary]:
        """What there is, oldest first; damage is told, not raised.

        Args:
            verify: read every file and compare its checksum.

        Raises:
            ArtifactError: the folder does not exist.
        """
        if not self.path.is_dir():
            raise ArtifactError(f"there is no runs folder at {self.path}")
        current = self.current()
        return [_summary(run, current=run == current, verify=verify) for run in self.runs()]

    def find(self, fingerprint: str) -> RunFolder | None:
        """The newest intact run made from some inputs, or None."""
        for run in reversed(self.runs()):
            with suppress(ArtifactError):
                if run.manifest().get("fingerprint") == fingerprint and run.verify():
                    return run
        return None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one refresh; the lock ends with the process, however it ends.

        Raises:
            RefreshInProgressError: another process holds it.
            ConfigError: the folder is a file.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise ConfigError(f"runs.folder is {self.path}, which is a file: name a folder") from error
        holder = self.path / ".refresh.json"
        lock = FileLock(self.path / ".refresh.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            who = ""
            with suppress(ArtifactError, KeyError, TypeError):
                facts = read_json(holder)
                who = f" (process {facts['pid']}, since {facts['since']})"
            raise RefreshInProgressError(
                f"another refresh{who} is writing to {self.path}: wait for it, or give this one another runs.folder"
            ) from error
        try:
            remove_leftovers(self.path)
            remove_leftovers(self.cache, below=True, older_than=LEFTOVER_AGE)
            with suppress(OSError):  # on a full disk nobody is told who holds it
                write_json(holder, {"pid": getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")})
            yield
        finally:
            with suppress(OSError):
                holder.unlink()
            lock.release()

    def staging(self, fingerprint: str, *, fresh: bool = False, keep: Collection[Path] = ()) -> Path:
        """The folder of a refresh's unfinished work; that of other inputs is removed.

        Args:
            fingerprint: of the inputs.
            fresh: begin again even when there is work to go on from.
            keep: what else of the staging is not removed.
        """
        folder = self.staging_root / fingerprint
        if self.staging_root.is_dir():
            remove_trees(path for path in self.staging_root.iterdir() if path not in keep and (path != folder or fresh))
        remove_leftovers(folder, below=True)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(self, staged: Path, *, fingerprint: str) -> RunFolder:
        """Give a finished folder, manifest included, its name, and let it serve."""
        name = self._next_id(fingerprint)
        publish_folder(staged, self.path / name)
        run = RunFolder((self.path / name).resolve())
        self.serve(run)
        return run

    def _next_id(self, fingerprint: str) -> str:
        """A name after those of all runs, also when the clock was set back since: their order is that of publishing."""
        now = datetime.now(UTC)
        if runs := self.runs():
            newest = datetime.strptime(f"{runs[-1].name[:18]}000+0000", "%Y%m%dT%H%M%S%f%z")
            now = max(now, newest + timedelta(milliseconds=1))
        return run_id(fingerprint, now=now)

    def serve(self, run: RunFolder) -> None:
        """Point `current` at a run of this folder."""
        switch_link(self.path.resolve() / CURRENT, run.path)

    def prune(self, keep: int) -> list[RunFolder]:
        """Remove all but the newest `keep` runs; the one that serves always stays.

        Returns:
            The removed ones. Each is renamed out of sight first, so that no reader finds half a run.
        """
        current = self.current()
        removed = [run for run in self.runs()[: -keep or None] if run != current]
        for run in removed:
            hidden = self.path / f".removed-{run.name}"
            run.path.rename(hidden)
        if self.path.is_dir():
            remove_trees(self.path.glob(".removed-*"))
        return removed


def folder_bytes(folder: Path) -> int:
    """Size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def free_bytes(folder: Path) -> int:
    """Room left on the disk of a folder that may not exist yet."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def _summary(run: RunFolder, *, current: bool, verify: bool) -> RunSummary:
    created, metrics, problem = "", {}, None
    try:
        manifest = run.verify() if verify else run.manifest()
        created = str(manifest.get("created", ""))
        if manifest.get("format_version") != FORMAT_VERSION:
            problem = f"format version {manifest.get('format_version')}, this graphrecall reads {FORMAT_VERSION}"
        elif isinstance(found := manifest.get("metrics"), dict):
            metrics = {str(name): float(value) for name, value in found.items()}
    except ArtifactError as error:
        problem = str(error)
    return RunSummary(
        run=run,
        current=current,
        created=created,
        bytes=folder_bytes(run.path),
        metrics=metrics,
        problem=problem,
    )
