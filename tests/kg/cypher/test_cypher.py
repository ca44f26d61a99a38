from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kg import KnowledgeGraph, Relation, RelationKey, Schema, Vocabulary
from kg.cypher.query import CypherQuery, pair_query, path_query, quote, shared_users_query
from kg.errors import InvalidDataError
from kg.topology.adjacency import Adjacency
from kg.topology.paths import Path, Step
from kg.topology.search import PathFinder
from kg.topology.shared_users import shared_users

Run = Callable[[CypherQuery], list[Any]]
KINDS = {"int64": "INT64", "double": "DOUBLE", "string": "STRING"}


def with_hostile_names(graph: KnowledgeGraph) -> KnowledgeGraph:
    """The same graph under names that need quoting, one of them an attempt to end the quotes."""
    schema = graph.schema
    director = RelationKey("movie", "director", "person")
    return KnowledgeGraph(
        schema.with_(
            node_types=[replace(schema.node_types["person"], label="Per son) DETACH DELETE (n")],
            relations=[replace(schema.relations[director], cypher_type="DIRE`C]->() RETURN 1 //")],
        ),
        graph.nodes,
        graph.edges,
    )


@pytest.fixture(scope="module", params=["plain", "hostile"])
def graph(request: pytest.FixtureRequest, toy_graph: KnowledgeGraph) -> KnowledgeGraph:
    return toy_graph if request.param == "plain" else with_hostile_names(toy_graph)


