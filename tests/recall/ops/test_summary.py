"""The summaries of a runs folder: what a line holds, what survives, what is dropped."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recall.jobs.refresh import RefreshResult
from recall.ops.summary import LOG, SummaryLog, json_line, peak_memory, summarise
from recall.runs.report import EvaluationReport, Report


def summary(status: Any, runs: Path, **more: Any) -> dict[str, Any]:
    return summarise(status, started=datetime.now(UTC), seconds=1.5, exit_code=0, runs=runs, **more)


def test_a_line_tells_what_the_report_tells(refreshed: RefreshResult, tmp_path: Path) -> None:
    report = Report.load(refreshed.run)
    line = summary("published", tmp_path, run=refreshed.run.name, report=report)
    assert line["counts"] == report.data.to_json()
    assert sum(line["findings"].values()) == len(report.quality.findings)
    assert line["peak_memory_bytes"] > 10_000_000
    rows = [row for row in report.evaluation.metrics if row.ranker == "lightgcn"]
    for row in rows:
        assert line["metrics"][row.group]["recall@5"] == row.metrics["recall@5"]
    assert line["metrics"].keys() == {row.group for row in rows}
    assert json.loads(json_line(line)) == line


def test_the_peak_is_not_that_of_the_process_that_started_this_one() -> None:
    held = np.ones(300_000_000, dtype=np.uint8)
    ask = "from recall.ops.summary import peak_memory; print(peak_memory())"
    child = subprocess.run([sys.executable, "-c", ask], stdout=subprocess.PIPE, text=True, check=True)
    assert peak_memory() > held.nbytes > int(child.stdout) > 10_000_000


def test_the_metrics_of_a_line_are_those_of_what_serves() -> None:
    rows = [
        {"ranker": "fused", "group": "warm", "users": 3, "recall@5": 0.5, "intervals": {"recall@5": [0.1, 0.9]}},
        {"ranker": "lightgcn", "group": "warm", "users": 3, "recall@5": 0.4},
    ]
    evaluation = EvaluationReport.model_validate({"serves": "fused", "metrics": rows})
    assert evaluation.served_by_group() == {"warm": {"recall@5": 0.5}}
    assert EvaluationReport.model_validate({"metrics": rows}).served_by_group() == {}


def test_totals_and_failures_in_a_row_outlive_the_lines_they_count(tmp_path: Path) -> None:
    log = SummaryLog(tmp_path)
    outcomes = ["published", "failed", "rejected", "locked", "interrupted", "failed", "unchanged", "rejected"]
    in_a_row = []
    for status in outcomes:
        line = log.add(summary(status, tmp_path), keep=2)
        in_a_row.append(line["failures_in_a_row"])
    assert in_a_row == [0, 1, 2, 2, 2, 3, 0, 1]
    kept = log.read()
    assert [one["status"] for one in kept] == outcomes[-2:]
    assert kept[-1]["totals"] == {
        "published": 1,
        "unchanged": 1,
        "rejected": 2,
        "failed": 2,
        "locked": 1,
        "interrupted": 1,
    }
    assert kept[-1]["last_good"] == kept[0]["finished"]
    assert kept[-1]["last_published"] is not None


def test_a_damaged_line_costs_that_line_alone(tmp_path: Path) -> None:
    log = SummaryLog(tmp_path)
    log.add(summary("published", tmp_path), keep=9)
    with log.path.open("ab") as stream:
        stream.write(b'{"status": "fai\n[1, 2]\n\xff\xfe\n\n' + b"[" * 100_000 + b"\n")
    log.add(summary("failed", tmp_path), keep=9)
    assert [one["status"] for one in log.read()] == ["published", "failed"]


def test_a_text_with_every_kind_of_line_break_stays_in_its_line(tmp_path: Path) -> None:
    log, text = SummaryLog(tmp_path), "a\nb\r\nc\u2028d\x85e\x0cf"
    for _ in range(2):
        log.add(summary("failed", tmp_path, error=text), keep=9)
    assert [line["error"] for line in log.read()] == [text, text]


def _add(runs: Path, count: int) -> None:
    for _ in range(count):
        SummaryLog(runs).add(summary("locked", runs), keep=1000)


def test_processes_that_write_at_once_lose_no_line(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_add, args=(tmp_path, 15)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    lines = SummaryLog(tmp_path).read()
    assert len(lines) == 60
    assert lines[-1]["totals"]["locked"] == 60


def test_the_errors_of_earlier_lines_are_taken_out_since_they_may_name_somebody(tmp_path: Path) -> None:
    log = SummaryLog(tmp_path)
    log.add(summary("failed", tmp_path, error="ratings.csv, line 7: user 'u-secret' rates nothing"), keep=9)
    log.add(summary("failed", tmp_path), keep=9)
    assert log.redact_errors() == 1
    assert log.redact_errors() == 0
    assert "u-secret" not in (tmp_path / LOG).read_text()
    assert ["error" in one for one in log.read()] == [True, False]
    assert [one["totals"]["failed"] for one in log.read()] == [1, 2]
    assert SummaryLog(tmp_path / "nowhere").redact_errors() == 0


def test_no_number_is_refused(tmp_path: Path) -> None:
    log = SummaryLog(tmp_path)
    log.add(summary("published", tmp_path), keep=9)
    with pytest.raises(ValueError, match="not JSON compliant"):
        log.add(summary("published", tmp_path, loss=float("nan")), keep=9)
    assert len(log.read()) == 1
