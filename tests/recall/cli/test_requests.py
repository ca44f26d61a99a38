"""Requests on the command line: the same words as in Python, and the same answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kg.errors import ConfigError, UnknownIdError
from recall.jobs.refresh import RefreshResult
from recall.serve.recommender import Recommender

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def current(refreshed: RefreshResult) -> Path:
    return refreshed.run.path.parent / "current"


@pytest.fixture(scope="module")
def recommender(current: Path) -> Recommender:
    return Recommender.load(current)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Lists of ids, one a line."""
    lists = {
        "candidates": [f"m{number}" for number in range(12)],
        "exclude": ["m1", "", "m2 "],
        "unknown": ["m3", "m999"],
    }
    for name, ids in lists.items():
        (tmp_path / name).write_text("\n".join(ids), encoding="utf-8")
    return {name: tmp_path / name for name in lists}


def candidates(command: Command, *arguments: object) -> list[dict[str, object]]:
    code, out, err = command("recommend", *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)["candidates"]


FILTER = 'director in ["Person 2", "Person 3"] and name is not missing'


def test_limits_are_those_of_python(command: Command, current: Path, recommender: Recommender, files) -> None:
    options = [
        "--exclude-file",
        files["exclude"],
        "--candidates-file",
        files["candidates"],
        "--filter",
        FILTER,
        "-k",
        5,
    ]
    limits = {
        "exclude": ["m1", "m2"],
        "candidates": [f"m{number}" for number in range(12)],
        "filter": FILTER,
        "k": 5,
        "titles": True,
    }
    by_user = candidates(command, current, "--user", "u1", "--user", "u2", *options)
    assert by_user == list(recommender.recommend(["u1", "u2"], **limits))
    assert by_user
    new = candidates(command, current, "--liked", "m5", *options)
    assert new == list(recommender.recommend_for(liked=["m5"], **limits))
    assert new


