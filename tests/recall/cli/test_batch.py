"""The command that answers files of queries."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recall import Recommender
from recall.batch.output import locked_output
from tests.recall.serve.making import write_run

NAME = "20260131T235959123Z-1a2b3c4d"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, movie_graph, linear_model):
    """A runs folder, users, items to leave out."""
    graph = movie_graph()
    made = tmp_path_factory.mktemp("batch")
    write_run(graph, linear_model(graph, seed=3), made / "runs" / NAME)
    (made / "runs" / "current").symlink_to(NAME)
    pq.write_table(pa.table({"user_id": ["u1", "u2", "u3"], "day": [1, 2, 3]}), made / "users.parquet")
    (made / "sold-out.txt").write_text("m1\nm2\nm3\n")
    return made


def test_candidates_of_the_run_that_serves(folder, tmp_path, command) -> None:
    words = ["batch", folder / "runs", "--queries", folder / "users.parquet", "--out", tmp_path / "out"]
    words += ["--k", 30, "--keep", "day", "--exclude-file", folder / "sold-out.txt", "--workers", 1, "--titles"]
    code, out, err = command(*words)
    assert code == 0, err
    table = pq.read_table(tmp_path / "out")
    assert f"{table.num_rows} candidates in 1 files of {tmp_path / 'out'}" in " ".join(out.split())
    assert NAME in out
    assert not {"m1", "m2", "m3"} & set(table["item_id"].to_pylist())
    assert table.column_names[-2:] == ["title", "day"]
    code, out, _ = command(*words, "--json")
    assert code == 0
    assert json.loads(out) == {
        "run": NAME,
        "out": str(tmp_path / "out"),
        "queries": 3,
        "parts": 1,
        "made": 0,
        "candidates": 0,
    }


def test_diversity_and_long_tail_of_a_request(folder, tmp_path, command) -> None:
    words = ["batch", folder / "runs", "--queries", folder / "users.parquet", "--k", 5, "--keep", "day"]
    lists = {}
    for name, dials in (("plain", []), ("dialled", ["--diversity", 0.9, "--long-tail", 0.5])):
        code, _, err = command(*words, "--workers", 1, "--out", tmp_path / name, *dials)
        assert code == 0, err
        lists[name] = pq.read_table(tmp_path / name)["item_id"].to_pylist()
    recommender = Recommender.load(folder / "runs" / NAME).with_rules(diversity=0.9, long_tail=0.5)
    expected = recommender.recommend(["u1", "u2", "u3"], k=5).table["item_id"].to_pylist()
    assert lists["dialled"] == expected != lists["plain"]


def test_what_is_wrong_is_said_in_words_of_the_command(folder, tmp_path, command) -> None:
    def refused(*words: object, code: int = 1) -> str:
        given, _, err = command("batch", folder / "runs", "--out", tmp_path / "out", *words)
        assert given == code
        return " ".join(err.split())

    assert "--keep day" in refused("--queries", folder / "users.parquet")
    assert "no file or folder of queries" in refused("--queries", folder / "absent.parquet")
    assert "is no Parquet file" in refused("--queries", folder / "sold-out.txt")
    pq.write_table(pa.table({"user_id": ["u1", "nobody"]}), tmp_path / "users.parquet")
    message = refused("--queries", tmp_path / "users.parquet", "--workers", 1)
    assert "'nobody'; --on-unknown skip goes on without" in message
    with locked_output(tmp_path / "out"):
        assert "another batch is writing" in refused("--queries", tmp_path / "users.parquet", code=75)
