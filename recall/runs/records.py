"""What people decided about a run, kept beside the runs: a run itself is never changed once it is finished."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kg.errors import ArtifactError
from kg.io.files import read_json, write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Who decided, why and when.

    Attributes:
        by: a name.
        reason: in words.
        at: ISO 8601, UTC.
        run: "accepted": the run that served until then; "rolled back": the one that serves in its place; "" for none.
    """

    by: str
    reason: str
    at: str
    run: str = ""

    @classmethod
    def now(cls, *, by: str, reason: str, run: str = "") -> Decision:
        """One taken now."""
        return cls(by=by, reason=reason, at=datetime.now(UTC).isoformat(timespec="seconds"), run=run)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The decisions about one run.

    Attributes:
        accepted: it was published although the gate had rejected it.
        rolled_back: it must not serve again by itself.
    """

    accepted: Decision | None = None
    rolled_back: Decision | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def read_record(file: Path) -> RunRecord:
    """The record of a run, empty where there is none.

    Raises:
        ArtifactError: the file is damaged.
    """
    if not file.exists():
        return RunRecord()
    decisions = read_json(file)
    try:
        return RunRecord(**{name: None if made is None else Decision(**made) for name, made in decisions.items()})
    except (AttributeError, TypeError) as error:
        raise ArtifactError(
            f"{file} is damaged: it holds no decisions about a run; correct it, or remove it to forget them"
        ) from error


def write_record(file: Path, record: RunRecord) -> None:
    """Keep a record."""
    write_json(file, record.to_json())