def test_for_everybody(command: Command, current: Path, recommender: Recommender, files, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    options = ["--exclude-file", files["exclude"], "--filter", FILTER, "-k", 3, "--out", out]
    assert command("recommend", current, "--all-users", *options)[0] == 0
    expected = recommender.recommend_all(k=3, exclude=["m1", "m2"], filter=FILTER)
    assert pq.read_table(out).to_pylist() == list(expected)
    assert len(expected)


def test_disliked_examples(command: Command, current: Path, recommender: Recommender) -> None:
    options = [
        "--liked",
        "m1",
        "--liked",
        "m2",
        "--disliked",
        "m3",
        "--attribute",
        "director=http://example.org/person/p1",
    ]
    given = {"liked": ["m1", "m2"], "disliked": ["m3"], "attributes": {"director": ["http://example.org/person/p1"]}}
    answer = candidates(command, current, *options)
    assert answer == list(recommender.recommend_for(**given, titles=True))
    assert "m3" not in [row["item_id"] for row in answer]
    code, out, _ = command("explain", current, "--item", "m4", *options, "--json")
    assert code == 0
    (explanation,) = recommender.explain_for(["m4"], **given)
    assert json.loads(out)["score"] == pytest.approx(explanation.score)
    assert "did not like" in out


def test_unknown_ids_follow_one_rule(command: Command, current: Path, recommender: Recommender, files) -> None:
    for who in (["--user", "u1"], ["--liked", "m1"]):
        for option in ("--exclude-file", "--candidates-file"):
            code, _, err = command("recommend", current, *who, option, files["unknown"])
            assert code == 1
            assert "'m999'" in err
            assert "--on-unknown skip" in err
            assert len(err.splitlines()) == 1
            candidates(command, current, *who, option, files["unknown"], "--on-unknown", "skip")
        code, _, err = command("recommend", current, *who, "--filter", 'director "Persn 2"')
        assert code == 1
        assert "nearest: 'Person 2'" in err
        assert candidates(command, current, *who, "--filter", 'director "Persn 2"', "--on-unknown", "popular") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--filter", "yaer > 3"], "'yaer' is no attribute or relation of 'movie'"),
        (["--filter", "name > 3"], "write a text in quotes"),
        (["--filter", "name >"], "ends too early"),
        (["--filter", ""], "the filter is empty"),
    ],
)
def test_mistakes_are_one_line(command: Command, current: Path, options: list[str], words: str) -> None:
    code, out, err = command("recommend", current, "--user", "u1", *options)
    assert (code, out) == (1, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_nothing_left_is_said(command: Command, current: Path) -> None:
    code, out, _ = command("recommend", current, "--user", "u1", "--filter", "name is missing")
    assert code == 0
    assert "no candidates for user u1, who has seen all that are allowed" in out


def test_a_user_of_the_graph_takes_examples(command: Command, current: Path, recommender: Recommender) -> None:
    plain = list(recommender.recommend(["u1"], k=4))
    liked, disliked = plain[1]["item_id"], plain[0]["item_id"]
    found = candidates(command, current, "--user", "u1", "--liked", liked, "--disliked", disliked, "-k", 4)
    expected = recommender.recommend(["u1"], liked=[liked], disliked={"u1": [disliked]}, k=4, titles=True)
    assert found == list(expected)
    assert not {liked, disliked} & {row["item_id"] for row in found}
    best = found[0]["item_id"]
    options = ["--user", "u1", "--liked", liked, "--disliked", disliked, "--item", best, "--json"]
    code, out, _ = command("explain", current, *options)
    assert code == 0
    assert json.loads(out)["score"] == pytest.approx(found[0]["score"], abs=1e-4)


def test_examples_of_users_that_do_not_fit_are_refused(command: Command, current: Path, recommender) -> None:
    with pytest.raises(ConfigError, match="liked and disliked at once"):
        recommender.recommend(["u1"], liked=["m3"], disliked=["m3"])
    with pytest.raises(ConfigError, match="'u2', who is not asked about"):
        recommender.recommend(["u1"], liked={"u2": ["m3"]})
    with pytest.raises(UnknownIdError, match="m999"):
        recommender.recommend(["u1"], liked=["m999"])
    same = recommender.recommend(["u1"], liked=["m999"], on_unknown="skip", k=3)
    assert list(same) == list(recommender.recommend(["u1"], k=3))
    code, _, err = command("recommend", current, "--user", "u1", "--text", "rain")
    assert code == 2
    assert "--user goes with --liked and --disliked" in " ".join(err.split())


def test_histories_with_times_come_from_a_file(command: Command, current: Path, recommender, tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_text("m5,2001-05-01\nm2,978300000\nm9,2001-05-01T12:00\n", encoding="utf-8")
    found = candidates(command, current, "--history-file", file, "-k", 5)
    history = [("m5", date(2001, 5, 1)), ("m2", 978300000), ("m9", datetime(2001, 5, 1, 12))]
    assert found == list(recommender.recommend_for(history=history, k=5, titles=True))
    file.write_text("m2\nm5\n", encoding="utf-8")
    untimed = candidates(command, current, "--history-file", file, "-k", 5)
    assert untimed == list(recommender.recommend_for(history=["m2", "m5"], k=5, titles=True))


@pytest.mark.parametrize(
    ("text", "said"), [("m1,yesterday", "yesterday"), ("m1,5\nm2", "give all items a time"), ("m1,5,6", "no item id")]
)
def test_a_history_that_is_not_understood_is_named(command: Command, current: Path, tmp_path: Path, text, said) -> None:
    file = tmp_path / "history.csv"
    file.write_text(text, encoding="utf-8")
    code, _, err = command("recommend", current, "--history-file", file)
    assert code == 2
    assert said in " ".join(err.split())


def test_scores_of_pairs(command: Command, current: Path, recommender: Recommender, tmp_path: Path) -> None:
    users, items = ["u1", "u2"], ["m3", "m5"]
    out = tmp_path / "scores.parquet"
    named = ["--user", "u1", "--user", "u2", "--item", "m3", "--item", "m5"]
    code, printed, err = command("score", current, *named, "--out", out, "--json")
    assert (code, err) == (0, "")
    expected = recommender.score([(user, item) for user in users for item in items], titles=True)
    assert json.loads(printed)["scores"] == expected.table.to_pylist()
    assert pq.read_table(out).to_pylist() == expected.table.to_pylist()
    code, shown, _ = command("score", current, *named)
    assert code == 0
    assert "m3" in shown
    code, _, err = command("score", current, "--user", "u1", "--item", "m999")
    assert code != 0
    assert "--on-unknown skip" in err
    assert command("score", current, "--user", "u1", "--item", "m999", "--on-unknown", "skip")[0] == 0


def test_rules_of_one_request(command: Command, current: Path, recommender: Recommender) -> None:
    options = ["--diversity", "0.4", "--long-tail", "0.6"]
    other = recommender.with_rules(diversity=0.4, long_tail=0.6)
    rows = candidates(command, current, "--user", "u1", "-k", "8", *options)
    expected = list(other.recommend(["u1"], k=8, titles=True))
    assert [(row["item_id"], row["moves"]) for row in rows] == [(row["item_id"], row["moves"]) for row in expected]
    assert any(row["moves"] for row in rows)
    person = candidates(command, current, "--liked", "m3", "-k", "8", *options)
    assert [row["item_id"] for row in person] == [row["item_id"] for row in other.recommend_for(liked=["m3"], k=8)]
    (why,) = other.explain([("u1", "m1")])
    code, out, _ = command("explain", current, "--user", "u1", "--item", "m1", *options, "--json")
    assert (code, json.loads(out)["moves"]) == (0, why.moves)
    code, _, err = command("recommend", current, "--user", "u1", "--diversity", "1.5")
    assert code == 2
    assert "less than or equal to 1" in err
