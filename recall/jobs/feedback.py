"""The feedback log of a deployment: a source of every refresh, and what a forgetting takes users out of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingest.builder import GraphBuilder
from recall.config.deployment import RefreshConfig
from recall.feedback import FeedbackLog
from recall.jobs.privacy import Privacy
from recall.runs.registry import RunsFolder

_SCHEMA = pa.schema([("user", pa.string()), ("item", pa.string()), ("liked", pa.bool_()), ("timestamp", pa.int64())])


class FeedbackSource:
    """What users like and do not like by the feedback log, as it is when the source is first asked for."""

    name = "the feedback log"

    def __init__(self, folder: Path) -> None:
        self._log = FeedbackLog(folder)

    @cached_property
    def rows(self) -> list[tuple[str, str, bool, int]]:
        """User, item, whether it is liked, and UTC seconds of each opinion, sorted."""
        users = self._log.state().users
        return sorted(
            (user, item, opinion.liked, int(opinion.time))
            for user, said in users.items()
            for item, opinion in said.opinions.items()
        )

    def fingerprint(self) -> str:
        """A digest of the opinions; impressions do not change it."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(json.dumps(row).encode() + b"\n")
        return digest.hexdigest()

    def read(self, builder: GraphBuilder) -> None:
        """Add the opinions as interactions."""
        rows = [dict(zip(_SCHEMA.names, row, strict=True)) for row in self.rows]
        builder.add_feedback(pa.Table.from_pylist(rows, schema=_SCHEMA), name=self.name)


def feedback_sources(config: RefreshConfig) -> list[FeedbackSource]:
    """The feedback log of a deployment, where its configuration has the section and somebody said anything."""
    if config.feedback is None:
        return []
    source = FeedbackSource(RunsFolder(config.runs_folder).feedback_root)
    return [source] if source.rows else []


def forget_feedback(runs: RunsFolder, privacy: Privacy) -> int:
    """Take everybody on the list of forgotten users out of the feedback log; returns how many events went.

    A user may be named there by id, or as runs with pseudonyms do.

    Raises:
        FeedbackError: the disk is full, or the log cannot be locked.
    """
    key, marks = privacy.key, privacy.marks
    if key is None or not marks:
        return 0

    def wanted(users: Sequence[str]) -> npt.NDArray[np.bool_]:
        pairs = zip(key.marks_of_ids(users), key.marks(users), strict=True)
        return np.array([by_id in marks or by_name in marks for by_id, by_name in pairs], dtype=bool)

    return FeedbackLog(runs.feedback_root).remove_users(wanted)
