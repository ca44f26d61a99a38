"""`graphrecall monitor`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kg.io.files import write_manifest
from recall.jobs.refresh import RefreshResult

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runs(refreshed: RefreshResult) -> Path:
    """The runs folder of one run."""
    assert refreshed.run is not None
    return refreshed.run.path.parent


def test_tables_and_json_say_the_same(command: Command, runs: Path) -> None:
    code, out, _ = command("monitor", runs, "-k", 5)
    assert code == 0
    assert "the last 1 of 1 runs" in out
    code, text, _ = command("monitor", runs, "-k", 5, "--sample-users", 9, "--json")
    data = json.loads(text)
    assert code == 0
    assert data["runs"][0]["run"] == data["current"]
    assert data["current"] in out
    assert data["runs"][0]["candidates"]["users"] == 9
    assert json.loads(command("monitor", runs, "--no-candidates", "--json")[1])["runs"][0]["candidates"] is None


def test_a_limit_that_is_exceeded(command: Command, runs: Path, tmp_path: Path) -> None:
    assert command("monitor", runs, "--no-candidates", "--max-age", "1w", "--max-psi", "0.25")[0] == 0
    run = (shutil.copytree(runs, tmp_path / "runs", symlinks=True) / "current").resolve()
    manifest = json.loads((run / "MANIFEST.json").read_text())
    facts = {key: value for key, value in manifest.items() if key not in ("format_version", "files", "digest")}
    write_manifest(run, {**facts, "created": "2026-01-01T00:00:00+00:00"})
    code, out, _ = command("monitor", run.parent, "--no-candidates", "--max-age", "2h")
    assert code == 4
    assert "s old, 7,200 s allowed" in out


def test_numbers_for_prometheus(command: Command, runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "drift.prom"
    assert command("monitor", runs, "-k", 5, "--prometheus", file)[0] == 0
    samples = {
        sample.name: (sample.labels, sample.value)
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
    }
    labels, coverage = samples["graphrecall_drift_coverage_ratio"]
    assert labels == {"runs": str(runs.resolve())}
    assert 0 < coverage <= 1
    assert "graphrecall_drift_new_users_ratio" not in samples  # one run has none before it
    code, _, err = command("monitor", runs, "--prometheus", tmp_path / "drift.txt")
    assert code == 2
    assert ".prom" in err


@pytest.mark.parametrize("age", ["26", "soon", "0s"])
def test_a_wrong_age_is_wrong_usage(command: Command, runs: Path, age: str) -> None:
    code, _, err = command("monitor", runs, "--max-age", age)
    assert code == 2
    assert "--max-age" in err
    assert "--every" not in err


def test_damage_and_nothing_there(command: Command, runs: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(runs, tmp_path / "runs", symlinks=True)
    (copied / "current" / "report.json").write_text("{")
    code, out, _ = command("monitor", copied)
    assert code == 1
    assert "damaged" in out
    code, _, err = command("monitor", tmp_path / "nothing")
    assert code == 1
    assert "there is no runs folder" in err
