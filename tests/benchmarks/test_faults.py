"""The table of faults counts what the soak has tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import faults, results
from kg.io.files import read_json
from tests.soak.journal import Journal, histogram


@pytest.fixture
def state(tmp_path: Path) -> Path:
    killed = Journal(tmp_path / "killed.jsonl")
    for stage, problems in (("build", []), ("store", []), ("store", ["not whole"])):
        killed.add(kind="kill", stage=stage, problems=problems)
    killed.add(kind="completed", problems=["exit code 1"])
    flips = Journal(tmp_path / "flipped.jsonl")
    flips.add(kind="flip", file="a", tried=3, problems=[])
    flips.add(kind="flip", file="b", tried=4, problems=[])
    memory = Journal(tmp_path / "memory.jsonl")
    for number in range(9):
        memory.add(kind="refresh", megabytes=100.0 + (number > 5), problems=[])
    memory.add(kind="reload", megabytes=100.0, problems=["failed"])
    return tmp_path


def test_it_counts_attempts_and_what_was_lost_with_and_after_them(state: Path) -> None:
    rows = {row["fault"]: (row["tried"], row["lost"]) for row in faults.rows_of(state)}
    assert rows == {
        "killed, any stage, demo's size": (3, 2),
        "byte of a run flipped": (7, 0),
        "refreshed in one process, memory": (9, 0),
        "reloaded in one process, memory": (1, 1),
    }


def test_it_keeps_the_table(state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(results, "FOLDER", state)
    faults.main(["--state", str(state)])
    kept = read_json(state / "faults.json")
    assert kept["kills_by_stage"] == {"store": 2, "build": 1}
    assert kept["memory_refresh_mb"] == {"last": 101.0, "growth_of_last_third": 1.0}
    assert [row["tried"] for row in kept["rows"]] == [3, 7, 9, 1]
    assert "store     2  ##" in capsys.readouterr().out


def test_nothing_tried_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        faults.main(["--state", str(tmp_path / "none")])
    assert "make soak" in capsys.readouterr().err


def test_a_journal_that_was_cut_off_in_a_line_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "x.jsonl")
    journal.add(kind="kill", stage="a", problems=[])
    with journal.file.open("a") as stream:
        stream.write('{"kind": "ki')
    again = Journal(journal.file)
    again.add(kind="kill", stage="b", problems=["bad"])
    assert [line["stage"] for line in Journal(journal.file).lines] == ["a", "b"]
    assert again.problems() == ["bad"]
    assert histogram(again.count("kill", "stage")) == "a     1  #\nb     1  #"
