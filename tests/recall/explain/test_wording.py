"""The English of explanations, with hostile titles and ids."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from gnn.graph.embeddings import Embeddings
from kg import KnowledgeGraph, RelationKey
from recall.channels import LightGCNChannel
from recall.contracts import LoadData
from recall.explain import Explainer
from recall.pipeline import Pipeline
from tests.movie_relations import DIRECTOR, GENRE, HAS_TAG, RATED, SEQUEL, STARRING, TAGGED

Model = Callable[..., Embeddings]


def test_english(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    def only(key: RelationKey, *pairs: tuple[str, str]) -> Any:
        ends = (toy_graph.vocabulary(key.source), toy_graph.vocabulary(key.target))
        columns = [pa.array(v.index([pair[n] for pair in pairs])) for n, v in enumerate(ends)]
        table = pa.table({"src": columns[0], "dst": columns[1]})
        if key == RATED:
            table = table.append_column("rating", pa.array([5.0] * len(pairs)))
        return table.append_column("user", pa.array([1] * len(pairs))) if key == HAS_TAG else table

    titles = [f"Movie {name}" for name in toy_graph.items.ids.to_pylist()]
    movies = toy_graph.nodes["movie"]
    movies = movies.set_column(movies.column_names.index("title"), "title", pa.array(titles))
    edges = {
        RATED: only(RATED, ("u1", "m1"), ("u2", "m1"), ("u2", "m3"), ("u1", "m2"), ("u4", "m3"), ("u4", "m1")),
        TAGGED: only(TAGGED, ("u1", "m5")),
        GENRE: only(GENRE, ("m1", "drama"), ("m3", "drama")),
        DIRECTOR: only(DIRECTOR, ("m2", "p1")),
        STARRING: only(STARRING, ("m3", "p1")),
        SEQUEL: only(SEQUEL, ("m3", "m2")),
        HAS_TAG: only(HAS_TAG, ("m5", "slow")),
    }
    graph = KnowledgeGraph(toy_graph.schema, {**toy_graph.nodes, "movie": movies}, edges)
    pipeline = Pipeline.of(graph, [LightGCNChannel.of(linear_model(graph), LoadData.of(graph))])
    (explanation,) = Explainer(graph, pipeline).explain([("u1", "m3")])
    assert {path.text for path in explanation.paths} == {
        "you liked Movie m1; Movie m1 has genre Drama, like Movie m3",
        "you liked Movie m2; Movie m2 is directed by Person p1; Movie m3 stars Person p1",
        "you liked Movie m2; Movie m3 is a sequel of Movie m2",
        "2 other users liked both Movie m1 and Movie m3",
    }
    assert {reason.text for reason in explanation.history} == {
        "you liked Movie m1",
        "you liked Movie m2",
        "you tagged Movie m5",
        "of what the model learned about you alone",
    }
    assert {reason.text for reason in explanation.neighbours} == {
        "2 other users liked it",
        "it has genre Drama",
        "it stars Person p1",
        "it is a sequel of Movie m2",
        "of what the model learned about it alone",
    }
    before, after = explanation.text.split("Connected by")
    assert before.startswith("Movie m3 (m3) for user u1: score ")
    assert "because you liked Movie m1 (" in before
    assert "because" not in after.lower()
    assert "not causes of the score" in after
    assert "2 other users liked both Movie m1 and Movie m3 (their outer hops carry " in after
    assert re.search(r"joins carry \d+\.\d% of the absolute shares\.$", after)
    aggregated = next(path for path in explanation.paths if path.users)
    assert dict(aggregated.cypher.parameters) == {"user_id": "u1", "item_id": "m3", "history_id": "m1", "minimum": 4.0}
    assert explanation.query is not None
    assert dict(explanation.query.parameters) == {"user_id": "u1", "item_id": "m3", "minimum": 4.0}
    assert json.loads(json.dumps(explanation.to_json())) == explanation.to_json()

    (seen,) = Explainer(graph, pipeline).explain([("u1", "m1")])
    direct = next(path for path in seen.paths if len(path.steps) == 1)
    assert (direct.text, direct.share) == ("you liked Movie m1", None)
    assert "you liked it" in {reason.text for reason in seen.neighbours}


def test_phrases_follow_their_subject(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    for phrase, you, they in (
        ("has rated", "you have rated", "have rated"),
        ("watches", "you watch", "watch"),
        ("likes", "you like", "like"),
        ("enjoys", "you enjoy", "enjoy"),
        ("tries", "you try", "try"),
        ("passed", "you passed", "passed"),
    ):
        relation = replace(toy_graph.schema.relations[RATED], phrase=phrase)
        graph = KnowledgeGraph(toy_graph.schema.with_(relations=[relation]), toy_graph.nodes, toy_graph.edges)
        pipeline = Pipeline.of(graph, [LightGCNChannel.of(linear_model(graph), LoadData.of(graph))])
        (explanation,) = Explainer(graph, pipeline).explain([("u3", "m2")])
        assert any(reason.text.startswith(f"{you} The ") for reason in explanation.history)
        crowd = next(reason for reason in explanation.neighbours if reason.relation == RATED)
        assert crowd.text == f"{crowd.users} other users {they} it"


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Two\nlines\tand \x1b[31mred\x00", "Two lines and [31mred"),
        ("\u202egnp.exe", "gnp.exe"),
        ("long " * 40, "long " * 15 + "long…"),
        ("$x^2$ [bold]{id} `q` <b>", "$x^2$ [bold]{id} `q` <b>"),
        (" \n ", "m2"),
    ],
)
def test_hostile_titles_stay_on_their_line(
    toy_graph: KnowledgeGraph, linear_model: Model, title: str, shown: str
) -> None:
    movies = toy_graph.nodes["movie"]
    at = movies.column_names.index("title")
    titles = [
        title if name == "m2" else old
        for name, old in zip(*(movies[c].to_pylist() for c in ("id", "title")), strict=True)
    ]
    graph = KnowledgeGraph(
        toy_graph.schema,
        {**toy_graph.nodes, "movie": movies.set_column(at, "title", pa.array(titles))},
        toy_graph.edges,
    )
    pipeline = Pipeline.of(graph, [LightGCNChannel.of(linear_model(graph), LoadData.of(graph))])
    (explanation,) = Explainer(graph, pipeline).explain([("u3", "m2")])
    assert explanation.item.title == shown
    assert explanation.text.startswith("m2 for user" if shown == "m2" else f"{shown} (m2) for user")
    lines = explanation.text.split("\n")
    assert all(line.isprintable() for line in lines)
    assert len(lines) == len(explanation.text.splitlines())
    for query in [explanation.query, *(path.cypher for path in explanation.paths)]:
        assert query is None or title.strip() not in query.text or not title.strip()


def test_ids_with_quotes_reach_cypher_as_parameters_only(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    hostile = "m'2\"}) DETACH DELETE n //"
    movies = toy_graph.nodes["movie"]
    ids = [hostile if name == "m2" else name for name in movies["id"].to_pylist()]
    graph = KnowledgeGraph(
        toy_graph.schema, {**toy_graph.nodes, "movie": movies.set_column(0, "id", pa.array(ids))}, toy_graph.edges
    )
    pipeline = Pipeline.of(graph, [LightGCNChannel.of(linear_model(graph), LoadData.of(graph))])
    (explanation,) = Explainer(graph, pipeline).explain([("u3", hostile)])
    queries = [explanation.query, *(path.cypher for path in explanation.paths)]
    assert len(queries) > 3
    for query in queries:
        assert query is not None
        assert "DETACH" not in query.text
        assert hostile in query.parameters.values()
