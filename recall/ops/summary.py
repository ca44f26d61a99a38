"""One JSON line a refresh: what it came to, how long it took, what it measured. The last ones are kept.

They lie in `.refreshes.jsonl` in the runs folder, oldest first. Each line carries what has to survive the lines before
it: how often each outcome has been, how many refreshes in a row failed, when the last good one ended.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from kg.io.files import write_text

Status = Literal["published", "unchanged", "rejected", "failed", "locked", "interrupted"]
STATUSES: tuple[Status, ...] = ("published", "unchanged", "rejected", "failed", "locked", "interrupted")
GOOD = ("published", "unchanged")
BAD = ("rejected", "failed")
LOG = ".refreshes.jsonl"
LOCK = ".refreshes.lock"
REDACTED = "taken out when somebody was forgotten"
STATUS = Path("/proc/self/status")
PATIENCE = 10.0  # seconds to wait for another refresh that writes its line


def headline(evaluation: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The metrics of what serves, by group of users: every number that stands in its rows.

    Args:
        evaluation: the part of a report.
    """
    found: dict[str, dict[str, float]] = {}
    for row in evaluation.get("metrics", ()):
        if row["ranker"] == evaluation.get("serves", "model"):
            numbers = {name: value for name, value in row.items() if "@" in name and isinstance(value, int | float)}
            found.setdefault(row["group"], {}).update(numbers)
    return found


def summarise(
    status: Status,
    *,
    started: datetime,
    seconds: float,
    exit_code: int,
    runs: Path,
    run: str | None = None,
    report: Mapping[str, Any] | None = None,
    error: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """What a refresh came to, as plain data.

    Args:
        status: how it ended.
        started: wall clock at its beginning, UTC.
        seconds: how long it took, by a clock that nobody turns back.
        exit_code: that tells it to a scheduler; the 3 of `--exit-code` is a 0 here.
        runs: the runs folder.
        run: id of the run that serves now, or None.
        report: report.json of the run that was made or that serves.
        error: what went wrong, one message.
        more: further facts.
    """
    facts: dict[str, Any] = {
        "event": "refresh",
        "status": status,
        "exit_code": exit_code,
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "peak_memory_bytes": peak_memory(),
        "runs": str(runs),
        "run": run,
        **more,
    }
    if report is not None:
        facts |= _of_report(report)
    if error is not None:
        facts["error"] = error
    return facts


def peak_memory() -> int:
    """The most bytes that this process has had resident."""
    with suppress(OSError, ValueError):
        # On Linux ru_maxrss begins with the peak of the process that started this one.
        (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _of_report(report: Mapping[str, Any]) -> dict[str, Any]:
    findings = report.get("quality", {}).get("findings", ())
    severities = [str(finding["severity"]) for finding in findings]
    return {
        "created": report.get("created"),
        "kind": report.get("kind", "full"),
        "base": report.get("base"),
        "generation": report.get("generation", 0),
        "counts": report.get("data", {}),
        "findings": {name: severities.count(name) for name in sorted(set(severities))},
        "k": report.get("evaluation", {}).get("k", []),
        "metrics": headline(report.get("evaluation", {})),
        "timings": report.get("timings", {}),
    }


class SummaryLog:
    """The summaries of a runs folder.

    Attributes:
        path: the file, a JSON object a line.
    """

    def __init__(self, runs: Path) -> None:
        self.path = runs / LOG
        self._lock = runs / LOCK

    def read(self) -> list[dict[str, Any]]:
        """All there are, oldest first; a line that is no JSON object is left out."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return []
        return list(_objects(lines))

    def add(self, summary: Mapping[str, Any], *, keep: int) -> dict[str, Any]:
        """Write a summary behind the others, and drop the oldest.

        Args:
            summary: from `summarise`.
            keep: how many stay.

        Returns:
            The line as written: the summary with `totals`, `failures_in_a_row`, `last_good` and `last_published`.

        Raises:
            OSError: the file cannot be written.
            filelock.Timeout: another process holds it.
        """
        with self._locked():
            before = self.read()
            whole = (one for one in reversed(before) if isinstance(one.get("totals"), dict))
            line = _carried(summary, next(whole, {}))
            self._write([*before, line][-keep:])
        return line

    def redact_errors(self) -> int:
        """Take the errors out of all lines: what they quote, the id of a user perhaps, nobody can tell afterwards.

        Returns:
            How many lines were changed.
        """
        if not self.path.parent.is_dir():
            return 0
        with self._locked():
            for left in self.path.parent.glob(f".{LOG}.*.tmp"):  # by a writer that was killed
                left.unlink()
            lines, changed = self.read(), 0
            for line in lines:
                if line.get("error", REDACTED) != REDACTED:
                    line["error"] = REDACTED
                    changed += 1
            if changed:
                self._write(lines)
        return changed

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with FileLock(self._lock, timeout=PATIENCE):
            yield

    def _write(self, lines: Collection[Mapping[str, Any]]) -> None:
        write_text(self.path, "".join(json_line(line) + "\n" for line in lines))


def json_line(data: Mapping[str, Any]) -> str:
    """Plain data in one line; NaN is refused."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _objects(lines: Collection[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def _carried(summary: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
    status = summary["status"]
    totals = {name: int(last.get("totals", {}).get(name, 0)) + (name == status) for name in STATUSES}
    failures = int(last.get("failures_in_a_row", 0))
    if status in GOOD:
        failures = 0
    elif status in BAD:
        failures += 1
    return {
        **summary,
        "totals": totals,
        "failures_in_a_row": failures,
        "last_good": summary["finished"] if status in GOOD else last.get("last_good"),
        "last_published": summary["finished"] if status == "published" else last.get("last_published"),
    }
