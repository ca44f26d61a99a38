"""The file for Prometheus, read by Prometheus' own parser."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kg.errors import ConfigError
from recall.config.deployment import load_config
from recall.jobs.refresh import RefreshResult
from recall.ops.metrics import exposition
from recall.ops.summary import SummaryLog, summarise
from recall.runs.report import EvaluationReport, GraphCounts, Report

HOSTILE = 'a"b\\n\n{x="1"} 5\n# TYPE y gauge\\'


def parsed(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in ("gauge", "counter")
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return samples


def written(tmp_path: Path, status: Any = "published", **more: Any) -> dict[str, Any]:
    summary = summarise(status, started=datetime.now(UTC), seconds=2.25, exit_code=0, runs=tmp_path, **more)
    return SummaryLog(tmp_path).add(summary, keep=9)


def test_the_numbers_of_a_refresh_are_read_back(refreshed: RefreshResult, tmp_path: Path) -> None:
    summary = written(tmp_path, run=refreshed.run.name, report=refreshed.report)
    samples = parsed(exposition(summary))
    runs = ("runs", str(tmp_path))

    def value(name: str, *labels: tuple[str, str]) -> float:
        return samples[f"graphrecall_{name}"][tuple(sorted((runs, *labels)))]

    assert value("refresh_last_duration_seconds") == 2.25
    assert value("refreshes_total", ("status", "published")) == 1
    assert value("refresh_last_status", ("status", "published")) == 1
    assert value("refresh_last_status", ("status", "failed")) == 0
    assert value("run_nodes", ("type", "movie")) == 24
    assert value("run_edges", ("relation", "(user)-[rated]->(movie)")) == 16 * 12
    assert value("run_interactions") == 16 * 12
    assert value("run_info", ("run", refreshed.run.name)) == 1
    (row,) = (
        row for row in refreshed.report.evaluation.metrics if (row.ranker, row.group) == ("lightgcn", "warm users")
    )
    labels = (("group", "warm users"), ("metric", "recall"), ("k", "5"))
    assert value("run_metric", *labels) == row.metrics["recall@5"]
    created = datetime.fromisoformat(refreshed.report.created).timestamp()
    assert value("run_created_timestamp_seconds") == created
    assert value("refresh_last_good_timestamp_seconds") == datetime.fromisoformat(summary["finished"]).timestamp()


def test_names_from_outside_break_nothing(tmp_path: Path) -> None:
    report = Report(
        created="2026-01-01T00:00:00+00:00",
        fingerprint="",
        data=GraphCounts(nodes={HOSTILE: 3}),
        evaluation=EvaluationReport(k=(5,)),
    )
    samples = parsed(exposition(written(tmp_path / HOSTILE.replace("/", ""), report=report)))
    assert "y" not in samples
    (labels,) = samples["graphrecall_run_nodes"]
    assert dict(labels)["type"] == HOSTILE


def test_a_first_refresh_that_fails_tells_what_there_is(tmp_path: Path) -> None:
    samples = parsed(exposition(written(tmp_path, status="failed")))
    assert "graphrecall_run_info" not in samples
    assert "graphrecall_refresh_last_good_timestamp_seconds" not in samples
    assert list(samples["graphrecall_refresh_failures_in_a_row"].values()) == [1]


def test_a_name_that_the_collector_would_not_read_is_refused(deployment: Path, tmp_path: Path) -> None:
    text = deployment.read_text() + '[watch]\nprometheus = "graphrecall.txt"\nhistory = 0\n'
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match="2 problems") as caught:
        load_config(tmp_path / "config.toml")
    assert ".prom" in str(caught.value)
