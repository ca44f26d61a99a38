"""The main job: sources in, a published run out.

It is safe to kill at any moment. Every stage leaves its result in `.staging/<fingerprint of the inputs>` and a mark
that it is complete; the next refresh of the same inputs goes on after the last mark, inside a training from its last
checkpoint. A full disk stops a refresh, too: its unfinished work is removed, so that the disk does not stay full for
everybody else, and once there is room the next refresh begins anew, with the text vectors that were encoded. A Neo4j
database is read first, into `.staging/neo4j-<digest of what is read>`, because only its content tells whether anything
changed. Until the last moment the old run serves, untouched.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gnn.device import resolve_device
from gnn.distributed import ALONE, Ranks
from kg import __version__
from kg.errors import GateError, GraphRecallError, StoreError
from kg.files import read_json, remove_trees, write_manifest
from kg.progress import SILENT, Progress
from kg.stores.write_back import WriteBackFacts
from recall.config import RefreshConfig
from recall.make_run import make_run
from recall.prepare import Inputs, Stages
from recall.recommender import Recommender
from recall.runs import RunFolder, RunsFolder, free_bytes
from recall.write_back import write_back_run

SELF_CHECK_USERS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshResult:
    """What a refresh came to.

    Attributes:
        status: "published", or "unchanged" when the run that serves has these inputs.
        run: the run that serves now.
        report: its report.json.
        written_back: what went into the database, or None where nothing is to be written back.
    """

    status: Literal["published", "unchanged"]
    run: RunFolder
    report: dict[str, Any]
    written_back: WriteBackFacts | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        back = None if self.written_back is None else self.written_back.to_json()
        return {
            "status": self.status,
            "run": self.run.name,
            "path": str(self.run.path),
            "written_back": back,
            "report": self.report,
        }


def refresh(
    config: RefreshConfig, *, progress: Progress = SILENT, full: bool = False, ranks: Ranks = ALONE
) -> RefreshResult:
    """Make a run of what the sources hold now and let it serve, unless the one that serves was made of the same.

    Args:
        config: from `recall.config.load_config`.
        progress: hears of every stage.
        full: begin from nothing, also when nothing changed and when there is work to go on from; text vectors, which
            depend on text and model alone, are still taken from the cache.
        ranks: processes that share the trainings, this one being the first (gnn.distributed.joined).

    Raises:
        RefreshInProgressError: another process refreshes the same runs folder.
        InvalidDataError: the sources cannot be used.
        ConfigError: the device, a relation or a file that the configuration names is not there.
        TrainingError: training diverged.
        GateError: the finished run failed its self-check; it is not published.
        StoreError: a database did not answer while it was read, or while results were written back; in the second
            case the new run is published and serves.
        GraphRecallError: the disk is full.
    """
    resolve_device(config.device)
    runs = RunsFolder(config.runs_folder)
    with _disk_full_told(runs.path), runs.lock(), _room_made(runs):
        inputs = Inputs.of(config, runs.staging_root, progress, fresh=full)
        if not full and (unchanged := _unchanged(runs, inputs.fingerprint)) is not None:
            _tidy(runs, config.runs.keep)
            return _write_back(config, unchanged, progress)
        keep = () if inputs.snapshot is None else (inputs.snapshot.folder,)
        stages = Stages(runs.staging(inputs.fingerprint, fresh=full, keep=keep))
        report = make_run(config, inputs, stages, runs.cache, progress=progress, ranks=ranks)
        write_manifest(
            stages.run.path,
            {
                "fingerprint": inputs.fingerprint,
                "created": report["created"],
                "library_version": __version__,
                "metrics": _headline(report["evaluation"]),
            },
        )
        with progress.task("checking the new run", total=1) as task:
            self_check(stages.run)
            task.advance()
        run = runs.publish(stages.run.path, fingerprint=inputs.fingerprint)
        _tidy(runs, config.runs.keep)
        return _write_back(config, RefreshResult(status="published", run=run, report=report), progress)


def _tidy(runs: RunsFolder, keep: int) -> None:
    """Remove what is not wanted any more; also after a refresh that was killed before it came to this."""
    remove_trees([runs.staging_root])
    runs.prune(keep)


def _write_back(config: RefreshConfig, result: RefreshResult, progress: Progress) -> RefreshResult:
    """Write the results of the run that serves into its database, if that is wished; at once when they are there."""
    if config.write_back is None or config.neo4j is None:
        return result
    try:
        with config.neo4j.open(base=config.base) as store:
            wanted = config.write_back
            facts = write_back_run(result.run, store, k=wanted.k, vectors=wanted.vectors, progress=progress)
    except GraphRecallError as error:
        raise StoreError(
            f"{error}\nThe run {result.run.name} is published and serves; only its results are not in the database. "
            f"The next refresh tries again, and so does: graphrecall write-back {result.run.path}"
        ) from error
    return replace(result, written_back=facts)


def _unchanged(runs: RunsFolder, fingerprint: str) -> RefreshResult | None:
    """The run of the same inputs, if there is one and it is intact; it serves from now on."""
    made = runs.find(fingerprint)
    if not made:
        return None
    current = runs.current()
    run = current if current is not None and current in made else made[0]
    report = read_json(run.report)
    if run == current:
        return RefreshResult(status="unchanged", run=run, report=report)
    # Published by a refresh that was killed before it switched, or by an earlier one whose inputs are back.
    runs.serve(run)
    return RefreshResult(status="published", run=run, report=report)


def _headline(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Recall and NDCG of what serves, in the first group at the first cut-off: what a list of runs shows."""
    row = next((row for row in evaluation["metrics"] if row["ranker"] == evaluation["serves"]), None)
    if row is None:
        return {}
    return {name: row[name] for name in (f"recall@{evaluation['k'][0]}", f"ndcg@{evaluation['k'][0]}")}


