"""What a run is made of: a fingerprint of configuration, sources and list of forgotten users."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnn.text.model import find_model
from ingest.build import file_sources
from ingest.configured.base import Source
from ingest.people import FORGOTTEN_USERS, People
from kg import __version__
from kg.errors import ArtifactError, InvalidDataError
from kg.io.files import FORMAT_VERSION
from kg.io.removal import remove_trees
from kg.progress import SILENT, Progress
from recall.config.deployment import RefreshConfig
from recall.jobs.database import keep_reading, read_database
from recall.jobs.feedback import feedback_sources
from recall.jobs.privacy import Privacy
from recall.runs.layout import RunLayout
from recall.runs.report import Report

if TYPE_CHECKING:  # torch is imported where a text is encoded, the driver where a database is read
    from kg.stores.neo4j.read.snapshot import Snapshot

_log = logging.getLogger(__name__)

NOT_FINGERPRINTED = (
    "device",
    "runs",
    "demo",
    "neo4j",
    "write_back",
    "refresh",
    "gate",
    "tune",
    "watch",
    "privacy",
    "service",
)
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
        memory: sources that no configuration names, tables in memory.
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
    memory: Sequence[Source] = ()
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
        memory: Sequence[Source] = (),
    ) -> Inputs:
        """Read every source once.

        Args:
            config: names the sources.
            staging: folder for what is read from a database.
            progress: listener.
            fresh: read the database anew also when an earlier refresh was killed after it had read it.
            left_out: sections that change nothing of what is made.
            base: the run that serves, which tells what time it was when it was made.
            memory: sources that no configuration names; the feedback log is one of them.

        Raises:
            ConfigError: a file that the configuration names is not there, a label that the database lacks, or the key
                of the list of forgotten users.
            InvalidDataError: a file or the database cannot be used.
            StoreError: the database does not answer; what was read of it stays for the next refresh.
        """
        privacy = Privacy.open(config.runs_folder, config.privacy)
        memory = [*memory, *feedback_sources(config)]
        inputs = cls._of_sources(config, staging, progress, fresh, left_out, base, privacy, memory)
        people = None
        if privacy.key is not None:
            people = People(key=privacy.key, forgotten=privacy.marks, pseudonyms=privacy.pseudonyms)
        fingerprint = privacy.fingerprint(inputs.fingerprint)
        return replace(inputs, fingerprint=fingerprint, people=people, without_list=inputs.fingerprint)

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
        memory: Sequence[Source],
    ) -> Inputs:
        with progress.task("looking for changes", total=1) as task:
            inputs = cls._of_files(config, left_out, base, privacy, memory)
            task.advance()
        if config.sources.neo4j is None or config.neo4j is None:
            return inputs
        snapshot = read_database(config, config.sources.neo4j, config.neo4j, staging, progress, fresh=fresh)
        both = f"{inputs.fingerprint} {snapshot.digest}"
        facts = {"kind": "neo4j", "fingerprint": snapshot.digest, "modified": None, "read": dict(snapshot.read)}
        return replace(
            inputs,
            fingerprint=hashlib.sha256(both.encode()).hexdigest(),
            sources={**inputs.sources, f"{config.neo4j.uri}/{config.neo4j.database or ''}".rstrip("/"): facts},
            snapshot=snapshot,
        )

    @classmethod
    def _of_files(
        cls,
        config: RefreshConfig,
        left_out: Collection[str],
        base: RunLayout | None,
        privacy: Privacy,
        memory: Sequence[Source],
    ) -> Inputs:
        settings = {key: value for key, value in config.to_json().items() if key not in left_out}
        if settings["sources"]["neo4j"] is not None:
            for how in HOW_IT_IS_READ:
                del settings["sources"]["neo4j"][how]
        sources = file_sources(config.sources, base=config.base)
        files = {file.path: _state(file.path) for source in sources for file in source.files}
        facts = {
            os.path.relpath(file.path, config.base): {
                "kind": "file",
                "fingerprint": sha,
                "bytes": files[file.path][0],
                "modified": files[file.path][1] // 10**9,
            }
            for source in sources
            for file, sha in source.checksums.items()
        }
        digests = {source.name: source.fingerprint() for source in memory}
        facts |= {name: {"kind": "memory", "fingerprint": digest} for name, digest in digests.items()}
        body = {
            "format": FORMAT_VERSION,
            "library": __version__,
            "config": settings,
            "sources": [*([source.name, source.fingerprint()] for source in sources), *map(list, digests.items())],
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
            sources=facts,
            clock=clock,
            now=now,
            as_of=as_of,
            memory=tuple(memory),
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
            base: the run whose weights the new one continues, or None.
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
        """Keep what was read of a database for the next refresh, which then reads only what changed since.

        Nothing is kept that names a user who must not be named there: with pseudonyms, and while the database names
        users who are to be forgotten, every refresh reads everything.

        Args:
            runs: the runs folder.
            report: of the run that was made of these inputs.
        """
        if self.snapshot is None:
            return
        if self.people is not None and (self.people.pseudonyms or not self._names_nobody(report)):
            _log.info("what was read from the database is not kept: it names users who must not be named")
            return
        keep_reading(self.snapshot, runs)

    def _names_nobody(self, report: Report) -> bool:
        """Whether the sources name none of the users who are to be forgotten, by the report of their run."""
        same_inputs = report.fingerprint == self.fingerprint
        return same_inputs and all(finding.kind != FORGOTTEN_USERS for finding in report.quality.findings)

    def drop_snapshot(self) -> None:
        """Remove what was read from the database, so that the next refresh reads it anew."""
        if self.snapshot is not None:
            remove_trees([self.snapshot.folder], inside=self.snapshot.folder.parent)


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
