"""The table of attacks: a refusal counts as one, and everything else as lost."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import attacks, results
from benchmarks.attacks import Attack, Try, Victim
from kg.io.files import read_json

pytestmark = pytest.mark.benchmarks


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    return Victim(tmp_path_factory.mktemp("victim"))


def python(program: str, **more: object) -> Try:
    """Another program in the place of graphrecall."""
    return Try((), 1, before=(sys.executable, "-c", program), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("import sys; sys.exit('error: no')", None),
        ("import sys; sys.exit('no')", "without a reason"),
        ("1 / 0", "a traceback"),
        ("import os; os.abort()", "exit code -6"),
        ("pass", "is taken as good"),
        ("x = bytearray(300 << 20); input()", "takes more than"),
        ("import time; time.sleep(60)", "takes longer"),
    ],
)
def test_anything_but_a_reason_is_lost(program: str, problem: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacks, "MEMORY", 200 << 20)
    monkeypatch.setattr(attacks, "SECONDS", 5.0)
    outcome = attacks.tried(python(program))
    assert (outcome.problems == ()) is (problem is None)
    if problem is not None:
        assert any(problem in text for text in outcome.problems), outcome


def test_what_a_refusal_has_to_say_is_looked_for() -> None:
    refusal = "import sys; sys.exit('error: the disk is full')"
    assert attacks.tried(python(refusal, says="disk is full")).problems == ()
    assert attacks.tried(python(refusal, says="is a link")).problems
    assert attacks.tried(python("pass", may_succeed=True)).problems == ()


def test_runs_that_are_not_as_they_were_are_lost(victim: Victim) -> None:
    def harm(at: Victim) -> Iterator[Try]:
        yield python("import sys; sys.exit('error: no')")
        (at.run.path / "extra").touch()
        yield python("import sys; sys.exit('error: no')")
        (at.run.path / "extra").unlink()

    row = attacks.row_of(Attack("harm", harm), victim)
    assert (row["tried"], row["refused"], row["lost"]) == (2, 2, 1)
    assert row["problems"] == [["the runs are not as they were"]]
    assert row["says"] == "no"


def test_attacks_are_tried_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    few = ("run: changed database", "RDF/XML: entities of entities", "CSV: 200,000 columns")
    monkeypatch.setattr(attacks, "ATTACKS", tuple(one for one in attacks.ATTACKS if one.name in few))
    attacks.main(["--folder", str(tmp_path)])
    rows = {row["attack"]: row for row in read_json(tmp_path / "attacks.json")["rows"]}
    assert set(rows) == set(few)
    assert all((row["tried"], row["refused"], row["lost"]) == (1, 1, 0) for row in rows.values())
    assert all(row["mb"] > 0 and row["says"] for row in rows.values())
    assert str(tmp_path) not in str(rows)