def self_check(run: RunFolder) -> None:
    """Ask a staged run for candidates before anybody else does.

    Raises:
        GateError: it answers nothing, or nonsense.
        ArtifactError: it cannot be loaded.
    """
    recommender = Recommender.load(run.path)
    graph = recommender.graph
    liked = np.unique(graph.interactions.user[graph.interactions.positive])
    users = graph.users.take(liked[np.linspace(0, len(liked) - 1, min(SELF_CHECK_USERS, len(liked))).astype(np.int64)])
    answer = recommender.recommend(users.to_pylist(), k=10).table
    if not answer.num_rows:
        raise GateError(f"the new model has no candidate for any of {len(users)} users: nothing is published")
    if not np.isfinite(answer["score"].to_numpy()).all():
        raise GateError("the new model gives scores that are no numbers: nothing is published")
    interactions = graph.interactions
    width = np.int64(len(graph.items))
    given = graph.users.index(answer["user_id"]) * width + graph.items.index(answer["item_id"])
    if np.isin(given, interactions.user * width + interactions.item).any():
        raise GateError("the new run offers items that users have seen: nothing is published")


@contextmanager
def _disk_full_told(folder: Path) -> Iterator[None]:
    """Turn the many ways in which libraries report a full disk into one message."""
    try:
        yield
    except Exception as error:
        if not _is_disk_full(error):
            raise
        raise GraphRecallError(
            f"the disk is full: {free_bytes(folder) / 1e6:.0f} MB are left at {folder} now that the unfinished work is "
            "removed. The run that serves is untouched. Make room and start the refresh again: it begins anew, but does "
            "not encode again what was encoded"
        ) from error


@contextmanager
def _room_made(runs: RunsFolder) -> Iterator[None]:
    """Remove the unfinished work when the disk is full."""
    try:
        yield
    except Exception as error:
        if _is_disk_full(error):
            remove_trees([runs.staging_root])
        raise


def _is_disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        # safetensors and faiss raise their own errors, with the operating system's words in them.
        text = str(error)
        if "No space left on device" in text or "code: 28" in text or "File too large" in text or "code: 27" in text:
            return True
        error = error.__cause__ or error.__context__
    return False
