"""What every training of a deployment begins with: sources read, graph built, texts encoded, interactions split.

Each step leaves its result in a folder, with a mark that it is complete: a killed job goes on after the last mark.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnn.text.cache import TextCache
from gnn.text.features import TextFeatures, encode_graph
from gnn.text.model import find_model
from ingest.build import build_graph, source_files
from ingest.people import FORGOTTEN_USERS, People
from ingest.settings import DataSettings, Neo4jSource
from ingest.sources.neo4j.plan import read_source
from kg import KnowledgeGraph, Split, __version__, split_interactions
from kg.errors import ArtifactError, ConfigError, InvalidDataError
from kg.io.files import FORMAT_VERSION, checksum, digest, fsync, fsync_tree, read_json, remove_trees, write_json
from kg.io.graph_folder import load_graph, save_graph
from kg.progress import SILENT, Progress
from kg.stores.neo4j.connection import Neo4jConnection
from recall.config.deployment import RefreshConfig
from recall.jobs.privacy import Privacy
from recall.runs.layout import RunLayout
from recall.runs.report import Report

if TYPE_CHECKING:  # torch is imported where a text is encoded, the driver where a database is read
    from gnn.evaluation.validation import Validation
    from kg.stores.neo4j.read.snapshot import Snapshot

_log = logging.getLogger(__name__)

NOT_FINGERPRINTED = ("device", "runs", "demo", "neo4j", "write_back", "refresh", "gate", "tune", "watch", "privacy")
HOW_IT_IS_READ = ("page", "max_age", "patience", "compare_keys_every")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a run is made of.

    Attributes:
        fingerprint: a digest of the configuration (but for where and how it runs), of the content of the sources and
            of a local text model, and of the library's version.
        files: source -> size, time of change and inode, to notice a source that is being rewritten or replaced.
        sources: name of each source -> its `kind`, its `fingerprint` and, for a person, its size and time, plain data.
        clock: what this machine's clock said, UTC seconds.
        now: the same, or the time at which the last run was made where that is later: a clock that was turned back must
            not make what is new look like the future.
        as_of: None, or the time from which on the sources give another graph than an earlier run has, because a time
            that it set aside as one of the future is past by now.
        snapshot: what was read from the Neo4j database of the sources.
        people: which users may come in, and under which names; None: everybody as they are.
        without_list: the fingerprint as it would be if nobody were on the list of forgotten users.
    """

    fingerprint: str
    files: dict[Path, tuple[int, int, int]]
    sources: dict[str, dict[str, Any]]
    clock: int
    now: int
    as_of: int | None = None
    snapshot: Snapshot | None = None
    people: People | None = None
    without_list: str = ""

    @classmethod
    def of(
        cls,
        config: RefreshConfig,
        staging: Path,
        progress: Progress = SILENT,
        *,
        fresh: bool = False,
        left_out: Collection[str] = NOT_FINGERPRINTED,
        base: RunLayout | None = None,
    ) -> Inputs:
        """Read every source once.

        Args:
            config: names the sources.
            staging: folder for what is read from a database.
            progress: listener.
            fresh: read the database anew also when an earlier refresh was killed after it had read it.
            left_out: sections that change nothing of what is made.
            base: the run that serves, which tells what time it was when it was made.

        Raises:
            ConfigError: a file that the configuration names is not there, a label that the database lacks, or the key
                of the list of forgotten users.
            InvalidDataError: a file or the database cannot be used.
            StoreError: the database does not answer; what was read of it stays for the next refresh.
        """
        privacy = Privacy.open(config.runs_folder, config.privacy)
        found = cls._of_sources(config, staging, progress, fresh, left_out, base, privacy)
        people = None
        if privacy.key is not None:
            people = People(key=privacy.key, forgotten=privacy.marks, pseudonyms=privacy.pseudonyms)
        fingerprint = privacy.fingerprint(found.fingerprint)
        return replace(found, fingerprint=fingerprint, people=people, without_list=found.fingerprint)

    @classmethod
    def _of_sources(
        cls,
        config: RefreshConfig,
        staging: Path,
        progress: Progress,
        fresh: bool,
        left_out: Collection[str],
        base: RunLayout | None,
        privacy: Privacy,
    ) -> Inputs:
        with progress.task("looking for changes", total=1) as task:
            found = cls._of_files(config, left_out, base, privacy)
            task.advance()
        if config.sources.neo4j is None or config.neo4j is None:
            return found
        snapshot = _read_database(config, config.sources.neo4j, config.neo4j, staging, progress, fresh=fresh)
        both = f"{found.fingerprint} {snapshot.digest}"
        facts = {"kind": "neo4j", "fingerprint": snapshot.digest, "modified": None, "read": dict(snapshot.read)}
        return replace(
            found,
            fingerprint=hashlib.sha256(both.encode()).hexdigest(),
            sources={**found.sources, f"{config.neo4j.uri}/{config.neo4j.database or ''}".rstrip("/"): facts},
            snapshot=snapshot,
        )

    @classmethod
    def _of_files(
        cls, config: RefreshConfig, left_out: Collection[str], base: RunLayout | None, privacy: Privacy
    ) -> Inputs:
        settings = {key: value for key, value in config.to_json().items() if key not in left_out}
        if settings["sources"]["neo4j"] is not None:
            for how in HOW_IT_IS_READ:
                del settings["sources"]["neo4j"][how]
        paths = source_files(config.sources, base=config.base)
        files = {path: _state(path) for path in paths}
        named = [(os.path.relpath(path, config.base), path, checksum(path)) for path in paths]
        sources = {
            name: {"kind": "file", "fingerprint": sha, "bytes": files[path][0], "modified": files[path][1] // 10**9}
            for name, path, sha in named
        }
        body = {
            "format": FORMAT_VERSION,
            "library": __version__,
            "config": settings,
            "sources": [[name, sha] for name, _, sha in named],
        }
        model = find_model(config.text)
        if model.source == "folder":
            body["text model"] = model.sha256
        if privacy.pseudonyms and privacy.key is not None:
            body["pseudonyms"] = privacy.key.name
        clock = int(time.time())
        now = max(clock, _made_at(base))
        as_of = _as_of(base, now)
        if as_of is not None:
            body["as of"] = as_of
        text = json.dumps(body, sort_keys=True, ensure_ascii=False)
        return cls(
            fingerprint=hashlib.sha256(text.encode()).hexdigest(),
            files=files,
            sources=sources,
            clock=clock,
            now=now,
            as_of=as_of,
        )

    def kept_config(self, config: RefreshConfig) -> dict[str, Any]:
        """What a run keeps of its configuration: all but the id of a user whom it does not name."""
        data = config.to_json()
        user = config.demo.user
        if self.people is not None and user is not None:
            data["demo"]["user"] = self.people.name(user)
        return data

    def forgotten(self, base: RunLayout | None) -> dict[str, Any]:
        """What a run's report says of the list of forgotten users.

        Args:
            base: the run whose weights the new one goes on from, or None.
        """
        on_list = 0 if self.people is None else len(self.people.forgotten)
        remember = 0 if base is None else Report.load(base).forgotten.weights_may_remember
        return {"inputs": self.without_list, "on_list": on_list, "weights_may_remember": remember}

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

    def keep_snapshot(self, runs: Path, report: Report) -> None:
        """Move what was read from a database with a watermark to where the next refresh looks for what it knows.

        That is `.neo4j-<digest of what is read>/<number>` of the runs folder; the highest number counts, and a rename
        makes it. Nothing is kept that names a user who must not be known there: with pseudonyms, and while the database
        names users who are to be forgotten, every refresh reads everything.

        Args:
            runs: the runs folder.
            report: of the run that was made of these inputs.
        """
        if self.snapshot is None or not (self.snapshot.plan.label_watermarks or self.snapshot.plan.type_watermarks):
            return
        if self.people is not None and (self.people.pseudonyms or not self._names_nobody(report)):
            _log.info("what was read from the database is not kept: it names users who must not be known here")
            return
        root = runs / f".{self.snapshot.folder.name}"
        before = _kept(root)
        root.mkdir(parents=True, exist_ok=True)
        self.snapshot.folder.rename(root / f"{int(before[-1].name) + 1 if before else 1:08d}")
        fsync(root)
        remove_trees([*before, *(other for other in runs.glob(".neo4j-*") if other != root)])

    def _names_nobody(self, report: Report) -> bool:
        """Whether the sources name none of the users who are to be forgotten, by the report of their run."""
        same_inputs = report.fingerprint == self.fingerprint
        return same_inputs and all(finding.kind != FORGOTTEN_USERS for finding in report.quality.findings)

    def drop_snapshot(self) -> None:
        """Remove what was read from the database, so that the next refresh reads it anew."""
        if self.snapshot is not None:
            remove_trees([self.snapshot.folder])


def _made_at(base: RunLayout | None) -> int:
    """When a run was made, UTC seconds; 0 where nobody knows."""
    try:
        return 0 if base is None else int(datetime.fromisoformat(str(base.manifest()["created"])).timestamp())
    except (ArtifactError, KeyError, ValueError):
        return 0


def _as_of(base: RunLayout | None, now: int) -> int | None:
    """The last time from which on the sources gave another graph, as far as a run's report tells."""
    try:
        quality = None if base is None else Report.load(base).quality
    except ArtifactError:
        return None
    if quality is None:
        return None
    return quality.matures if quality.matures is not None and quality.matures <= now else quality.as_of


def _kept(root: Path) -> list[Path]:
    """Snapshots that refreshes kept, oldest first; more than one only after a kill."""
    return sorted(path for path in root.iterdir() if path.name.isdigit()) if root.is_dir() else []


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
    wanted = source.model_dump(mode="json", exclude={"compare_keys_every"})
    what = {"uri": connection.uri, "database": connection.database, "source": wanted}
    folder = staging / f"neo4j-{digest(what)[:16]}"
    kept = None
    if fresh:
        remove_trees([folder])
    elif source.watermark is not None:
        root = config.runs_folder / f".{folder.name}"
        kept = (_kept(root) or [root])[-1]
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with connection.open(base=config.base) as store:
            return read_source(store, source, config.graph, folder, kept=kept, progress=progress)
    except (ConfigError, InvalidDataError):
        remove_trees([folder])
        raise


def _state(path: Path) -> tuple[int, int, int]:
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
    return facts.st_size, facts.st_mtime_ns, facts.st_ino


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a model of the deployment is trained on.

    Attributes:
        graph: all of it.
        features: text vectors of its nodes.
        split: the part of every interaction.
        view: the graph as it looks to somebody who knows the training part only.
        quality: what was found in the sources, plain data.
        texts: how many were encoded by which model, plain data.
    """

    graph: KnowledgeGraph
    features: TextFeatures
    split: Split
    view: KnowledgeGraph
    quality: dict[str, Any]
    texts: dict[str, Any]

    def validation(self) -> Validation | None:
        """What early stopping measures, or None where the split has no validation part with anything to find."""
        from gnn.evaluation.validation import Validation

        found = Validation(truth=self.split.positives(self.graph, "valid"), seen=self.split.seen(self.graph, "train"))
        return found if len(found.truth.values) else None


def prepare(config: RefreshConfig, inputs: Inputs, stages: Stages, cache: Path, progress: Progress) -> Prepared:
    """Build the graph, encode its texts and split its interactions; what an earlier attempt finished is only loaded.

    Args:
        config: of the deployment.
        inputs: what `Inputs.of` read.
        stages: keep the graph and the vectors in the layout of a run.
        cache: folder of the text vectors.
        progress: hears of every stage.

    Raises:
        InvalidDataError: the sources cannot be used, or nothing is left to train on.
        ConfigError: a relation or a text model that the configuration names is not there.
    """
    run = stages.run

    def build() -> dict[str, Any]:
        try:
            graph, quality = build_graph(
                DataSettings(graph=config.graph, sources=config.sources, quality=config.quality, neo4j=config.neo4j),
                base=config.base,
                progress=progress,
                now=inputs.now,
                snapshot=inputs.snapshot,
                people=inputs.people,
            )
            inputs.check()
        except (ConfigError, InvalidDataError):
            # What was read is no good: once the data is mended, the next attempt must not go on with it.
            inputs.drop_snapshot()
            raise
        save_graph(graph, run.graph)
        return {**quality.to_json(), "as_of": inputs.as_of}

    quality = stages.do("build", run.graph, build)
    graph = load_graph(run.graph)

    def encode() -> dict[str, Any]:
        from gnn.text.encoder import TextEncoder

        encoder = TextEncoder(config.text, config.device)
        found = encode_graph(graph, encoder, cache=TextCache(cache / "text"), progress=progress)
        run.features.mkdir()
        found.save(run.features)
        return {"texts": len(found), "dim": found.dim, "model": config.text.model}

    texts = stages.do("encode", run.features, encode)
    split = split_interactions(graph, config.split)
    if graph.interactions.positive.any() and not len(split.positives(graph, "train").values):
        raise InvalidDataError(
            f"split.kind = {config.split.kind!r} leaves no positive interaction to train on: give more interactions, "
            "lower split.test and split.valid, or use another split.kind"
        )
    return Prepared(
        graph=graph,
        features=TextFeatures.load(run.features),
        split=split,
        view=split.view(graph, "train"),
        quality=quality,
        texts=texts,
    )


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
            remove_trees([folder / "done", self.work])

    def do(self, name: str, makes: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do a stage unless it is done.

        Args:
            name: of the stage.
            makes: the folder it writes; what a killed attempt left there is removed first.
            work: does it; returns facts, plain data, which are kept with the mark.

        Returns:
            The facts.
        """
        done = self._done(name, makes)
        if done is not None:
            _log.info("stage %s was done by an earlier attempt", name)
        else:
            remove_trees([makes])
            makes.parent.mkdir(parents=True, exist_ok=True)
            start = time.monotonic()
            facts = work()
            if makes.is_dir():
                fsync_tree(makes)
            fsync(makes.parent)
            done = {"facts": facts, "seconds": time.monotonic() - start, "files": _checksums(makes)}
            write_json(self._mark(name), done)
        self.timings[name] = round(float(done["seconds"]), 3)
        result: dict[str, Any] = done["facts"]
        return result

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
