"""Summaries of refreshes, one JSON line each: outcome, duration, metrics. The last ones are kept.

They lie in `.refreshes.jsonl` in the runs folder, oldest first. Each line repeats what must not be lost with older
lines: how often each outcome occurred, how many refreshes in a row failed, when the last good one ended.
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

from kg.io.files import write_text
from recall.runs.lock import acquire
from recall.runs.report import Report

Status = Literal["published", "unchanged", "rejected", "failed", "locked", "interrupted"]
STATUSES: tuple[Status, ...] = ("published", "unchanged", "rejected", "failed", "locked", "interrupted")
GOOD = ("published", "unchanged")
BAD = ("rejected", "failed")
LOG = ".refreshes.jsonl"
LOCK = ".refreshes.lock"
REDACTED = "taken out, for it may name a user"
STATUS = Path("/proc/self/status")
LOCK_TIMEOUT = 10.0  # seconds to wait for another refresh that writes its line


def summarise(
    status: Status,
    *,
    started: datetime,
    seconds: float,
    exit_code: int,
    runs: Path,
    run: str | None = None,
    report: Report | None = None,
    error: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The summary of a refresh as plain data.

    Args:
        status: how it ended.
        started: wall clock time at its start, UTC.
        seconds: how long it took, by a monotonic clock.
        exit_code: of the process; the 3 of `--exit-code` is a 0 here.
        runs: the runs folder.
        run: id of the run that serves after it, or None.
        report: report.json of that run.
        error: the error message, if it failed.
        more: further facts.
    """
    summary: dict[str, Any] = {
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
        summary |= _of_report(report)
    if error is not None:
        summary["error"] = error
    return summary


def peak_memory() -> int:
    """The peak of the resident memory of this process, bytes."""
    with suppress(OSError, ValueError):
        # On Linux ru_maxrss starts with the peak of the parent process.
        (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _of_report(report: Report) -> dict[str, Any]:
    severities = [finding.severity for finding in report.quality.findings]
    return {
        "created": report.created,
        "kind": report.kind,
        "base": report.base,
        "generation": report.generation,
        "counts": report.data.to_json(),
        "findings": {name: severities.count(name) for name in sorted(set(severities))},
        "k": list(report.evaluation.k),
        "metrics": report.evaluation.served_by_group(),
        "timings": report.timings,
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
        """The summaries, oldest first; a line that is no JSON object is left out."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return []
        return list(_objects(lines))

    def add(self, summary: Mapping[str, Any], *, keep: int) -> dict[str, Any]:
        """Append a summary, and drop the oldest ones.

        Args:
            summary: from `summarise`.
            keep: how many stay.

        Returns:
            The line as written: the summary with `totals`, `failures_in_a_row`, `last_good` and `last_published`.

        Raises:
            OSError: the file cannot be written.
            filelock.Timeout: another process holds it.
            ConfigError: the file system has no locks.
        """
        with self._locked():
            before = self.read()
            complete = (older for older in reversed(before) if isinstance(older.get("totals"), dict))
            line = _with_totals(summary, next(complete, {}))
            self._write([*before, line][-keep:])
        return line

    def redact_errors(self) -> int:
        """Remove the error messages from all lines: they may quote the id of a user.

        Returns:
            How many lines were changed.
        """
        if not self.path.parent.is_dir():
            return 0
        with self._locked():
            for leftover in self.path.parent.glob(f".{LOG}.*.tmp"):  # of a writer that was killed
                leftover.unlink()
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
        lock = acquire(self._lock, patience=LOCK_TIMEOUT)
        try:
            yield
        finally:
            lock.release()

    def _write(self, lines: Collection[Mapping[str, Any]]) -> None:
        write_text(self.path, "".join(json_line(line) + "\n" for line in lines))


def json_line(data: Mapping[str, Any]) -> str:
    """Plain data in one line; NaN is refused."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _objects(lines: Collection[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            yield entry


def _with_totals(summary: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
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
