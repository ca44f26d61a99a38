"""`recall.fit`: tables in memory of every kind to a Recommender, and the run that it saves."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import recall
from kg.errors import ArtifactError, ConfigError, InvalidDataError
from kg.schema import RelationKey
from recall.config.sections import PipelineSettings
from recall.runs.report import Report

USERS, ITEMS, EACH = 16, 24, 10
EASE = {"channels": ["ease"]}
QUICK = {"pipeline": EASE, "evaluation": {"k": [5]}}


def interactions() -> pa.Table:
    random = np.random.default_rng(3)
    rows = [(f"u{user}", f"i{item}") for user in range(USERS) for item in random.permutation(ITEMS)[:EACH]]
    return pa.table(
        {
            "user_id": [user for user, _ in rows],
            "item_id": [item for _, item in rows],
            "timestamp": list(range(1_000_000, 1_000_000 + len(rows))),
        }
    )


ITEM_TABLE = pa.table(
    {
        "item_id": [f"i{number}" for number in range(ITEMS)],
        "title": [f"The {number}. book" for number in range(ITEMS)],
        "year": [1990 + number for number in range(ITEMS)],
    }
)


@pytest.fixture(scope="module")
def expected():
    return recall.fit(interactions(), **QUICK).recommend_all(k=5).table


@pytest.mark.parametrize("kind", [lambda table: table.to_pandas(), lambda table: pl.DataFrame(table).lazy()])
def test_every_kind_of_table_gives_the_same(kind, expected):
    assert recall.fit(kind(interactions()), **QUICK).recommend_all(k=5).table.equals(expected)


def test_the_run_is_a_run_like_any_other(tmp_path, command, expected):
    made = recall.fit(interactions(), **QUICK)
    folder = made.save(tmp_path / "deep" / "books")
    assert folder.path == (tmp_path / "deep" / "books").resolve()
    loaded = recall.Recommender.load(tmp_path / "deep" / "books")
    assert loaded.recommend_all(k=5).table.equals(expected)
    assert {row.ranker for row in Report.load(folder).evaluation.metrics} == {"ease", "popularity"}
    code, out, _ = command("recommend", folder.path, "--user", "u1", "-k", "2", "--json")
    assert code == 0
    assert [row["item_id"] for row in json.loads(out)["candidates"]] == [
        r["item_id"] for r in loaded.recommend(["u1"], k=2)
    ]
    code, out, _ = command("evaluate", folder.path, "--json")
    assert code == 0
    reported = Report.load(folder).to_json()["evaluation"]["metrics"]
    for row, measured in zip(reported, json.loads(out)["metrics"], strict=True):  # which has more, such as calibration
        row.pop("intervals", None)
        assert {name: measured[name] for name in row} == row
    code, out, _ = command("cypher", folder.path, "MATCH (u:User) RETURN count(*) AS users", "--json")
    assert json.loads(out)["rows"] == [{"users": USERS}]
    with pytest.raises(ArtifactError, match="name a new folder"):
        made.save(tmp_path / "deep" / "books")


def test_its_own_folder_goes_with_it():
    made = recall.fit(interactions(), **QUICK)
    folder = made.run.path
    assert folder.is_dir()
    assert made.reload() is made
    del made
    assert not folder.parent.exists()


def test_nothing_is_left_of_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(InvalidDataError):
        recall.fit(interactions(), **QUICK, split={"kind": "files"})
    assert list(tmp_path.iterdir()) == []


def test_other_names_of_columns_and_types():
    table = interactions().rename_columns(["reader", "book", "when"])
    made = recall.fit(
        table,
        columns={"user": "reader", "item": "book", "timestamp": "when"},
        graph={"user": "reader", "item": "book"},
        **QUICK,
    )
    assert made.graph.schema.item_type == "book"
    assert len(made.graph.items) == ITEMS
    assert "timestamp" in made.graph.edges[RelationKey("reader", "rated", "book")].column_names


WRITERS = {"source": ["i1", "i2", "i3"], "target": ["ann", "ann", "bob"]}


def test_without_times_the_split_is_random():
    made = recall.fit(interactions().drop_columns(["timestamp"]), **QUICK)
    assert made.report.evaluation.split["kind"] == "random"
    timed = recall.fit(interactions(), **QUICK)
    assert timed.report.evaluation.split["kind"] == "per_user_time"


class TestEdges:
    """Three ways to give knowledge edges."""

    def edges_of(self, edges):
        made = recall.fit(interactions(), edges=edges, **QUICK)
        return {key: table.num_rows for key, table in made.graph.edges.items() if key.name != "rated"}

    def test_one_table(self):
        assert self.edges_of(WRITERS) == {RelationKey("item", "related_to", "entity"): 3}

    def test_a_table_with_relations_and_types(self):
        table = pl.DataFrame(
            {**WRITERS, "relation": ["author", "author", "similar"], "target_type": ["person", "person", "item"]}
        ).with_columns(target=pl.when(pl.col("relation") == "similar").then(pl.lit("i5")).otherwise("target"))
        assert self.edges_of(table) == {
            RelationKey("item", "author", "person"): 2,
            RelationKey("item", "similar", "item"): 1,
        }

    def test_tables_by_relation(self):
        edges = {"author": WRITERS, ("item", "sequel", "item"): {"source": ["i1"], "target": ["i2"]}}
        assert self.edges_of(edges) == {
            RelationKey("item", "author", "entity"): 3,
            RelationKey("item", "sequel", "item"): 1,
        }

    @pytest.mark.parametrize(
        ("edges", "message"),
        [
            ({5: WRITERS}, "holds the key 5"),
            ({"author": {"source": ["i1"]}}, "no column 'target'"),
            ({**WRITERS, "relation": ["author", None, "author"]}, "without a 'relation'"),
            ({"author": []}, "is empty"),
        ],
    )
    def test_mistakes(self, edges, message):
        with pytest.raises((ConfigError, InvalidDataError), match=message):
            self.edges_of(edges)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"interactions": 3}, "interactions is a int: give a data frame"),
        ({"interactions": []}, "interactions is empty"),
        ({"interactions": [{"user": "u1", "item_id": "i1"}]}, r"no column 'user_id', only user, item_id: say which"),
        ({"columns": {"usr": "user_id"}}, "usr"),
        ({"items": {"name": ["x"]}}, "no column 'id' and no 'item_id', only name"),
        ({"runs": {"folder": "x"}}, "runs is of a deployment"),
        ({"pipelin": {}}, "pipelin"),
        ({"pipeline": {"channels": ["eases"]}}, "did you mean 'ease'"),
        ({"evaluation": 5}, "evaluation"),
    ],
)
def test_mistakes_are_named_before_any_work(arguments, message):
    with pytest.raises((ConfigError, InvalidDataError), match=message):
        recall.fit(**{"interactions": interactions(), **arguments})


def test_what_is_odd_is_logged(caplog):
    with caplog.at_level(logging.WARNING, logger="recall"):
        recall.fit([*interactions().to_pylist(), {"user_id": None, "item_id": "i1"}], **QUICK)
    assert any("interactions, row 160" in message for message in caplog.messages)


def test_content_and_configuration_make_the_fingerprint():
    table = interactions()

    def digest(**changes):
        return recall.fit(**{"interactions": table, **QUICK, **changes}).report.fingerprint

    first = digest()
    assert digest() == first
    assert digest(interactions=table.slice(1)) != first
    assert digest(seed=1) != first


@pytest.mark.slow
def test_the_default_channel_and_texts():
    training = {"max_steps": 4, "eval_every": 2, "batch_size": 32, "negatives": 8}
    made = recall.fit(
        interactions().to_pandas(),
        pd.DataFrame(ITEM_TABLE.to_pandas()),
        channels={"lightgcn": {"dim": 8, "training": training}},
        evaluation={"k": [5], "baselines": []},
    )
    assert list(made.pipeline.channels) == list(PipelineSettings().channels)
    best = made.recommend(["u1"], k=3, titles=True)
    assert all(row["title"].endswith("book") for row in best)
    assert len(made.recommend_for(text="the 3. book", k=3)) == 3
    (why,) = made.explain([("u1", best.table["item_id"][0].as_py())])
    assert why.score == pytest.approx(best.table["score"][0].as_py(), abs=1e-4)


def test_saving_what_was_made_of_objects(tmp_path):
    made = recall.fit(interactions(), **QUICK)
    alone = recall.Recommender(made.graph, made.pipeline)
    with pytest.raises(ConfigError, match=r"recall\.fit makes one"):
        alone.save(tmp_path / "run")
    assert not Path(tmp_path / "run").exists()
