"""Record batches of queries into record batches of candidates."""

from __future__ import annotations

import pickle

import pyarrow as pa
import pytest

from kg.errors import ArtifactError, ConfigError, InvalidDataError, UnknownIdError
from kg.io.files import write_manifest
from recall.batch import answering
from recall.batch.answering import CandidateFunction
from recall.runs.layout import RunLayout
from recall.serve.questions import RecommendOptions
from tests.recall.batch.making import batch_of
from tests.recall.serve.making import write_run


def function(run: RunLayout, *, keep=(), **options) -> CandidateFunction:
    return CandidateFunction.of(run, RecommendOptions(**{"titles": False, **options}), keep=keep)


def rows(batches) -> list[dict]:
    return [row for batch in batches for row in batch.to_pylist()]


def test_users_get_what_the_recommender_gives_them(run, recommender, monkeypatch) -> None:
    monkeypatch.setattr(answering, "BLOCK", 4)
    users = [f"u{number}" for number in range(11)]
    batches = [batch_of(user_id=users[:9]), batch_of(user_id=users[9:])]
    answer = rows(function(run, k=3)(batches, first=100))
    expected = recommender.recommend(users, k=3).table.to_pylist()
    assert [{key: row[key] for key in expected[0]} for row in answer] == expected
    assert [row["query"] for row in answer] == [100 + users.index(row["user_id"]) for row in expected]


def test_each_query_has_its_own_kind_and_limits(run, recommender) -> None:
    batch = batch_of(
        user_id=["u1", None, "u2"],
        history=[None, ["m1", "m2"], None],
        k=pa.array([2, 4, None]),
        exclude=[None, ["m3"], None],
    )
    answer = rows(function(run, k=1)([batch]))
    assert [row["query"] for row in answer] == [0, 0, 1, 1, 1, 1, 2]
    someone = recommender.recommend_for(history=["m1", "m2"], k=4, exclude=["m3"]).table
    assert [row["item_id"] for row in answer if row["query"] == 1] == someone["item_id"].to_pylist()
    assert {row["user_id"] for row in answer if row["query"] == 1} == {None}


def test_a_batch_has_rules_of_its_own(run, recommender) -> None:
    rules = {"diversity": 0.4, "long_tail": 0.8}
    batch = batch_of(user_id=["u1", "u2"])
    asked = function(run, k=6, **rules)
    assert asked.schema(batch.schema).names[-2:] == ["round", "moves"]
    answer = rows(asked([batch]))
    expected = recommender.with_rules(**rules).recommend(["u1", "u2"], k=6)
    assert [(row["item_id"], row["moves"]) for row in answer] == [(row["item_id"], row["moves"]) for row in expected]
    assert any(row["moves"] for row in answer)


def test_the_schema_is_known_before_and_every_batch_has_it(run) -> None:
    asked = function(run, titles=True, channel_scores=True, keep=("country",), k=2)
    batch = batch_of(user_id=["u1", "u2"], country=pa.array(["c1", None], pa.large_string()))
    schema = asked.schema(batch.schema)
    assert schema.names == ["query", "user_id", "item_id", "score", "rank", "source", "title", "lightgcn", "country"]
    answer = list(asked([batch, batch.slice(1)]))
    assert [part.schema for part in answer] == [schema, schema]
    assert [row["country"] for row in rows(answer)] == ["c1", "c1", None, None, None, None]
    with pytest.raises(InvalidDataError, match="a column 'score' of their own"):
        function(run, keep=("score",)).schema(pa.schema([("user_id", pa.string()), ("score", pa.float32())]))


def test_unknown_users_follow_the_rule(run) -> None:
    batch = batch_of(user_id=["u1", "nobody", "u2"])
    with pytest.raises(UnknownIdError, match="the file, queries 7 to 9: unknown user id: 'nobody'"):
        list(function(run)([batch], first=7, where="the file"))
    skipped = rows(function(run, k=2, on_unknown="skip")([batch]))
    assert [row["query"] for row in skipped] == [0, 0, 2, 2]
    popular = rows(function(run, k=2, on_unknown="popular")([batch]))
    assert [row["source"] for row in popular if row["query"] == 1] == ["popularity", "popularity"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": ["u1", "u2"], "k": [3, 0]}, "the file, query 11: k: Input should be greater"),
        ({"user_id": ["u1", None]}, "the file, query 11: give `user_id`"),
        ({"user_id": ["u1", "u2"], "liked": [None, ["m1"]]}, "the file, query 11: give `user_id`"),
        ({"liked": [["m1"], ["m2", None]]}, r"the file, query 11: liked\.1: Input should be a valid string"),
        ({"user_id": pa.array([1, 2])}, "'user_id' of the file is of the type int64"),
    ],
)
def test_a_query_that_is_none_is_named_by_its_number(run, columns, message) -> None:
    with pytest.raises(InvalidDataError, match=message):
        list(function(run)([batch_of(**columns)], first=10, where="the file"))


def test_a_filter_that_is_none_is_refused(run) -> None:
    with pytest.raises(ConfigError, match="the file, queries 0 to 0"):
        list(function(run, filter="genre ==== 5")([batch_of(user_id=["u1"])], where="the file"))


def test_no_process_answers_from_another_run(run, tmp_path, movie_graph, linear_model) -> None:
    graph = movie_graph()
    other = RunLayout(write_run(graph, linear_model(graph, seed=4), tmp_path / "runs" / run.name))
    asked = pickle.loads(pickle.dumps(function(other)))  # noqa: S301 (as engines send it)
    assert rows(asked([batch_of(user_id=["u1"])]))
    (other.path / "MANIFEST.json").unlink()
    write_manifest(other.path, {"created": "2026-02-28"})
    answering._loaded.cache_clear()
    with pytest.raises(ArtifactError, match="is another run here than where the batch was started"):
        list(asked([batch_of(user_id=["u1"])]))


def test_a_damaged_run_is_refused_at_the_start(tmp_path, movie_graph, linear_model) -> None:
    graph = movie_graph()
    damaged = RunLayout(write_run(graph, linear_model(graph), tmp_path / "runs" / "20260131T235959123Z-1a2b3c4d"))
    damaged.config.write_text("{}")
    with pytest.raises(ArtifactError, match="checksum"):
        CandidateFunction.of(damaged)
