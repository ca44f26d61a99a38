"""A batch from queries to candidates, begun, ended, and begun again."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kg.errors import ArtifactError, ConfigError, InvalidDataError, UnknownIdError
from recall.batch.plan import BatchPlan
from recall.batch.run import run_batch
from recall.serve.questions import RecommendOptions
from tests.recall.batch.making import candidates
from tests.recall.serve.making import write_run


def test_a_batch_and_what_is_missing_of_it(runs, users, recommender, tmp_path) -> None:
    def made() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}

    out = tmp_path / "out"
    call = {"options": RecommendOptions(k=3, titles=False), "part_queries": 10, "keep": ["country"], "workers": 2}
    done = run_batch(runs / "current", users, out, **call)
    assert (done.queries, done.parts, done.made, done.candidates) == (30, 4, 4, 90)
    assert done.run == BatchPlan.load(out).run == recommender.run.name
    expected = recommender.recommend([f"u{number}" for number in range(30)], k=3).table.to_pylist()
    rows = candidates(out)
    assert [{key: row[key] for key in expected[0]} for row in rows] == expected
    assert [row["country"] for row in rows] == [f"c{row['query'] % 3}" for row in rows]
    before = made()
    (out / "part-00002.parquet").unlink()
    again = run_batch(runs / "current", users, out, **call)
    assert (again.parts, again.made, again.candidates) == (4, 1, 30)
    assert candidates(out) == rows
    assert {name: time for name, time in made().items() if name in before and time == before[name]}.keys() == {
        "part-00000.parquet",
        "part-00001.parquet",
        "part-00003.parquet",
    }


def test_nothing_is_done_for_what_cannot_be(runs, users, tmp_path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ArtifactError, match="it is a runs folder"):
        run_batch(runs, users, out)
    with pytest.raises(ConfigError, match="part_queries = 0"):
        run_batch(runs / "current", users, out, part_queries=0)
    with pytest.raises(ConfigError, match="workers = 0"):
        run_batch(runs / "current", users, out, workers=0)
    with pytest.raises(ConfigError, match="local has no cluster"):
        run_batch(runs / "current", users, out, cluster="auto")
    with pytest.raises(ConfigError, match="engine = 'flink' must be local, ray or spark"):
        run_batch(runs / "current", users, out, engine="flink")
    assert not out.exists()
    with pytest.raises(InvalidDataError, match="'country', which is no part of a query"):
        run_batch(runs / "current", users, out)
    assert not list(out.glob("*.parquet"))


def test_another_run_is_refused_and_the_first_one_can_be_named(
    runs, users, tmp_path, movie_graph, linear_model
) -> None:
    (first := tmp_path / "runs").mkdir()
    graph = movie_graph()
    names = ["20260131T235959123Z-1a2b3c4d", "20260201T235959123Z-1a2b3c4d"]
    for seed, name in enumerate(names):
        write_run(graph, linear_model(graph, seed=seed), first / name)
    link = first / "current"
    link.symlink_to(names[0])
    out, call = tmp_path / "out", {"keep": ["country"], "part_queries": 20, "workers": 1}
    run_batch(link, users, out, **call)
    (out / "part-00001.parquet").unlink()
    link.unlink()
    link.symlink_to(names[1])
    with pytest.raises(ArtifactError, match=f"candidates of the run {names[0]}, and the run is {names[1]} now"):
        run_batch(link, users, out, **call)
    assert run_batch(first / names[0], users, out, **call).made == 1


def test_an_unknown_user_ends_the_batch_and_another_rule_goes_on(runs, tmp_path) -> None:
    queries, out = tmp_path / "users.parquet", tmp_path / "out"
    pq.write_table(pa.table({"user_id": ["u1", "u2", "nobody", "u3"]}), queries)
    call = {"part_queries": 2, "workers": 1}
    with pytest.raises(UnknownIdError, match=r"users\.parquet, queries 2 to 3: unknown user id: 'nobody'; on_unknown"):
        run_batch(runs / "current", queries, out, options=RecommendOptions(k=3), **call)
    assert [path.name for path in out.glob("*.parquet")] == ["part-00000.parquet"]
    done = run_batch(runs / "current", queries, out, options=RecommendOptions(k=3, on_unknown="skip"), **call)
    assert (done.made, done.candidates) == (1, 3)
    assert [row["user_id"] for row in candidates(out)[::3]] == ["u1", "u2", "u3"]
