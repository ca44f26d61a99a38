"""The difference of two graphs, beside a naive one that compares plain Python rows."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg import Event, KnowledgeGraph, NodeType, Relation, RelationKey, Schema
from kg.difference import KINDS, Difference, difference
from kg.graph import node_columns
from tests.conftest import GENRE, HAS_TAG, RATED, make_movie_graph

LIKE = RelationKey("movie", "like", "movie")
TAG = RelationKey("movie", "has_tag", "tag")


def schema(*relations: Relation) -> Schema:
    return Schema(
        node_types={name: NodeType(name=name) for name in ("user", "movie", "tag")},
        relations={relation.key: relation for relation in relations},
        item_type="movie",
        interaction=RATED,
    )


def plain(value: Any) -> Any:
    """A value as it is compared: whole floats are integers, a list of one is that one, NaN equals itself."""
    if isinstance(value, list):
        inner = tuple(plain(entry) for entry in value)
        return inner[0] if len(inner) == 1 and not isinstance(inner[0], tuple) and inner[0] is not None else inner
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else int(value) if value.is_integer() else value
    return value


def rows_of(graph: KnowledgeGraph, key: RelationKey) -> list[tuple[tuple[str, ...], frozenset[Any]]]:
    """Ends and other columns of every edge, row by row."""
    if key not in graph.edges:
        return []
    ends = node_columns(graph.schema, key)
    renamed = []
    for row in graph.edges[key].to_pylist():
        named = tuple(graph.vocabulary(kind).ids[row[name]].as_py() for name, kind in ends.items())
        values = frozenset((name, plain(v)) for name, v in row.items() if name not in ends and v is not None)
        renamed.append((named, values))
    return renamed


def naive_nodes(before: KnowledgeGraph, after: KnowledgeGraph, name: str) -> dict[str, set[str]]:
    tables = [
        {row.pop("id"): {k: plain(v) for k, v in row.items() if v is not None} for row in graph.nodes[name].to_pylist()}
        for graph in (before, after)
    ]
    old, new = tables
    common = set(old) & set(new)
    return {
        "added": set(new) - set(old),
        "removed": set(old) - set(new),
        "changed": {one for one in common if old[one] != new[one]},
        "text": {one for one in common if old[one].get("text") != new[one].get("text")},
    }


def check(before: KnowledgeGraph, after: KnowledgeGraph) -> Difference:
    """The difference, compared with what plain rows say."""
    changes = difference(before, after)
    for name, change in changes.nodes.items():
        wanted = naive_nodes(before, after, name)
        for kind in KINDS:
            assert set(changes.ids(name, kind).to_pylist()) == wanted[kind], (name, kind)
        assert set(after.vocabulary(name).take(change.text).to_pylist()) == wanted["text"]
    touched = {
        name: set(changes.ids(name, "added").to_pylist() + changes.ids(name, "changed").to_pylist())
        for name in changes.nodes
    }
    for key, change in changes.edges.items():
        old, new = rows_of(before, key), rows_of(after, key)
        assert (change.before, change.after) == (len(old), len(new))
        removed, added = Counter(old) - Counter(new), Counter(new) - Counter(old)
        same_ends = Counter(ends for ends, _ in removed.elements()) & Counter(ends for ends, _ in added.elements())
        assert len(change.changed) == same_ends.total()
        assert Counter([old[row] for row in change.removed] + [old[row] for row in change.was]) == removed
        assert Counter([new[row] for row in change.added] + [new[row] for row in change.changed]) == added
        assert [old[a][0] for a in change.was] == [new[b][0] for b in change.changed], "a pair has the same ends"
        for kind in KINDS:
            rows = getattr(change, kind)
            assert list(rows) == sorted(set(rows))
            ends = node_columns((before if kind == "removed" else after).schema, key) if len(rows) else {}
            table = [old[row][0] for row in rows] if kind == "removed" else [new[row][0] for row in rows]
            assert (
                [tuple(row[name] for name in ends) for row in changes.rows(key, kind).to_pylist()] == table
                if len(rows)
                else True
            )
            for row in table:
                for (_, node_type), end in zip(ends.items(), row, strict=True):
                    touched[node_type].add(end)
    for name in after.nodes:
        there = set(after.vocabulary(name).ids.to_pylist())
        assert (
            set(after.vocabulary(name).ids.filter(pa.array(changes.touched(name))).to_pylist()) == touched[name] & there
        )
    assert bool(changes) == any(changes.nodes.values()) | any(changes.edges.values())
    json.dumps(changes.to_json(), allow_nan=False)
    return changes


IDS = st.sampled_from(["a", "b", "c", "d", "e", "A", "ä", "a b", ""])
VALUES = st.none() | st.integers(-2, 2)
FLOATS = st.none() | st.sampled_from([0.0, -0.0, 1.0, 1.5, float("nan"), float("inf")])
LISTS = st.none() | st.lists(st.none() | st.sampled_from(["x", "y", ""]), max_size=3)


@st.composite
def graphs(draw: st.DrawFn) -> KnowledgeGraph:
    """Small graphs of few ids, so that two of them share much; columns come, go and change their type."""
    nodes = {}
    for name in ("user", "movie", "tag"):
        ids = draw(st.lists(IDS, min_size=1, max_size=6, unique=True))
        columns: dict[str, Any] = {"id": pa.array(ids, pa.string())}
        for attribute, values, kind in (
            ("text", st.none() | st.sampled_from(["t", "T", ""]), pa.string()),
            ("year", *draw(st.sampled_from([(VALUES, pa.int64()), (FLOATS, pa.float64()), (st.none(), pa.null())]))),
            ("genres", LISTS, pa.list_(pa.string())),
        ):
            if draw(st.booleans()):
                columns[attribute] = pa.array(draw(st.lists(values, min_size=len(ids), max_size=len(ids))), kind)
        nodes[name] = pa.table(columns)
    edges: dict[RelationKey, Any] = {}
    relations = [Relation(key=RATED, event=Event())]
    relations += draw(st.sampled_from([[], [Relation(key=LIKE)], [Relation(key=TAG, event=Event("user", "src"))]]))
    for relation in relations:
        key = relation.key
        count = draw(st.integers(0, 8))

        def some(node_type: str, count: int = count) -> Any:
            there = nodes[node_type]["id"].to_pylist()
            return pa.array(draw(st.lists(st.sampled_from(there), min_size=count, max_size=count)), pa.string())

        columns = {"src": some(key.source), "dst": some(key.target)}
        if key == TAG:
            columns["user"] = some("user")
        if draw(st.booleans()):
            columns["rating"] = pa.array(draw(st.lists(FLOATS, min_size=count, max_size=count)), pa.float64())
        if draw(st.booleans()):
            columns["timestamp"] = pa.array(draw(st.lists(VALUES, min_size=count, max_size=count)), pa.int64())
        edges[key] = pa.table(columns)
    return KnowledgeGraph.build(schema(*relations), nodes, edges)


@settings(max_examples=300)
@given(graphs(), graphs())
def test_it_finds_what_plain_rows_find(before: KnowledgeGraph, after: KnowledgeGraph) -> None:
    check(before, after)


@settings(max_examples=50)
@given(graphs())
def test_a_graph_differs_from_itself_in_nothing(graph: KnowledgeGraph) -> None:
    changes = check(graph, graph)
    assert not changes
    assert changes.shares() == {"interactions": 0.0, "items": 0.0}


def altered(graph: KnowledgeGraph, seed: int) -> KnowledgeGraph:
    """A movie graph after a day: ratings come, go and change, a movie leaves, two come, a title is mended."""
    random = np.random.default_rng(seed)
    nodes = {name: table.to_pylist() for name, table in graph.nodes.items()}
    edges = {}
    for key, table in graph.edges.items():
        for name, kind in node_columns(graph.schema, key).items():
            ids = graph.vocabulary(kind).take(table[name].to_numpy())
            table = table.set_column(table.column_names.index(name), name, ids)
        edges[key] = table.to_pylist()
    gone = nodes["movie"].pop(int(random.integers(len(nodes["movie"]))))["id"]
    nodes["movie"] += [{"id": f"new{n}", "title": "New", "year": 2021, "text": "New"} for n in range(2)]
    nodes["movie"][3] |= {"title": "Mended", "text": "Mended"}
    nodes["user"].append({"id": "newcomer"})
    edges = {key: [r for r in rows if gone not in (r["src"], r["dst"])] for key, rows in edges.items()}
    rated = edges[RATED]
    for at in random.choice(len(rated), 7, replace=False):
        rated[at]["rating"] = 1.0 if rated[at]["rating"] > 3 else 5.0
    del rated[:5]
    rated += [{"src": "newcomer", "dst": "new0", "rating": 4.0, "timestamp": 2_000_000}] * 2
    return KnowledgeGraph.build(
        graph.schema,
        {name: pa.Table.from_pylist(rows, schema=graph.nodes[name].schema) for name, rows in nodes.items()},
        {key: pa.Table.from_pylist(rows).select(graph.edges[key].column_names) for key, rows in edges.items()},
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_day_in_the_life_of_a_movie_graph(movie_graph: Callable[..., KnowledgeGraph], seed: int) -> None:
    before = movie_graph(seed=seed)
    after = altered(before, seed)
    changes = check(before, after)
    assert len(changes.nodes["movie"].added) == 2
    assert len(changes.nodes["movie"].removed) == 1
    assert changes.ids("user", "added").to_pylist() == ["newcomer"]
    assert set(after.vocabulary("movie").take(changes.nodes["movie"].text).to_pylist()) == set(
        changes.ids("movie", "changed").to_pylist()
    )
    assert len(changes.edges[RATED].changed) >= 2
    assert check(after, before).edges[RATED].removed.tolist() == changes.edges[RATED].added.tolist()


def test_a_column_that_changes_its_type_changes_no_value() -> None:
    def graph(**columns: Any) -> KnowledgeGraph:
        nodes = {
            "user": pa.table({"id": ["u"]}),
            "movie": pa.table({"id": ["a", "b"], **columns}),
            "tag": pa.table({"id": ["t"]}),
        }
        rated = pa.table({"src": ["u"], "dst": ["a"]})
        return KnowledgeGraph.build(schema(Relation(key=RATED, event=Event())), nodes, {RATED: rated})

    whole = graph(year=pa.array([1999, 2001]))
    for column, changed in (
        (pa.array([1999.0, 2001.5]), ["b"]),
        (pa.array(["1999", "about 2001"]), ["b"]),
        (pa.array([[1999], [2001, 2002]]), ["b"]),
        (pa.array([[1999], [2001]]), []),
        (pa.array([1999, 2001], pa.int32()), []),
        (pa.array([1999, None]), ["b"]),
        (pa.array(["1999", "2001"]).dictionary_encode(), []),
        (pa.array(["1999", "2001"], pa.large_string()), []),
        (pa.array([{"y": 1}, None]), ["a", "b"]),
    ):
        for one, other in ((whole, graph(year=column)), (graph(year=column), whole)):
            assert difference(one, other).ids("movie", "changed").to_pylist() == changed, column
    assert difference(whole, graph()).ids("movie", "changed").to_pylist() == ["a", "b"]


def test_no_user_and_no_trace_of_one_is_named_in_the_report() -> None:
    before = make_movie_graph()
    changes = difference(before, altered(before, 1)).to_json()
    assert "examples" in changes["nodes"]["movie"]
    assert "examples" in changes["edges"][str(GENRE)]
    for quiet in (changes["nodes"]["user"], changes["edges"][str(RATED)], changes["edges"][str(HAS_TAG)]):
        assert "examples" not in quiet
    assert "newcomer" not in json.dumps(changes)


def test_relations_and_node_types_that_come_or_go_are_wholly_new_or_gone(toy_graph: KnowledgeGraph) -> None:
    without = toy_graph.without_relations({GENRE})
    changes = check(without, toy_graph)
    assert len(changes.edges[GENRE].added) == toy_graph.edges[GENRE].num_rows
    assert changes.touched("genre").all()
    back = check(toy_graph, without)
    assert len(back.edges[GENRE].removed) == toy_graph.edges[GENRE].num_rows
    types = {name: kind for name, kind in without.schema.node_types.items() if name != "genre"}
    fewer = KnowledgeGraph(
        Schema(
            node_types=types,
            relations=without.schema.relations,
            item_type="movie",
            interaction=RATED,
            positive=without.schema.positive,
        ),
        {name: table for name, table in without.nodes.items() if name != "genre"},
        without.edges,
    )
    assert (
        difference(toy_graph, fewer).ids("genre", "removed").to_pylist()
        == toy_graph.vocabulary("genre").ids.to_pylist()
    )
    assert (
        difference(fewer, toy_graph).ids("genre", "added").to_pylist() == toy_graph.vocabulary("genre").ids.to_pylist()
    )
    assert difference(fewer, toy_graph).ids("nobody", "added").to_pylist() == []
