"""Takes users out of everything under a runs folder, and out of what was written back to Neo4j.

1. The users are put on a list of keyed hashes, so that every later refresh leaves them out when a source names them.
2. Unfinished work, copies of databases and the errors in old summaries are removed.
3. Each run that may name the users is made again without them under a new name (`recall.jobs.forget_run`). The new run
   serves if the old one did; the old one is removed once no process reads it.
4. The users are taken out of the feedback log.
5. Vectors of texts that no run has any more are removed from the cache, and results of the users from the database.

Only hashes are needed for this, so a forgetting that was killed, or had to wait for a reader, is finished by the next
one or by the next refresh without any id.

Trained weights may still carry information about the users, and the result says about how many: only a training that
starts anew without them removes it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gnn.text.cache import TextCache, text_keys
from kg.errors import ArtifactError, ConfigError, GraphRecallError, InvalidDataError
from kg.io.files import TEMPORARY, publish_folder
from kg.io.graph_folder import load_graph, load_schema
from kg.io.removal import remove_leftovers, remove_trees
from kg.progress import SILENT, Progress
from kg.stores.neo4j.connection import Neo4jConnection
from recall.config.deployment import RefreshConfig
from recall.config.privacy import PrivacyConfig
from recall.jobs.disk import disk_full_explained, staging_dropped_on_full_disk
from recall.jobs.feedback import forget_feedback
from recall.jobs.forget_list import check_named, user_ids
from recall.jobs.privacy import Privacy, marks_in_run, privacy_of
from recall.ops.summary import SummaryLog
from recall.runs.config import read_config
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.runs.report import Report
from recall.runs.studies import tuning_kept_out

_log = logging.getLogger(__name__)

PATIENCE = 30.0  # seconds that readers are given to turn to the run that serves
STAGING = "forget"
AGAIN = (
    "start the forgetting again: it makes the runs again that name somebody, which takes room for one of them at a time"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetResult:
    """What a forgetting came to.

    Attributes:
        users: how many were asked for.
        found: of these, how many some run named.
        run: the run that serves now, None where none does.
        made_again: new names of runs -> the names they had.
        removed: runs that were damaged, or had nothing left to recommend from.
        still_read: runs that a process reads: they are removed by the next call, or the next refresh, after that.
        feedback: events of users on the list that were taken out of the feedback log.
        database: users whose results were removed from Neo4j; None where nothing is written back.
        weights_may_remember: forgotten users whose doings the weights of the run that serves were trained on.
    """

    users: int
    found: int
    run: RunLayout | None
    made_again: dict[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    still_read: tuple[str, ...] = ()
    feedback: int = 0
    database: int | None = None
    weights_may_remember: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.still_read

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        data = {
            name: getattr(self, name) for name in ("users", "found", "feedback", "database", "weights_may_remember")
        }
        return {
            "status": "forgotten" if self.done else "waiting",
            **data,
            "run": None if self.run is None else self.run.name,
            "made_again": dict(self.made_again),
            "removed": list(self.removed),
            "still_read": list(self.still_read),
        }


def forget(
    runs: RunsFolder,
    users: Sequence[str],
    *,
    config: RefreshConfig | None = None,
    force: bool = False,
    patience: float = PATIENCE,
    progress: Progress = SILENT,
) -> ForgetResult:
    """Forget users.

    Args:
        runs: of the deployment.
        users: ids, as the sources name them. With none, what earlier calls left undone is finished.
        config: of the deployment. It may be None where it names neither a key file nor a database.
        force: put users on the list also where no run names them.
        patience: seconds to wait for processes that read a run which has to go.
        progress: listener.

    Raises:
        UnknownIdError: no run names a user, and without `force` nothing was done.
        RefreshInProgressError, TuneInProgressError: somebody else is at work in the folder.
        ConfigError: the key of the list is missing or another one, an id is empty, or `config` is needed.
        ArtifactError: the run that serves is damaged.
        FeedbackError: another process holds the feedback log; the next call or refresh goes on.
        StoreError: the database does not answer; the next call or refresh removes what is in it.
        GraphRecallError: the disk is full.
    """
    ids = user_ids(users)
    if config is None and not runs.path.is_dir():
        raise ArtifactError(f"there is no runs folder at {runs.path}")
    with disk_full_explained(runs.path, again=AGAIN), runs.lock(), staging_dropped_on_full_disk(runs):
        privacy = Privacy.open(runs.path, _privacy(runs, config))
        if not force:
            check_named(runs, privacy, ids)
        privacy = privacy.with_key()
        if privacy.key is None:
            raise ConfigError(f"there is no key at {privacy.key_file}")
        wanted = set(privacy.key.marks_of_ids(ids))
        privacy = privacy.add(wanted)
        result = _finish(runs, privacy, _connection(config), patience, progress)
        return replace(result, users=len(wanted))


def finish_forgetting(runs: RunsFolder, config: RefreshConfig, *, progress: Progress = SILENT) -> None:
    """Go on with what earlier forgettings left undone; the caller holds the lock of the runs folder.

    What still cannot be done (a reader, a database that does not answer, a tuning at work) is a warning in the log, and
    tried again by the next refresh.
    """
    privacy = Privacy.open(runs.path, config.privacy)
    if not privacy.pending:
        forget_feedback(runs, privacy)  # what they did since must not come in
        return
    try:
        result = _finish(runs, privacy, _connection(config), 0.0, progress)
    except GraphRecallError as error:
        _log.warning("%d users are not yet forgotten everywhere: %s", len(privacy.pending), error)
        return
    if result.still_read:
        _log.warning(
            "%d users are not yet forgotten everywhere: a process still reads %s; the next refresh tries again",
            len(privacy.pending),
            ", ".join(result.still_read),
        )


def _privacy(runs: RunsFolder, config: RefreshConfig | None) -> PrivacyConfig:
    if config is not None:
        return config.privacy
    run = _newest(runs)
    if run is None:
        return PrivacyConfig()
    privacy = privacy_of(run)
    # What a run says is data: whoever made it decides what stands there.
    if privacy.key_file is not None or read_config(run).get("neo4j") is not None:
        raise ConfigError(
            f"{run.path} was made by a configuration that names a key file or a database, which are taken from the "
            "configuration itself only: give CONFIG in place of the runs folder"
        )
    return privacy


def _connection(config: RefreshConfig | None) -> tuple[Neo4jConnection, Path] | None:
    """The database that results may have been written back into, and what its paths are relative to.

    It is the deployment's: a run is data, and no server that one names is spoken to.
    """
    return None if config is None or config.neo4j is None else (config.neo4j, config.base)


def _newest(runs: RunsFolder) -> RunLayout | None:
    """The run that serves, or where none does the newest one there is: it tells by which configuration it was made."""
    current = runs.current()
    return current or max((*runs.runs(), *runs.rejected()), key=lambda run: run.name, default=None)


def _finish(
    runs: RunsFolder,
    privacy: Privacy,
    connection: tuple[Neo4jConnection, Path] | None,
    patience: float,
    progress: Progress,
) -> ForgetResult:
    """Everything but the list, by hashes alone; whoever is forgotten everywhere is marked on the list."""
    pending = privacy.pending
    with tuning_kept_out(runs.studies) as studies:
        remove_trees([runs.staging_root, *runs.database_copies(), *studies], inside=runs.path)
        SummaryLog(runs.path).redact_errors()
        # What killed writers left names users, too, however short a time ago it was.
        for folder in (runs.rejected_root, runs.records_root):
            remove_leftovers(folder, inside=runs.path)
        remove_leftovers(runs.cache, inside=runs.path, below=True)
        feedback = forget_feedback(runs, privacy)
        result = _Runs(runs, privacy, progress).forget(patience)
        remove_trees([runs.staging_root], inside=runs.path)
        with progress.task("clearing the caches"):
            _keep_texts(runs)
    database = None
    if connection is not None:
        database = _forget_in_database(runs, privacy, connection)
    current = runs.current()
    remember = 0 if current is None else Report.load(current).forgotten.weights_may_remember
    result = replace(result, run=current, feedback=feedback, database=database, weights_may_remember=remember)
    if result.done:
        privacy.finish(pending)
    return result


class _Runs:
    """The runs of a folder, made again or removed one after the other."""

    def __init__(self, runs: RunsFolder, privacy: Privacy, progress: Progress) -> None:
        self.runs, self.privacy, self.progress = runs, privacy, progress
        self.history = SummaryLog(runs.path).read()
        self.names: dict[str, str] = {}
        self.named: set[str] = set()
        self.removed: list[str] = []

    def forget(self, patience: float) -> ForgetResult:
        for folder in (self.runs.path, self.runs.rejected_root):
            left = [path for path in _folders(folder) if TEMPORARY.fullmatch(path.name)]
            remove_trees(left, inside=self.runs.path)
        every = [*self.runs.runs(), *self.runs.rejected()]
        # By earlier calls that were killed, or had to wait for a reader.
        replaced = {old: run for run in every if (old := _made_from(run)) in {run.name for run in every}}
        gone = []
        # First what is replaced already: what replaces it may have to be made again in its turn.
        for run in sorted(every, key=lambda run: run.name not in replaced):
            new = replaced.get(run.name) or self._made(run)
            if new is not None and new != run:
                gone.append(run)
                self.names[run.name] = new.name
                self._take_over(run, new)
            elif new is None:
                gone.append(run)
                self.removed.append(run.name)
        self._leave(gone)
        still_read = self._remove(gone, patience)
        return ForgetResult(
            users=len(self.privacy.pending),
            found=len(self.named),
            run=None,
            made_again={new: old for old, new in self.names.items()},
            removed=tuple(self.removed),
            still_read=still_read,
        )

    def _made(self, run: RunLayout) -> RunLayout | None:
        """The run itself where it names nobody, one made again without them, or None where it has to go."""
        from recall.jobs.forget_run import mentions

        try:
            run.verify()
            if not mentions(run, lambda names: self._wanted(run, names)):
                return run
            return self._again(run)
        except (ArtifactError, InvalidDataError) as error:  # the second: vectors that are no numbers
            if run == self.runs.current():
                raise ArtifactError(
                    f"the run that serves is damaged, so that nobody can be taken out of it: {error}. Publish another "
                    "one with `graphrecall refresh --full`; it removes what is to be forgotten"
                ) from error
            _log.warning("%s is damaged and is removed, since it may name users to be forgotten: %s", run.name, error)
            return None

    def _again(self, run: RunLayout) -> RunLayout | None:
        from recall.jobs.forget_run import without

        fingerprint = self.privacy.fingerprint(Report.load(run).forgotten.inputs)
        staged = self.runs.staging_root / STAGING / run.name
        remove_trees([staged], inside=self.runs.path)
        staged.parent.mkdir(parents=True, exist_ok=True)
        made = without(
            run,
            staged,
            lambda names: self._wanted(run, names),
            fingerprint=fingerprint,
            on_list=len(self.privacy.users),
            names=self.names,
            history=self.history,
            progress=self.progress,
        )
        if made is None:
            return None
        made.verify()
        name = self.runs.name_like(run, fingerprint)
        publish_folder(staged, run.path.parent / name)
        return RunLayout((run.path.parent / name).resolve())

    def _wanted(self, run: RunLayout, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which of the users of a run are on the list, bool (n,)."""
        if self.privacy.key is None:
            raise ConfigError(f"there is no key at {self.privacy.key_file}")
        marks = marks_in_run(run, self.privacy.key, names)
        self.named.update(self.privacy.pending.intersection(marks))
        return np.array([mark in self.privacy.marks for mark in marks], dtype=bool)

    def _take_over(self, old: RunLayout, new: RunLayout) -> None:
        record = self.runs.record(old)
        if record != type(record)():
            self.runs.keep_record(new, record)
        if old == self.runs.current():
            self.runs.serve(new)

    def _leave(self, gone: Collection[RunLayout]) -> None:
        """Let nothing serve rather than a run that has to go."""
        current = self.runs.current()
        if current is not None and current in gone:
            self.runs.link.unlink()

    def _remove(self, gone: Iterable[RunLayout], patience: float) -> tuple[str, ...]:
        deadline = time.monotonic() + patience
        left = [run for run in gone if not self.runs.remove(run)]
        while left and time.monotonic() < deadline:
            time.sleep(0.1)
            left = [run for run in left if not self.runs.remove(run)]
        return tuple(run.name for run in left)


