"""The table of an hour of mixed load shows what the last soak saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import mixed_load, results
from kg.io.files import read_json
from tests.soak.journal import Journal


def test_it_keeps_what_the_last_soak_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "service.jsonl")
    for published, problems in ((1, []), (7, ["an answer of r1 is not its own"])):
        journal.add(
            kind="mixed load",
            seconds=600,
            clients=4,
            published=published,
            asked={"recommend": 90, "feedback": 10},
            runs_seen=published + 1,
            p50_ms={"recommend": 5.0, "feedback": 2.0},
            p99_ms={"recommend": 9.0, "feedback": 8.0},
            megabytes=[100.0, 103.0, 101.0],
            growth=-2.0,
            runs_mapped=1,
            problems=problems,
        )
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    mixed_load.main(["--state", str(tmp_path)])
    kept = read_json(tmp_path / "mixed_load.json")
    assert (kept["published"], kept["runs_seen"], kept["problems"], kept["growth"]) == (7, 8, 1, -2.0)
    assert kept["rows"] == [
        {"request": "recommend", "asked": 90, "p50_ms": 5.0, "p99_ms": 9.0},
        {"request": "feedback", "asked": 10, "p50_ms": 2.0, "p99_ms": 8.0},
    ]


def test_nothing_asked_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        mixed_load.main(["--state", str(tmp_path / "none")])
    assert "make soak" in capsys.readouterr().err