@pytest.fixture(scope="module")
def run(graph: KnowledgeGraph, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A Ladybug database of the graph: all its edges, also the ratings that are not positive."""
    ladybug = pytest.importorskip("ladybug")
    connection = ladybug.Connection(ladybug.Database(str(tmp_path_factory.mktemp("store") / "g.lbug")))
    schema = graph.schema
    labels = {name: quote(node_type.label) for name, node_type in schema.node_types.items()}
    for name in graph.nodes:
        connection.execute(f"CREATE NODE TABLE {labels[name]}(id STRING PRIMARY KEY)")
        rows = graph.nodes[name].select(["id"]).to_pylist()
        connection.execute(f"UNWIND $rows AS row CREATE (:{labels[name]} {{id: row.id}})", {"rows": rows})
    for key, table in graph.edges.items():
        more = [field for field in table.schema if field.name not in ("src", "dst")]
        columns = "".join(f", {quote(field.name)} {KINDS[str(field.type)]}" for field in more)
        kind = quote(schema.relations[key].cypher_type)
        connection.execute(f"CREATE REL TABLE {kind}(FROM {labels[key.source]} TO {labels[key.target]}{columns})")
        ids = {end: graph.vocabulary(getattr(key, name)).ids for end, name in (("src", "source"), ("dst", "target"))}
        rows = [
            {**row, "src": ids["src"][row["src"]].as_py(), "dst": ids["dst"][row["dst"]].as_py()}
            for row in table.to_pylist()
        ]
        values = ", ".join(f"{quote(field.name)}: row.{quote(field.name)}" for field in more)
        connection.execute(
            f"UNWIND $rows AS row MATCH (a:{labels[key.source]} {{id: row.src}}) "
            f"MATCH (b:{labels[key.target]} {{id: row.dst}}) CREATE (a)-[:{kind} {{{values}}}]->(b)",
            {"rows": rows},
        )

    def execute(query: CypherQuery) -> list[Any]:
        return list(connection.execute(query.text, dict(query.parameters)).get_all())

    return execute


def external(graph: KnowledgeGraph, path: Path) -> list[str]:
    numbering = Adjacency.of(graph).numbering
    located = [numbering.locate(node) for node in path.nodes]
    return [graph.vocabulary(name).ids[at].as_py() for name, at in located]


def movie_number(graph: KnowledgeGraph, adjacency: Adjacency, id: str) -> int:
    return int(adjacency.numbering.span("movie").start + graph.items.index([id])[0])


@pytest.mark.parametrize(("user", "movie"), [("u3", "m7"), ("u0", "m0"), ("u12", "m31")])
@pytest.mark.parametrize(("hops", "excluded"), [(3, []), (4, ["user"])])
def test_the_pair_query_finds_exactly_the_enumerated_paths(
    graph: KnowledgeGraph, run: Run, user: str, movie: str, hops: int, excluded: list[str]
) -> None:
    adjacency = Adjacency.of(graph)
    finder = PathFinder(adjacency, max_hops=hops, hub_limit=None, excluded=excluded)
    source, target = int(graph.users.index([user])[0]), movie_number(graph, adjacency, movie)
    paths = finder.between(source, target)
    # Shapes that this pair has, and those that others have: the query must find nothing more under them.
    first = adjacency.numbering.span("movie").start
    others = (target, first + 1, first + 5, first + 22)
    shapes = list(dict.fromkeys(p.shape for other in others for p in finder.between(source, other)))
    query = pair_query(graph, user, movie, shapes)
    rows = run(query)
    found = Counter((shapes[number], tuple(ids)) for number, ids in rows)
    assert found == Counter((path.shape, tuple(external(graph, path))) for path in paths)
    assert len(paths) > 3
    assert set(query.parameters) <= {"user_id", "item_id", "minimum"}
    inner = {id for path in paths for id in external(graph, path)[1:-1]}
    assert not any(re.search(rf"\b{re.escape(id)}\b", query.text) for id in (user, movie, *inner))


def test_each_path_query_finds_its_path_once(graph: KnowledgeGraph, run: Run) -> None:
    adjacency = Adjacency.of(graph)
    paths = PathFinder(adjacency, max_hops=3).between(3, movie_number(graph, adjacency, "m7"))
    assert len({path.shape for path in paths}) > 4
    for path in paths:
        query = path_query(graph, path)
        assert run(query) == [[external(graph, path)]]
        assert [query.parameters[f"id{n}"] for n in range(len(path) + 1)] == external(graph, path)


def test_a_path_that_is_not_there_is_not_found(graph: KnowledgeGraph, run: Run) -> None:
    adjacency = Adjacency.of(graph)
    start = adjacency.numbering.span("movie").start
    key = graph.schema.interaction_key
    table = graph.edges[key].to_pylist()
    disliked = next(row for row in table if row["rating"] < 4)
    path = Path((Step(disliked["src"], start + disliked["dst"], key, True),))
    assert path_query(graph, path).parameters["minimum"] == 4.0
    assert run(path_query(graph, path)) == []
    sequel = RelationKey("movie", "sequel_of", "movie")
    row = graph.edges[sequel].to_pylist()[0]
    there = Step(start + row["src"], start + row["dst"], sequel, True)
    assert len(run(path_query(graph, Path((there,))))) == 1
    assert run(path_query(graph, Path((replace(there, forward=False),)))) == []


@pytest.mark.parametrize(("user", "movie"), [("u3", "m7"), ("u0", "m0"), ("u12", "m31")])
def test_shared_users_are_counted_and_never_named(graph: KnowledgeGraph, run: Run, user: str, movie: str) -> None:
    adjacency = Adjacency.of(graph)
    source, target = int(graph.users.index([user])[0]), movie_number(graph, adjacency, movie)
    shared = shared_users(adjacency, source, target, graph.schema.interaction_key)
    start = adjacency.numbering.span("movie").start
    ids = [graph.items.ids[node - start].as_py() for node in shared.history.tolist()]
    expected = dict(zip(ids, shared.counts.tolist(), strict=True))
    rows = run(shared_users_query(graph, user, movie))
    assert dict(map(tuple, rows)) == expected
    assert len(expected) >= 2
    assert [count for _, count in rows] == sorted(expected.values(), reverse=True)
    one = shared_users_query(graph, user, movie, history_id=ids[1])
    assert run(one) == [[ids[1], expected[ids[1]]]]
    assert set(one.parameters.values()) == {user, movie, ids[1], 4.0}
    assert not re.search(r"RETURN[^\n]*n2\.(?!`id`\))", one.text)
    others = set(graph.users.ids.to_pylist()) - {user}
    assert not others & {str(value) for row in rows for value in row}
    assert not any(re.search(rf"\b{other}\b", one.text) for other in others)


def test_the_text_says_what_it_means(toy_graph: KnowledgeGraph) -> None:
    key = toy_graph.schema.interaction_key
    query = pair_query(toy_graph, "u1", "m1", [[(key, True), (key, False), (key, True)]])
    assert query.text == (
        "MATCH (n0:`User` {`id`: $user_id})-[r0:`RATED`]->(n1:`Movie`)<-[r1:`RATED`]-(n2:`User`)"
        "-[r2:`RATED`]->(n3:`Movie` {`id`: $item_id})\n"
        "WHERE r0.`rating` >= $minimum AND r1.`rating` >= $minimum AND r2.`rating` >= $minimum "
        "AND r0 <> r1 AND r0 <> r2 AND r1 <> r2 AND n0.`id` <> n2.`id` AND n1.`id` <> n3.`id`\n"
        "RETURN DISTINCT 0 AS shape, [n0.`id`, n1.`id`, n2.`id`, n3.`id`] AS ids"
    )
    assert str(query) == query.text
    assert query.parameters == {"user_id": "u1", "item_id": "m1", "minimum": 4.0}


def test_hostile_ids_are_values(toy_graph: KnowledgeGraph) -> None:
    hostile = "x'}) DETACH DELETE n //`\\u0060"
    key = toy_graph.schema.interaction_key
    query = pair_query(toy_graph, hostile, hostile, [[(key, True)]])
    assert hostile not in query.text
    assert query.parameters["user_id"] == hostile


def test_shapes_must_fit_together(toy_graph: KnowledgeGraph) -> None:
    key, genre = toy_graph.schema.interaction_key, RelationKey("movie", "genre", "genre")
    for shapes, message in (
        ([], "at least one shape"),
        ([[]], "at least one step"),
        ([[(key, True), (genre, False)]], r"goes from 'movie' on with .*genre.*, which starts at 'genre'"),
        ([[(RelationKey("a", "b", "c"), True)]], "has no relation"),
    ):
        with pytest.raises(InvalidDataError, match=message):
            pair_query(toy_graph, "u1", "m1", shapes)


def test_quoting() -> None:
    assert quote("Movie") == "`Movie`"
    assert quote("a`b``") == "`a``b`````"
    assert quote("größe x") == "`größe x`"
    assert quote(r"a\b") == r"`a\b`"
    for name in (
        "",
        r"a\u0060b",
        r"a\U0060b",
        r"\uu0060",
        "a\nb",
        "a\x00b",
        "a\x7fb",
        "a\u0085b",
        "a\u2028b",
        "a\ud800b",
    ):
        with pytest.raises(InvalidDataError, match="schema"):
            quote(name)


def test_a_schema_that_cannot_be_quoted_is_refused(toy_graph: KnowledgeGraph) -> None:
    key = toy_graph.schema.interaction_key
    schema = toy_graph.schema.with_(relations=[Relation(key=key, cypher_type=r"R\u0060]->(n) DELETE n //")])
    graph = KnowledgeGraph(schema, toy_graph.nodes, toy_graph.edges)
    with pytest.raises(InvalidDataError, match="Neo4j reads as a character"):
        pair_query(graph, "u1", "m1", [[(key, True)]])
    assert isinstance(graph.users, Vocabulary)


def test_nodes_are_found_by_the_property_and_in_the_type_that_the_schema_names(toy_graph: KnowledgeGraph) -> None:
    graph, rated = toy_graph, RelationKey("user", "rated", "movie")
    types = graph.schema.node_types
    schema = graph.schema.with_(
        node_types=[
            replace(types["user"], key="userId", key_type="integer"),
            replace(types["movie"], key="code"),
        ],
        relations=[replace(graph.schema.relations[rated], properties={"rating": "stars"})],
    )
    graph = KnowledgeGraph(schema, graph.nodes, graph.edges)
    assert schema.node_types["user"].key_value("42") == 42
    assert schema.node_types["user"].key_value("-9007199254740993") == -9007199254740993
    for no_number in ("042", "1_0", "4.0", "u42", "", "9" * 30):
        assert schema.node_types["user"].key_value(no_number) == no_number
    query = pair_query(graph, "42", "7", [((rated, True), (rated, False), (rated, True))])
    assert query.parameters == {"user_id": 42, "item_id": "7", "minimum": 4.0}
    assert "{`userId`: $user_id}" in query.text
    assert "{`code`: $item_id}" in query.text
    assert "r2.`stars` >= $minimum" in query.text
    assert "[toString(n0.`userId`), n1.`code`, toString(n2.`userId`), n3.`code`] AS ids" in query.text
    assert "`id`" not in query.text
    shared = shared_users_query(graph, "42", "7", history_id="8")
    assert shared.parameters == {"user_id": 42, "item_id": "7", "history_id": "8", "minimum": 4.0}
    assert Schema.from_json(schema.to_json()) == schema
