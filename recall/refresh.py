"""The main job: sources in, a published run out.

It is safe to kill at any moment. Every stage leaves its result in `.staging/<fingerprint of the inputs>` and a mark
that it is complete; the next refresh of the same inputs goes on after the last mark, inside a training from its last
checkpoint. A full disk stops a refresh in the same way: what is finished stays, and once there is room the next refresh
goes on. A Neo4j database is read first, into `.staging/neo4j-<digest of what is read>`, because only its content tells
whether anything changed. Until the last moment the old run serves, untouched.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import math
import os
import platform
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gnn.device import resolve_device
from gnn.embeddings import Embeddings
from gnn.features import TextFeatures, encode_graph
from gnn.text import TextEncoder
from gnn.text_cache import TextCache
from gnn.text_model import find_model
from gnn.trainer import RunContext, Validation, fit
from ingest.build import build_graph, source_files
from ingest.neo4j_plan import read_source
from ingest.settings import DataSettings, Neo4jSource
from kg import KnowledgeGraph, __version__, split_interactions
from kg.errors import ConfigError, GateError, GraphRecallError, InvalidDataError, StoreError
from kg.files import FORMAT_VERSION, checksum, digest, fsync_tree, read_json, remove_trees, write_json, write_manifest
from kg.progress import SILENT, Progress, Task
from kg.storage import load_graph, save_graph
from kg.stores.connection import Neo4jConnection
from kg.stores.embedded_build import build_store
from kg.stores.write_back import WriteBackFacts
from recall.assess import MODEL, assess, exact_channel, write_split
from recall.channels import EmbeddingChannel
from recall.config import RefreshConfig
from recall.recommender import Recommender
from recall.runs import RunFolder, RunsFolder, folder_bytes, free_bytes
from recall.write_back import write_back_run

if TYPE_CHECKING:  # the driver is imported where a database is read
    from kg.stores.snapshot import Snapshot

_log = logging.getLogger(__name__)

SELF_CHECK_USERS = 20
NOT_FINGERPRINTED = ("device", "runs", "demo", "neo4j", "write_back")
HOW_IT_IS_READ = ("page", "max_age", "patience")


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


def refresh(config: RefreshConfig, *, progress: Progress = SILENT, full: bool = False) -> RefreshResult:
    """Make a run of what the sources hold now and let it serve, unless the one that serves was made of the same.

    Args:
        config: from `recall.config.load_config`.
        progress: hears of every stage.
        full: begin from nothing, also when nothing changed and when there is work to go on from; text vectors, which
            depend on text and model alone, are still taken from the cache.

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
    with runs.lock(), _disk_full_told(runs.path):
        inputs = Inputs.of(config, runs.staging_root, progress, fresh=full)
        if not full and (unchanged := _unchanged(runs, inputs.fingerprint)) is not None:
            inputs.drop_snapshot()
            return _write_back(config, unchanged, progress)
        keep = () if inputs.snapshot is None else (inputs.snapshot.folder,)
        stages = Stages(runs.staging(inputs.fingerprint, fresh=full, keep=keep))
        report = _make(config, inputs, stages, runs.cache, progress)
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
        remove_trees([runs.staging_root])
        runs.prune(config.runs.keep)
        return _write_back(config, RefreshResult(status="published", run=run, report=report), progress)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a run is made of.

    Attributes:
        fingerprint: a digest of the configuration (but for where and how it runs), of the content of the sources and
            of a local text model, and of the library's version.
        files: source -> size and time of change, to notice a source that is being rewritten.
        snapshot: what was read from the Neo4j database of the sources.
    """

    fingerprint: str
    files: dict[Path, tuple[int, int]]
    snapshot: Snapshot | None = None

    @classmethod
    def of(cls, config: RefreshConfig, staging: Path, progress: Progress = SILENT, *, fresh: bool = False) -> Inputs:
        """Read every source once.

        Args:
            config: names the sources.
            staging: folder for what is read from a database.
            progress: listener.
            fresh: read the database anew also when an earlier refresh was killed after it had read it.

        Raises:
            ConfigError: a file that the configuration names is not there, or a label that the database lacks.
            InvalidDataError: a file or the database cannot be used.
            StoreError: the database does not answer; what was read of it stays for the next refresh.
        """
        with progress.task("looking for changes", total=1) as task:
            found = cls._of_files(config)
            task.advance()
        if config.sources.neo4j is None or config.neo4j is None:
            return found
        snapshot = _read_database(config, config.sources.neo4j, config.neo4j, staging, progress, fresh=fresh)
        both = f"{found.fingerprint} {snapshot.digest}"
        return replace(found, fingerprint=hashlib.sha256(both.encode()).hexdigest(), snapshot=snapshot)

    @classmethod
    def _of_files(cls, config: RefreshConfig) -> Inputs:
        settings = {key: value for key, value in config.to_json().items() if key not in NOT_FINGERPRINTED}
        if settings["sources"]["neo4j"] is not None:
            for how in HOW_IT_IS_READ:
                del settings["sources"]["neo4j"][how]
        paths = source_files(config.sources, base=config.base)
        files = {path: _state(path) for path in paths}
        body = {
            "format": FORMAT_VERSION,
            "library": __version__,
            "config": settings,
            "sources": [[os.path.relpath(path, config.base), checksum(path)] for path in paths],
        }
        model = find_model(config.text)
        if model.source == "folder":
            body["text model"] = model.sha256
        text = json.dumps(body, sort_keys=True, ensure_ascii=False)
        return cls(fingerprint=hashlib.sha256(text.encode()).hexdigest(), files=files)

    def check(self) -> None:
        """Make sure that no source changed since.

        Raises:
            InvalidDataError: one did.
        """
        for path, state in self.files.items():
            if _state(path) != state:
                raise InvalidDataError(
                    f"{path} was changed while it was read: start the refresh again when it is whole"
                )

    def drop_snapshot(self) -> None:
        """Remove what was read from the database, so that the next refresh reads it anew."""
        if self.snapshot is not None:
            remove_trees([self.snapshot.folder])


def _read_database(
    config: RefreshConfig,
    source: Neo4jSource,
    connection: Neo4jConnection,
    staging: Path,
    progress: Progress,
    *,
    fresh: bool,
) -> Snapshot:
    """Read the database of the sources, going on with what a killed refresh read of the same."""
    what = {"uri": connection.uri, "database": connection.database, "source": source.model_dump(mode="json")}
    folder = staging / f"neo4j-{digest(what)[:16]}"
    if fresh:
        remove_trees([folder])
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with connection.open(base=config.base) as store:
            return read_source(store, source, config.graph, folder, progress=progress)
    except (ConfigError, InvalidDataError):
        remove_trees([folder])
        raise


def _state(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except FileNotFoundError as error:
        raise InvalidDataError(
            f"the source {path} does not exist: restore it, or correct its name in the configuration"
        ) from error
    if stat.S_ISDIR(facts.st_mode):
        raise InvalidDataError(
            f"the source {path} is a folder: name its files, a pattern such as {path.name}/* will do"
        )
    return facts.st_size, facts.st_mtime_ns


def _unchanged(runs: RunsFolder, fingerprint: str) -> RefreshResult | None:
    """The run of the same inputs, if there is one and it is intact; it serves from now on."""
    run = runs.find(fingerprint)
    if run is None:
        return None
    report = read_json(run.report)
    if run == runs.current():
        return RefreshResult(status="unchanged", run=run, report=report)
    # Published by a refresh that was killed before it switched, or by an earlier one whose inputs are back.
    runs.serve(run)
    return RefreshResult(status="published", run=run, report=report)


def _make(config: RefreshConfig, inputs: Inputs, stages: Stages, cache: Path, progress: Progress) -> dict[str, Any]:
    """All stages; the staged run is complete afterwards but for its manifest."""
    run = stages.run
    stages.run.path.mkdir(parents=True, exist_ok=True)

    def build() -> dict[str, Any]:
        try:
            graph, quality = build_graph(
                DataSettings(graph=config.graph, sources=config.sources, quality=config.quality, neo4j=config.neo4j),
                base=config.base,
                progress=progress,
                snapshot=inputs.snapshot,
            )
            inputs.check()
        except (ConfigError, InvalidDataError):
            # What was read is no good: once the data is mended, the next refresh must not go on with it.
            inputs.drop_snapshot()
            raise
        save_graph(graph, run.graph)
        return quality.to_json()

    quality = stages.do("build", run.graph, build)
    graph = load_graph(run.graph)

    def encode() -> dict[str, Any]:
        encoder = TextEncoder(config.text, config.device)
        found = encode_graph(graph, encoder, cache=TextCache(cache / "text"), progress=progress)
        run.features.mkdir()
        found.save(run.features)
        return {"texts": len(found), "dim": found.dim, "model": config.text.model}

    texts = stages.do("encode", run.features, encode)
    features = TextFeatures.load(run.features)

    split = split_interactions(graph, config.split)
    if graph.interactions.positive.any() and not len(split.positives(graph, "train").items):
        raise InvalidDataError(
            f"split.kind = {config.split.kind!r} leaves no positive interaction to train on: give more interactions, "
            "lower split.test and split.valid, or use another split.kind"
        )
    view = split.view(graph, "train")

    def train_for_evaluation() -> dict[str, Any]:
        write_split(split, graph, run.split)
        validation = Validation(truth=split.positives(graph, "valid"), seen=split.seen(graph, "train"))
        found = fit(
            view,
            config.model,
            config.training,
            features=features,
            # A split without a validation part trains to the last step.
            validation=validation if len(validation.truth.items) else None,
            context=_context(config, stages.work / "evaluation", _Named(progress, "training for evaluation")),
        )
        found.save(run.evaluation_model)
        return _training_facts(found)

    trained = {"evaluation": stages.do("train for evaluation", run.evaluation_model.parent, train_for_evaluation)}

    def evaluate() -> dict[str, Any]:
        model = exact_channel(Embeddings.load(run.evaluation_model), view)
        found = assess(
            graph,
            split,
            model,
            kind=config.split.kind,
            ks=config.evaluation.k,
            baselines=config.evaluation.baselines,
            features=features,
            progress=progress,
        )
        _check_numbers(found["metrics"])
        return found

    measured = stages.do("evaluate", stages.work / "nothing", evaluate)

    def train_for_serving() -> dict[str, Any]:
        found = fit(
            graph,
            config.model,
            config.training,
            features=features,
            steps=trained["evaluation"]["steps"],
            beta=trained["evaluation"]["beta"],
            context=_context(config, stages.work / "serving", _Named(progress, "training for serving")),
        )
        found.save(run.model)
        return _training_facts(found)

    trained["serving"] = stages.do("train for serving", run.model, train_for_serving)

    def index() -> dict[str, Any]:
        built = EmbeddingChannel.of(Embeddings.load(run.model), graph, index_config=config.index).index
        run.index.mkdir()
        built.save(run.index)
        return {"kind": built.kind, "parameters": built.parameters, "recall": built.recall, "items": len(built)}

    indexed = stages.do("index", run.index, index)

    def store() -> dict[str, Any]:
        try:
            build_store(run.graph, run.store, progress=progress)
        except StoreError as error:
            return {"finding": _finding(error)}
        return {"bytes": run.store.stat().st_size}

    stored = stages.do("store", run.store.parent, store)
    if "finding" in stored:
        quality = {**quality, "findings": [*quality["findings"], stored["finding"]]}

    report = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": inputs.fingerprint,
        "data": _data_facts(graph),
        "quality": quality,
        "texts": texts,
        "training": trained,
        "evaluation": measured,
        "timings": stages.timings,
        "seed": config.seed,
        "device": str(resolve_device(config.device)),
        "index": indexed,
        "versions": library_versions(),
    }
    write_json(run.config, config.to_json())
    write_json(run.report, report)
    return report


class Stages:
    """The stages of one refresh, each done once, whatever kills the process in between.

    Attributes:
        folder: of the staging; `run` below it becomes the run, `work` holds what is not published.
        timings: seconds of each stage, those of an earlier attempt included.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = RunFolder(folder / "run")
        self.work = folder / "work"
        self.timings: dict[str, float] = {}

    def do(self, name: str, makes: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do a stage unless it is done.

        Args:
            name: of the stage.
            makes: the file or folder it writes; what a killed attempt left there is removed first.
            work: does it; returns facts, plain data, which are kept with the mark.

        Returns:
            The facts.
        """
        mark = self.folder / "done" / f"{name}.json"
        if mark.is_file():
            done: dict[str, Any] = read_json(mark)
            _log.info("stage %s was done by an earlier attempt", name)
        else:
            if makes.is_dir():
                remove_trees([makes])
            makes.unlink(missing_ok=True)
            makes.parent.mkdir(parents=True, exist_ok=True)
            start = time.monotonic()
            facts = work()
            if makes.is_dir():
                fsync_tree(makes)
            done = {"facts": facts, "seconds": time.monotonic() - start}
            write_json(mark, done)
        self.timings[name] = round(float(done["seconds"]), 3)
        result: dict[str, Any] = done["facts"]
        return result


class _Named:
    """A listener that hears of every task under one name."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name

    def task(self, description: str, *, total: int | None = None) -> AbstractContextManager[Task]:
        return self._progress.task(self._name, total=total)


def _context(config: RefreshConfig, folder: Path, progress: Progress) -> RunContext:
    folder.mkdir(parents=True, exist_ok=True)
    return RunContext(
        device=config.device, seed=config.seed, progress=progress, checkpoints=folder, log=folder / "training.jsonl"
    )


def _training_facts(found: Embeddings) -> dict[str, Any]:
    """What a report tells of a training; the configurations are in config.json already."""
    left_out = ("model_config", "training_config")
    return {name: value for name, value in found.facts.items() if name not in left_out}


def _data_facts(graph: KnowledgeGraph) -> dict[str, Any]:
    interactions = graph.interactions
    liked = interactions.select(interactions.positive)
    return {
        **graph.counts(),
        "interactions": len(interactions),
        "positives": len(liked),
        "users": len(np.unique(liked.user)),
        "items": len(np.unique(liked.item)),
    }


def _finding(error: StoreError) -> dict[str, Any]:
    """A run without an embedded store serves all the same, but for its Cypher."""
    return {
        "kind": "no embedded store",
        "severity": "warning",
        "count": 1,
        "explanation": f"rec.cypher() and graphrecall cypher need a Neo4j for this run: {error}",
        "examples": [],
    }


def _headline(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The model's recall and NDCG in the first group, at the first cut-off: what a list of runs shows."""
    row = next((row for row in evaluation["metrics"] if row["ranker"] == MODEL), None)
    if row is None:
        return {}
    return {name: row[name] for name in (f"recall@{evaluation['k'][0]}", f"ndcg@{evaluation['k'][0]}")}


def _check_numbers(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        bad = [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
        if bad:
            raise GateError(
                f"{', '.join(bad)} of {row['ranker']} for {row['group']} is no number: nothing is published"
            )


def library_versions() -> dict[str, str]:
    """Versions of everything that decides what a run holds."""
    names = ("graphrecall", "torch", "torch-geometric", "transformers", "faiss-cpu", "pyarrow", "pyoxigraph", "numpy")
    found = {"python": platform.python_version()}
    for name in (*names, "scipy", "safetensors"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


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
            f"the disk is full: {free_bytes(folder) / 1e6:.0f} MB are left at {folder}. "
            "The run that serves is untouched. "
            f"Make room and start the refresh again: it goes on where it stopped, from "
            f"{folder_bytes(folder / '.staging') / 1e6:.0f} MB of finished work in {folder / '.staging'}"
        ) from error


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
