"""The ready queries against a plain reading of the tables, on both stores."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from kg import KnowledgeGraph, NodeType, PositiveRule, Relation, RelationKey, Schema
from kg.cypher.guard import check_read_only
from kg.cypher.ready import ReadyQuery, neo4j_queries, ready_queries
from kg.errors import ConfigError
from kg.stores.base import Store
from kg.stores.embedded.build import write_store
from kg.stores.embedded.store import EmbeddedStore
from tests.conftest import make_movie_graph

if TYPE_CHECKING:
    pass

ALL = {"why_this_item", "shared_by_items", "links_between_users", "neighbourhood", "who_else"}
HOSTILE = "x`]->() DETACH DELETE n //"


def hostile(graph: KnowledgeGraph) -> KnowledgeGraph:
    """The same graph under names that try to end their quotes."""
    schema = graph.schema
    key, people = schema.interaction_key, RelationKey("movie", "director", "person")
    rated = graph.edges[key].rename_columns([HOSTILE if n == "rating" else n for n in graph.edges[key].column_names])
    changed = replace(
        schema.with_(
            node_types=[replace(schema.node_types[n], label=f"{HOSTILE} {n}") for n in ("user", "movie", "person")],
            relations=[replace(schema.relations[k], cypher_type=f"{HOSTILE} {k.name}") for k in (key, people)],
        ),
        positive=PositiveRule(HOSTILE, 4.0),
    )
    return KnowledgeGraph(changed, graph.nodes, {**graph.edges, key: rated})


@pytest.fixture(scope="module", params=["plain", "hostile"])
def graph(request: pytest.FixtureRequest) -> KnowledgeGraph:
    made = make_movie_graph()
    return made if request.param == "plain" else hostile(made)


class Tables:
    """The oracle: pairs of ids, relation by relation."""

    def __init__(self, graph: KnowledgeGraph) -> None:
        schema = graph.schema
        ids = {name: table["id"].to_pylist() for name, table in graph.nodes.items()}
        likes = graph.interactions
        liked = [(ids["user"][u], ids["movie"][i]) for u, i in zip(likes.user, likes.item, strict=True)]
        self.likes = {pair for pair, positive in zip(liked, likes.positive, strict=True) if positive}
        self.liked_type = schema.relations[schema.interaction_key].cypher_type
        # relation and direction -> pairs of an item and what it is joined to, the other's type
        self.hops: list[tuple[str, str, Counter[tuple[str, str]]]] = []
        for key, table in graph.edges.items():
            kind = schema.relations[key].cypher_type
            pairs = Counter(
                (ids[key.source][s], ids[key.target][t])
                for s, t in zip(table["src"].to_pylist(), table["dst"].to_pylist(), strict=True)
            )
            if key.source == "movie":
                self.hops.append((kind, key.target, pairs))
            if key.target == "movie" and key.source != "user":
                self.hops.append((kind, key.source, Counter({(t, s): n for (s, t), n in pairs.items()})))

    def of(self, user: str) -> set[str]:
        return {item for who, item in self.likes if who == user}


def answer(store: Store, query: ReadyQuery, **values: Any) -> list[tuple[Any, ...]]:
    check_read_only(query.text)
    rows = [tuple(row.values()) for row in store.query(query.query(**values))]
    assert len(rows) == len(set(rows)), "a row came twice"
    return rows


@pytest.mark.parametrize("k", ["3", 2.5, True, None])
def test_a_count_that_is_no_whole_number_is_refused_with_advice(graph: KnowledgeGraph, k: Any) -> None:
    with pytest.raises(ConfigError, match=r"neighbourhood needs a whole number for k; .*--param k:=5"):
        ready_queries(graph.schema)["neighbourhood"].query(item_id="m1", k=k)


def test_every_query_says_what_the_tables_say(graph: KnowledgeGraph, store: Store) -> None:
    queries, tables = ready_queries(graph.schema), Tables(graph)
    assert set(queries) == ALL
    total: Counter[str] = Counter()
    for user, other, item, second in (("u3", "u7", "m7", "m1"), ("u0", "u1", "m2", "m3"), ("u9", "u9", "m5", "m5")):
        why = answer(store, queries["why_this_item"], user_id=user, item_id=item)
        mine, theirs = tables.of(user), tables.of(other)
        through = {
            (h, kind, x)
            for kind, _, pairs in tables.hops
            for h, x in pairs
            if h in mine - {item} and (item, x) in pairs
        }
        direct = {
            (h, kind, item)
            for kind, type_, pairs in tables.hops
            for h, x in pairs
            if type_ == "movie" and h in mine - {item} and x == item
        }
        assert set(why) == through | direct

        shared = answer(store, queries["shared_by_items"], item_id=item, other_item_id=second)
        expected = set()
        if item != second:
            for kind, type_, pairs in tables.hops:
                expected |= {(kind, x) for i, x in pairs if i == item and (second, x) in pairs}
                expected |= {(kind, second)} if type_ == "movie" and (item, second) in pairs else set()
        assert set(shared) == expected

        links = answer(store, queries["links_between_users"], user_id=user, other_user_id=other, k=1000)
        common = {(tables.liked_type, item, 1, 1) for item in mine & theirs}
        for kind, _, pairs in tables.hops:
            for x in {x for _, x in pairs}:
                joined = {i for i, y in pairs if x == y}
                left = {i for i in joined & mine if joined & theirs - {i}}
                right = {j for j in joined & theirs if joined & mine - {j}}
                common |= {(kind, x, len(left), len(right))} if left else set()
        assert set(links) == (common if user != other else set())

        around = answer(store, queries["neighbourhood"], item_id=item, k=1000)
        expected = {
            (kind, x, len({i for i, y in pairs if x == y} - {item}))
            for kind, _, pairs in tables.hops
            for i, x in pairs
            if i == item
        }
        assert set(around) == expected

        who = answer(store, queries["who_else"], user_id=user, item_id=item, k=1000)
        others = {other for other, liked in tables.likes if liked == item} - {user}
        assert dict(who) == {o: n for o in others if (n := len(tables.of(o) & mine - {item}))}
        assert [n for _, n in who] == sorted((n for _, n in who), reverse=True)
        assert who[:2] == answer(store, queries["who_else"], user_id=user, item_id=item, k=2)
        for name, rows in zip(queries, (links, around, shared, who, why), strict=True):
            total[name] += len(rows)
    assert min(total.values()) > 3, total


def test_values_are_parameters_and_have_to_be_given(graph: KnowledgeGraph) -> None:
    query = ready_queries(graph.schema)["why_this_item"]
    assert query.parameters == ("user_id", "item_id")
    assert query.help.startswith("Why this item")
    made = query.query(user_id="'u", item_id="m1`")
    assert made.parameters == {"user_id": "'u", "item_id": "m1`", "minimum": 4.0}
    assert "'u" not in made.text
    with pytest.raises(ConfigError, match="why_this_item needs item_id: Why this item"):
        query.query(user_id="u1")
    with pytest.raises(ConfigError, match="no parameter 'minimum'; it takes user_id, item_id"):
        query.query(user_id="u1", item_id="m1", minimum=0)
    assert ready_queries(graph.schema)["who_else"].defaults == {"k": 20}


def test_a_schema_gets_the_queries_that_it_can_answer(toy_graph: KnowledgeGraph) -> None:
    schema = replace(toy_graph.schema, interaction=None)
    assert set(ready_queries(schema)) == {"shared_by_items", "neighbourhood"}
    bare = toy_graph.without_relations({key for key in toy_graph.schema.relations if key.name != "rated"}).schema
    assert set(ready_queries(bare)) == {"links_between_users", "who_else"}


def test_without_a_rule_every_interaction_counts(toy_graph: KnowledgeGraph, tmp_path: Any) -> None:
    graph = KnowledgeGraph(replace(toy_graph.schema, positive=PositiveRule()), toy_graph.nodes, toy_graph.edges)
    write_store(graph, tmp_path / "g")
    query = ready_queries(graph.schema)["who_else"]
    assert query.fixed == {}
    with EmbeddedStore(tmp_path / "g") as store:
        rows = answer(store, query, user_id="u3", item_id="m7", k=1000)
    tables = Tables(graph)
    assert len(tables.likes) == 30 * 12
    others = {other for other, liked in tables.likes if liked == "m7"} - {"u3"}
    assert dict(rows) == {o: n for o in others if (n := len(tables.of(o) & tables.of("u3") - {"m7"}))}


def test_a_database_with_keys_of_its_own_is_asked_by_them(tmp_path: Any) -> None:
    liked, genre = RelationKey("user", "rated", "movie"), RelationKey("movie", "genre", "genre")
    schema = Schema(
        node_types={
            "user": NodeType(name="user", key="userId", key_type="integer"),
            "movie": NodeType(name="movie", key="movieId", key_type="integer"),
            "genre": NodeType(name="genre", key="name"),
        },
        relations={
            liked: Relation(key=liked, properties={"rating": "stars"}),
            genre: Relation(key=genre),
        },
        item_type="movie",
        interaction=liked,
        positive=PositiveRule("rating", 4.0),
    )
    nodes = {"user": ["1", "2"], "movie": ["10", "20"], "genre": ["drama"]}
    rated = {"src": ["1", "1", "2"], "dst": ["10", "20", "20"], "rating": [5.0, 1.0, 4.0]}
    graph = KnowledgeGraph.build(
        schema,
        {name: pa.table({"id": ids}) for name, ids in nodes.items()},
        {liked: pa.table(rated), genre: pa.table({"src": ["10", "20"], "dst": ["drama", "drama"]})},
    )
    write_store(graph, tmp_path / "g")
    queries = ready_queries(schema)
    with EmbeddedStore(tmp_path / "g") as store:
        assert answer(store, queries["why_this_item"], user_id="1", item_id="20") == [("10", "HAS_GENRE", "drama")]
        assert answer(store, queries["links_between_users"], user_id="1", other_user_id="2") == [
            ("HAS_GENRE", "drama", 1, 1)
        ]


def test_the_queries_over_what_was_written_back_are_read_too(toy_graph: KnowledgeGraph) -> None:
    for name, query in neo4j_queries(toy_graph.schema).items():
        assert name not in ALL
        assert query.help
        check_read_only(query.text)
