"""The benchmark of the service measures what it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks import results, service
from kg.io.files import read_json
from recall.config.deployment import load_config
from recall.jobs.refresh import refresh
from tests.recall.conftest import write_deployment

pytestmark = [pytest.mark.benchmarks, pytest.mark.slow]


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk makes the load")
def test_every_row_has_requests_and_none_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(write_deployment(tmp_path / "deployment"))
    refresh(config)
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    service.main(["--runs", str(config.runs_folder), "--seconds", "1"])
    result = read_json(tmp_path / "service.json")
    python, *loads = result["rows"]
    assert python["per_second"] > 0
    assert len(loads) == 7
    for row in loads:
        assert row["requests"] > 0
        assert row["failed"] == 0
        assert row["p50_ms"] <= row["p99_ms"]
        assert row["processor_ms"] > 0
    assert [len(entry["each_worker"]) for entry in result["memory"]] == [1, 2]
    assert result["cold_start"]["alive_seconds"] < result["cold_start"]["ready_seconds"]
