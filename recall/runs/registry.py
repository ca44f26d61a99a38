"""Runs on disk: where they lie, which one serves, and how one is replaced.

A runs folder holds published runs, each complete and never changed again, the link `current` to the one that serves,
and hidden folders: `.staging/<fingerprint>` with the unfinished work of a refresh, `.cache` with text vectors,
`.tune/<fingerprint>` with the trials of a search for hyper-parameters, `.rejected` with runs that the gate refused, as
complete as the others, `.records` with what people decided about runs, `.neo4j-<digest>` with what was last read of a
database, `.privacy` with the keyed hashes of forgotten users, and `.feedback` with what people did with their
candidates (recall.feedback). `.refreshes.jsonl` tells how each refresh ended.

A run appears by one rename and starts to serve by another, so a reader sees the old run or the new one and a killed
refresh leaves nothing that looks like a run. A run that somebody reads is not removed (recall.runs.hold).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kg.errors import ArtifactError, ConfigError
from kg.io.files import MANIFEST, check_format, digest, link_or_copy, publish_folder, switch_link, temporary_beside
from kg.io.removal import remove_leftovers, remove_trees
from recall.runs.hold import without_readers
from recall.runs.layout import CURRENT, RunLayout
from recall.runs.lock import folder_lock
from recall.runs.records import RunRecord, read_record, write_record

LEFTOVER_AGE = 24 * 3600.0  # seconds; a tuning may be writing to the same cache
SMALL_FILE_AGE = 60.0  # seconds; who does not get the lock may be writing a line about it
RUN_ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{8}")


def run_id(fingerprint: str, *, now: datetime | None = None) -> str:
    """A name that sorts by time and shows the inputs: `20260131T235959123Z-1a2b3c4d` (UTC, milliseconds)."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z-{fingerprint[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A line of `graphrecall runs`.

    Attributes:
        run: its folder.
        current: whether it is the one that serves.
        rejected: the reasons of the gate, when it refused the run and nobody has accepted it since.
        record: what people decided about it.
        created: ISO 8601 UTC, or "" when the manifest cannot be read.
        bytes: size on disk.
        metrics: the test metrics of the model for warm users, as in the report; empty when unknown.
        problem: what is wrong with it, or None.
    """

    run: RunLayout
    current: bool
    rejected: tuple[str, ...]
    record: RunRecord
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

    def database_copies(self) -> list[Path]:
        """What is kept of databases that were read; a refresh that finds nothing reads them anew."""
        return sorted(self.path.glob(".neo4j*"))

    @property
    def rejected_root(self) -> Path:
        """Where the runs lie that the gate refused."""
        return self.path / ".rejected"

    @property
    def records_root(self) -> Path:
        """Where it is written what people decided about runs."""
        return self.path / ".records"

    @classmethod
    def of(cls, run: RunLayout) -> RunsFolder:
        """The one that a run lies in, published or rejected."""
        folder = cls(run.path.parent)
        return cls(folder.path.parent) if folder.path.name == folder.rejected_root.name else folder

    @property
    def privacy_root(self) -> Path:
        """Where the list of forgotten users lies, and the key of the user ids unless it is kept elsewhere."""
        return self.path / ".privacy"

    @property
    def feedback_root(self) -> Path:
        """Where the feedback log lies."""
        return self.path / ".feedback"

    def current(self) -> RunLayout | None:
        """The run that serves, or None; a dangling link counts as none."""
        try:
            return RunLayout.open(self.link)
        except ArtifactError:
            return None

    def runs(self) -> list[RunLayout]:
        """Published runs, oldest first."""
        return _runs_in(self.path)

    def rejected(self) -> list[RunLayout]:
        """Runs that the gate refused, oldest first."""
        return _runs_in(self.rejected_root)

    def summaries(self, *, verify: bool = False) -> list[RunSummary]:
        """What there is, rejected runs too, oldest first; damage is reported in the summary, not raised.

        Args:
            verify: read every file and compare its checksum.

        Raises:
            ArtifactError: the folder does not exist.
        """
        if not self.path.is_dir():
            raise ArtifactError(f"there is no runs folder at {self.path}")
        current = self.current()
        both = sorted([*self.runs(), *self.rejected()], key=lambda run: run.name)
        return [self._summary(run, current=run == current, verify=verify) for run in both]

    def find(self, fingerprint: str) -> list[RunLayout]:
        """The intact published runs that were made from some inputs, newest first."""
        return _intact(self.runs(), fingerprint)

    def find_rejected(self, fingerprint: str) -> RunLayout | None:
        """The newest intact run from some inputs that the gate refused, or None."""
        return next(iter(_intact(self.rejected(), fingerprint)), None)

    def record(self, run: RunLayout) -> RunRecord:
        """What people decided about a run.

        Raises:
            ArtifactError: the record is damaged.
        """
        return read_record(self._record_of(run))

    def keep_record(self, run: RunLayout, record: RunRecord) -> None:
        """Keep what people decided about a run."""
        write_record(self._record_of(run), record)

    def _record_of(self, run: RunLayout) -> Path:
        return self.records_root / f"{run.name}.json"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one refresh, or another change, and remove what killed processes left in it.

        Raises:
            RefreshInProgressError: another process holds it.
            ConfigError: the folder is a file, cannot be written to, was copied without its links, or has a link in the
                place of a folder of its own.
        """
        with folder_lock(self.path):
            self.check_no_links()
            for folder in (self.path, self.rejected_root, self.records_root, self.privacy_root):
                remove_leftovers(folder, inside=self.path, older_than=SMALL_FILE_AGE)
            remove_leftovers(self.cache, inside=self.path, below=True, older_than=LEFTOVER_AGE)
            if self.link.is_dir() and not self.link.is_symlink():
                raise ConfigError(
                    f"{self.link} is a folder and no link, so that no other run can take its place: {self.path} was "
                    "copied without its links. Remove it, and let the run serve of which it is a copy: graphrecall "
                    f"rollback {self.path} --to ID"
                )
            yield

    def check_no_links(self) -> None:
        """Make sure that no folder in which things are removed is a link: what lies behind may be somebody else's.

        Raises:
            ConfigError: one is.
        """
        own = (self.staging_root, self.cache, self.rejected_root, self.records_root, self.privacy_root, self.studies)
        folders = [*own, *self.database_copies()]
        inner = [path for folder in folders if not folder.is_symlink() and folder.is_dir() for path in folder.iterdir()]
        # Of the cache and of what unfinished work left everything: there single files are removed at any depth.
        for folder in (self.cache, self.staging_root):
            inner += [] if folder.is_symlink() else folder.rglob("*")
        for path in (*folders, *inner):
            if path.is_symlink():
                raise ConfigError(
                    f"{path} is a link to {path.readlink()}, and graphrecall removes what lies in that folder, but "
                    "nothing through a link: put a folder in its place, or mount the other disk there, or name a "
                    "runs.folder on it"
                )

    def staging(self, fingerprint: str, *, fresh: bool = False, keep: Collection[Path] = ()) -> Path:
        """The folder of a refresh's unfinished work; that of other inputs is removed.

        Args:
            fingerprint: of the inputs.
            fresh: start anew even when there is unfinished work to continue.
            keep: what else of the staging is not removed.
        """
        folder = self.staging_root / fingerprint
        if self.staging_root.is_dir():
            others = [path for path in self.staging_root.iterdir() if path not in keep and (path != folder or fresh)]
            remove_trees(others, inside=self.path)
        remove_leftovers(folder, inside=self.path, below=True)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(self, staged: Path, *, fingerprint: str) -> RunLayout:
        """Give a finished folder, manifest included, its name, and let it serve."""
        run = self._moved(staged, self.path / self._next_id(fingerprint))
        self.serve(run)
        return run

    def reject(self, staged: Path, *, fingerprint: str) -> RunLayout:
        """Keep a finished folder, manifest included, that is not to serve."""
        return self._moved(staged, self.rejected_root / self._next_id(fingerprint))

    def publish_rejected(self, run: RunLayout, *, judged: Path | None = None) -> RunLayout:
        """Put a rejected run among the published ones, under the name it has; it does not serve by that.

        Args:
            run: it.
            judged: what is published in its place, its copy with the new verdict.
        """
        if judged is None:
            return self._moved(run.path, self.path / run.name)
        published = self._moved(judged, self.path / run.name)
        self.remove(run)  # after a kill before this, `prune` does it
        return published

    def judged(self, run: RunLayout) -> Path:
        """A copy of a rejected run in the staging, for a new verdict; nothing of the run itself is written to."""
        folder = self.staging_root / "judged"
        remove_trees([folder], inside=self.path)
        shutil.copytree(run.path, folder, copy_function=lambda source, to: link_or_copy(Path(source), Path(to)))
        return folder

    def replace_rejected(self, run: RunLayout, judged: Path) -> None:
        """Put a finished copy in the place of a rejected run, unless somebody reads that; it is judged again then.

        After a kill in the middle the run is gone, and the next refresh of its inputs makes it anew.
        """
        if self.remove(run):
            self._moved(judged, run.path)

    @staticmethod
    def _moved(folder: Path, target: Path) -> RunLayout:
        publish_folder(folder, target)
        return RunLayout(target.resolve())

    def _next_id(self, fingerprint: str) -> str:
        """A name after those of all runs, also when the clock was set back since: their order is that of making."""
        now = datetime.now(UTC)
        for run in (*self.runs(), *self.rejected()):
            with suppress(
                ValueError, OverflowError
            ):  # a name that nobody made: of no time, or of the last one there is
                moment = datetime.strptime(f"{run.name[:18]}000+0000", "%Y%m%dT%H%M%S%f%z")
                now = max(now, moment + timedelta(milliseconds=1))
        return run_id(fingerprint, now=now)

    def name_like(self, run: RunLayout, fingerprint: str) -> str:
        """A free name for a run that is made again from another, in its place in the order of runs."""
        moment, taken = run.name.partition("-")[0], {other.name for other in (*self.runs(), *self.rejected())}
        name = f"{moment}-{fingerprint[:8]}"
        while name in taken:  # the inputs are the same, or another run of that millisecond has them
            fingerprint = digest({"run": name})
            name = f"{moment}-{fingerprint[:8]}"
        return name

    def serve(self, run: RunLayout) -> None:
        """Point `current` at a run of this folder."""
        switch_link(self.path.resolve() / CURRENT, run.path)

    def prune(self, keep: int, *, rejected: int | None = None) -> list[RunLayout]:
        """Remove all but the newest `keep` runs; the one that serves and those that somebody reads always stay.

        A rejected run that was published since goes, too.

        Args:
            keep: how many published runs stay.
            rejected: how many of the rejected ones do; None: all.

        Returns:
            The removed ones. Each is renamed out of sight first, so that no reader finds half a run.
        """
        current = self.current()
        old = [run for run in self.runs()[: -keep or None] if run != current]
        if rejected is not None:
            old += self.rejected()[: -rejected or None]
        published = {run.name for run in self.runs()}
        old += [run for run in self.rejected() if run.name in published and run not in old]
        removed = [run for run in old if self.remove(run)]
        there = {run.name for run in (*self.runs(), *self.rejected())}
        for file in self.records_root.glob("*.json"):
            if file.stem not in there:
                file.unlink()
        return removed

    @staticmethod
    def remove(run: RunLayout) -> bool:
        """Remove a run, unless somebody reads it; says whether it is gone."""
        hidden = temporary_beside(run.path)
        with without_readers(run.path / MANIFEST) as alone:
            if alone:
                run.path.rename(hidden)
        remove_trees([hidden], inside=run.path.parent)
        return alone

    def _summary(self, run: RunLayout, *, current: bool, verify: bool) -> RunSummary:
        created, metrics, problem, record = "", {}, None, RunRecord()
        refused: tuple[str, ...] = ()
        try:
            record = self.record(run)
            manifest = run.verify() if verify else run.manifest()
            created = str(manifest.get("created", ""))
            if run.path.parent.name == self.rejected_root.name:
                refused = tuple(map(str, manifest.get("rejected", ())))
            check_format(manifest, run.path)
            if isinstance(values := manifest.get("metrics"), dict):
                metrics = {str(name): float(value) for name, value in values.items()}
        except ArtifactError as error:
            problem = str(error)
        return RunSummary(
            run=run,
            current=current,
            rejected=refused,
            record=record,
            created=created,
            bytes=folder_bytes(run.path),
            metrics=metrics,
            problem=problem,
        )


def folder_bytes(folder: Path) -> int:
    """Size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def free_bytes(folder: Path) -> int:
    """Room left on the disk of a folder that may not exist yet."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def _runs_in(folder: Path) -> list[RunLayout]:
    if not folder.is_dir():
        return []
    return [
        RunLayout(path.resolve())
        for path in sorted(folder.iterdir())
        if not path.is_symlink() and path.is_dir() and RUN_ID.fullmatch(path.name)
    ]


def _intact(runs: Sequence[RunLayout], fingerprint: str) -> list[RunLayout]:
    intact = []
    for run in reversed(runs):
        with suppress(ArtifactError):
            if run.manifest().get("fingerprint") == fingerprint and run.verify():
                intact.append(run)
    return intact