def _made_from(run: RunLayout) -> str | None:
    """The name of the run that this one was made from without users."""
    try:
        name = run.manifest().get("made_from")
    except ArtifactError:
        return None
    return None if name is None else str(name)


def _keep_texts(runs: RunsFolder) -> None:
    """Remove the vectors of all texts but those of the runs that are left."""
    keys = [np.zeros(0, dtype="S32")]
    for run in (*runs.runs(), *runs.rejected()):
        graph = load_graph(run.graph)
        for name in graph.nodes:
            texts = graph.texts(name)
            if texts is not None:
                keys.append(text_keys([text for text in texts.to_pylist() if text]))
    TextCache(runs.cache / "text").keep_only(np.unique(np.concatenate(keys)))


def _forget_in_database(runs: RunsFolder, privacy: Privacy, connection: tuple[Neo4jConnection, Path]) -> int | None:
    """Remove what was written back about users on the list; None where nothing was written back."""
    from kg.stores.neo4j.write.forget import forget_results
    from kg.stores.neo4j.write.write_back import serving

    current, (server, base) = runs.current(), connection
    if current is None or privacy.key is None:
        return None
    key, marks = privacy.key, privacy.marks
    schema = load_schema(current.graph)
    with server.open(base=base) as store:
        if serving(store) is None:
            return None
        return forget_results(
            store,
            schema.node_types[schema.user_type],
            lambda ids: [mark in marks for mark in key.marks_of_ids(ids)],
        )


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()] if folder.is_dir() else []
