"""Feedback on the command line: what users did counts in their next candidates, and a bad file writes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kg.errors import InvalidDataError
from recall.feedback import FeedbackLog, Kind
from recall.jobs.refresh import RefreshResult
from recall.runs.registry import RunsFolder
from recall.serve.recommender import Recommender

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(refreshed: RefreshResult, tmp_path: Path) -> Path:
    """A run with a feedback log of its own."""
    runs = tmp_path / "runs"
    shutil.copytree(refreshed.run.path.parent, runs, symlinks=True)
    return runs / "current"


def log_of(run: Path) -> FeedbackLog:
    return FeedbackLog(RunsFolder(run.parent).feedback_root)


def test_what_a_user_says_counts_in_the_next_candidates(command: Command, run: Path) -> None:
    best, second = (row["item_id"] for row in Recommender.load(run).recommend(["u1"], k=2).table.to_pylist())
    code, out, err = command("feedback", run, "--user", "u1", "--liked", second, "--disliked", best, "--shown", "m3")
    assert (code, err) == (0, "")
    assert out == "3 written\n"
    said = log_of(run).state().of("u1")
    assert (said.items(liked=True), said.items(liked=False), said.shown(1)) == ([second], [best], ["m3"])
    assert not {best, second} & set(Recommender.load(run).recommend(["u1"], k=5).table["item_id"].to_pylist())


ROWS = [
    ["user_id", "item_id", "kind", "time", "event_id"],
    ["u1", "m1", "like", "1700000000", "a"],
    ["new", "m2", "dislike", "2024-05-01", "b"],
    ["u1", "m1", "like", "", "a"],
]
FILES = {
    "events.csv": "\n\n".join(",".join(row) for row in ROWS),
    "events.tsv": "\n".join("\t".join(row) for row in ROWS),
    "events.jsonl": "\n\n".join(
        json.dumps({name: cell for name, cell in zip(ROWS[0], row, strict=True) if cell}) for row in ROWS[1:]
    ).replace('"1700000000"', "1700000000"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_counts_once_however_often_it_is_sent(command: Command, run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    code, out, _ = command("feedback", run, "--events", tmp_path / name, "--json")
    assert code == 0
    assert json.loads(out) == {"accepted": 2, "repeated": 1, "unknown_users": ["new"], "unknown_items": []}
    state = log_of(run).state()
    assert state.of("u1").opinions["m1"].time == 1_700_000_000
    assert state.of("new").opinions["m2"].time == 1_714_521_600
    code, out, _ = command("feedback", run, "--events", tmp_path / name)
    assert code == 0
    assert out.startswith("0 written, 3 left out that the log had already\n1 users that the run does not have")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "user_id,item_id,kind\nu1,m1,like\nu1,m2,love\n", "line 3: kind = 'love'"),
        ("a.csv", "user_id,item_id,kind\nu1,m1,like\nu1,,like\n", "line 3: a feedback event needs a text as item_id"),
        ("a.csv", "user_id,item_id,kind\nu1,m1,like,5\n", "line 2: a feedback event has no ''"),
        ("a.csv", "user,item_id,kind\nu1,m1,like\n", "line 2: a feedback event has no 'user'"),
        ("a.csv", "user_id,item_id,kind,time\nu1,m1,like,soon\n", "line 2: time = 'soon'"),
        ("a.csv", "user_id,item_id,kind\n", "holds no event"),
        ("a.jsonl", '{"user_id": "u1", "item_id": "m1", "kind": "like"}\n{"user_id"\n', "line 2: no JSON"),
        ("a.jsonl", "[" * 100_000, "line 1: no JSON"),
        ("a.jsonl", '["u1", "m1"]\n', "line 1: a feedback event is a mapping"),
    ],
)
def test_a_bad_file_writes_nothing(
    command: Command, run: Path, tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    code, out, err = command("feedback", run, "--events", tmp_path / name, "--json")
    assert code == 1
    assert message in json.loads(out)["error"]
    assert message in err.replace("\n", " ")
    assert not log_of(run).state().users


def test_a_file_that_is_no_text(command: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"user_id,item_id,kind\n\xff\xfe,m1,like\n")
    code, _, err = command("feedback", run, "--events", tmp_path / "a.csv")
    assert code == 1
    assert "is no text file of events" in err.replace("\n", " ")


def test_a_file_that_is_not_there(command: Command, run: Path, tmp_path: Path) -> None:
    code, _, err = command("feedback", run, "--events", tmp_path / "a.csv")
    assert code == 1
    assert "No such file or directory" in err


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--user", "u1"),
        ("--liked", "m1"),
        ("--user", "u1", "--liked", "m1", "--events", "pyproject.toml"),
        ("--liked", "m1", "--events", "pyproject.toml"),
        ("--events", "pyproject.toml"),
    ],
)
def test_options_that_do_not_go_together(command: Command, run: Path, options: tuple[str, ...]) -> None:
    assert command("feedback", run, *options)[0] == 2
    assert not log_of(run).state().users


def test_all_kinds_can_be_said(command: Command, run: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"user_id": "u1", "item_id": f"m{place}", "kind": kind}) for place, kind in enumerate(Kind)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert command("feedback", run, "--events", tmp_path / "a.jsonl")[0] == 0
    with pytest.raises(InvalidDataError, match="none of like, dislike, impression"):
        Recommender.load(run).add_feedback([{"user_id": "u1", "item_id": "m1", "kind": "view"}])
