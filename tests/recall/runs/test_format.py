"""A run of another format is refused wherever it is met, with the command that makes a new one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kg.errors import ArtifactError
from kg.io.files import MANIFEST, write_manifest
from recall.config.deployment import load_config
from recall.jobs.decide import accept, rollback
from recall.jobs.dry_run import dry_run
from recall.jobs.refresh import RefreshResult, refresh
from recall.quality.stage.evaluate import evaluate_run
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.runs.report import Report
from recall.serve.export import export_run
from recall.serve.recommender import Recommender

COMMAND = r"format version 1, this graphrecall reads 2: make a new run with `graphrecall refresh CONFIG.toml`"


@pytest.fixture
def old(deployment: Path, refreshed: RefreshResult, tmp_path: Path) -> Path:
    """The configuration of a deployment whose run that serves is of format 1."""
    shutil.copytree(deployment.parent, tmp_path / "old", symlinks=True)
    config = tmp_path / "old" / deployment.name
    run = RunsFolder(config.parent / "runs").current()
    assert run is not None
    manifest = json.loads((run.path / MANIFEST).read_text())
    (run.path / MANIFEST).unlink()
    kept = {name: manifest[name] for name in ("fingerprint", "created", "library_version", "metrics")}
    write_manifest(run.path, {**kept, "fingerprint": "1" * 64, "format_version": 1})
    return config


def test_it_is_refused_with_the_command_that_makes_a_new_one(old: Path, tmp_path: Path) -> None:
    runs = RunsFolder(old.parent / "runs")
    run = RunLayout.open(runs.link)
    for refused in (
        lambda: Recommender.load(runs.link),
        lambda: Recommender.load(runs.link, verify=False),
        lambda: evaluate_run(run),
        lambda: export_run(run, tmp_path / "out"),
        lambda: Report.load(run),
        run.verify,
    ):
        with pytest.raises(ArtifactError, match=COMMAND):
            refused()


def test_it_is_listed_and_neither_accepted_nor_rolled_back_to(
    old: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    runs = RunsFolder(old.parent / "runs")
    run = RunLayout.open(runs.link)
    (summary,) = runs.summaries()
    assert "format version 1" in str(summary.problem)
    runs.link.unlink()
    with pytest.raises(ArtifactError, match=COMMAND):
        rollback(runs.path, to=run.name, by="ada")
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        rollback(runs.path, by="ada")
    rejected = runs.rejected_root / run.name
    rejected.parent.mkdir()
    run.path.rename(rejected)
    with pytest.raises(ArtifactError, match=COMMAND):
        accept(rejected, by="ada", reason="why not")
    code, _, error = command("recommend", rejected, "--user", "u1")
    assert code == 1
    assert "graphrecall refresh CONFIG.toml" in error


def test_a_refresh_makes_a_full_run_in_its_place(old: Path) -> None:
    before = RunsFolder(old.parent / "runs").current()
    assert before is not None
    assert dry_run(load_config(old)).plan["kind"] == "full"
    result = refresh(load_config(old))
    assert (result.status, result.report.kind) == ("published", "full")
    assert any("format version 1" in reason for reason in result.report.reasons)
    assert result.run != before
    assert Recommender.load(old.parent / "runs" / "current").recommend(["u1"], k=3).table.num_rows == 3
