"""Users taken out of a graph, and called by other names, against sets in plain Python."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg import Event, KnowledgeGraph, NodeType, Relation, RelationKey, Schema
from kg.errors import ConfigError
from kg.privacy.user_key import UserKey
from kg.privacy.users import rename_users, without_users

RATED = RelationKey("user", "rated", "movie")
HAS_TAG = RelationKey("movie", "has_tag", "tag")
ABOUT = RelationKey("review", "about", "movie")
WRITTEN_IN = RelationKey("review", "written_in", "language")
FOLLOWS = RelationKey("user", "follows", "user")
HOME = RelationKey("user", "home", "page")
SCHEMA = Schema(
    node_types={name: NodeType(name=name) for name in ("user", "movie", "tag", "review", "language", "page")},
    relations={
        RATED: Relation(key=RATED, event=Event()),
        HAS_TAG: Relation(key=HAS_TAG, event=Event("user", "src")),
        ABOUT: Relation(key=ABOUT, event=Event("user", "dst")),
        WRITTEN_IN: Relation(key=WRITTEN_IN),
        FOLLOWS: Relation(key=FOLLOWS),
        HOME: Relation(key=HOME),
    },
    item_type="movie",
    interaction=RATED,
)
USERS, MOVIES = ["ann", "bob", "cleo"], ["m1", "m2"]
TAGS, REVIEWS, LANGUAGES, PAGES = ["slow", "wry"], ["r1", "r2", "r3"], ["de", "en"], ["p1", "p2"]

Rows = dict[RelationKey, list[tuple[str, ...]]]


def pairs(*columns: list[str]) -> Any:
    return st.lists(st.tuples(*[st.sampled_from(column) for column in columns]), max_size=6, unique=True)


@st.composite
def graphs(draw: Any) -> Rows:
    owners = draw(st.lists(st.sampled_from(USERS), min_size=3, max_size=3))
    about = draw(pairs(REVIEWS, MOVIES))
    if draw(st.booleans()):  # each review of one user, or of anybody
        about = [(review, movie, owners[REVIEWS.index(review)]) for review, movie in about]
    else:
        about = [(*row, draw(st.sampled_from(USERS))) for row in about]
    return {
        RATED: draw(pairs(USERS, MOVIES)),
        HAS_TAG: draw(pairs(MOVIES, TAGS, USERS)),
        ABOUT: about,
        WRITTEN_IN: draw(pairs(REVIEWS, LANGUAGES)),
        FOLLOWS: draw(pairs(USERS, USERS)),
        HOME: draw(pairs(USERS, PAGES)),
    }


def build(rows: Rows) -> KnowledgeGraph:
    ids = {"user": USERS, "movie": MOVIES, "tag": TAGS, "review": REVIEWS, "language": LANGUAGES, "page": PAGES}
    edges = {}
    for key, entries in rows.items():
        names = ["src", "dst", "user"][: 3 if SCHEMA.relations[key].event and key != RATED else 2]
        columns = {name: pa.array([row[at] for row in entries], type=pa.string()) for at, name in enumerate(names)}
        edges[key] = pa.table(columns)
    return KnowledgeGraph.build(SCHEMA, {name: pa.table({"id": values}) for name, values in ids.items()}, edges)


def contents(graph: KnowledgeGraph) -> tuple[dict[str, set[str]], dict[RelationKey, set[tuple[str, ...]]]]:
    """Ids by type, and edges by external ids."""
    nodes = {name: set(table["id"].to_pylist()) for name, table in graph.nodes.items()}
    edges = {}
    for key, table in graph.edges.items():
        ends = [graph.vocabulary(key.source).take(table["src"]), graph.vocabulary(key.target).take(table["dst"])]
        if "user" in table.column_names:
            ends.append(graph.users.take(table["user"]))
        edges[key] = set(zip(*[end.to_pylist() for end in ends], strict=True))
    return nodes, edges


@settings(max_examples=150)
@given(graphs(), st.sets(st.sampled_from(USERS)))
def test_nothing_of_those_who_go_is_left_and_nothing_else_is_lost(rows: Rows, gone: set[str]) -> None:
    graph = build(rows)
    left, kept = without_users(graph, np.array(sorted(USERS.index(one) for one in gone), dtype=np.int64))

    behind: dict[str, set[str]] = {}
    for review, _, user in rows[ABOUT]:
        behind.setdefault(review, set()).add(user)
    reviews = set(REVIEWS)
    if all(len(users) == 1 for users in behind.values()):
        reviews -= {review for review, users in behind.items() if users <= gone}
    tagged: dict[str, set[str]] = {}
    for _, tag, user in rows[HAS_TAG]:
        tagged.setdefault(tag, set()).add(user)
    tags = set(TAGS)
    if all(len(users) == 1 for users in tagged.values()):
        tags -= {tag for tag, users in tagged.items() if users <= gone}
    edges = {
        RATED: {row for row in rows[RATED] if row[0] not in gone},
        HAS_TAG: {row for row in rows[HAS_TAG] if row[2] not in gone},
        ABOUT: {row for row in rows[ABOUT] if row[2] not in gone},
        WRITTEN_IN: {row for row in rows[WRITTEN_IN] if row[0] in reviews},
        FOLLOWS: {row for row in rows[FOLLOWS] if not set(row) & gone},
        HOME: {row for row in rows[HOME] if row[0] not in gone},
    }
    nodes = {"user": set(USERS) - gone, "movie": set(MOVIES), "tag": tags, "review": reviews}
    nodes |= {"language": set(LANGUAGES), "page": set(PAGES)}
    for name in ("tag", "review", "language", "page"):

        def touches(tables: Any, node: str, name: str = name) -> bool:
            ends = [(key, at) for key in SCHEMA.relations for at in (0, 1) if key[2 * at] == name]
            return any(row[at] == node for key, at in ends for row in tables[key])

        nodes[name] = {node for node in nodes[name] if touches(edges, node) or not touches(rows, node)}
    assert contents(left) == (nodes, edges)
    for name, table in graph.nodes.items():
        expected = [id in nodes[name] for id in table["id"].to_pylist()]
        assert kept.get(name, np.ones(len(expected), dtype=bool)).tolist() == expected


def test_renamed_users_keep_what_is_theirs_and_no_attribute_tells_who_they_were() -> None:
    graph = build({RATED: [("ann", "m1"), ("bob", "m2")], HAS_TAG: [("m1", "slow", "bob")], ABOUT: [], WRITTEN_IN: [],
                   FOLLOWS: [("ann", "bob")], HOME: [("cleo", "p1")]})  # fmt: skip
    people = pa.table(
        {
            "id": USERS,
            "iri": [f"http://example.org/{one}" for one in USERS],
            "mail": ["ann@example.org", None, "annette@example.org"],
            "names": [["ann", "Ann"], None, ["cleo"]],
            "age": [30, 31, 32],
        }
    )
    graph = KnowledgeGraph(SCHEMA, {**graph.nodes, "user": people}, graph.edges)
    names = {"ann": "zz", "bob": "aa", "cleo": "mm"}
    renamed = rename_users(graph, [names[one] for one in USERS])
    assert renamed.users.ids.to_pylist() == ["aa", "mm", "zz"]
    nodes, edges = contents(renamed)
    assert edges[RATED] == {("zz", "m1"), ("aa", "m2")}
    assert edges[HAS_TAG] == {("m1", "slow", "aa")}
    assert edges[FOLLOWS] == {("zz", "aa")}
    assert edges[HOME] == {("mm", "p1")}
    assert nodes["movie"] == set(MOVIES)
    users = renamed.nodes["user"].to_pydict()
    assert users["iri"] == [None] * 3
    assert users["mail"] == [None, "annette@example.org", "zz@example.org"]
    assert users["names"] == [None, ["mm"], ["zz", "Ann"]]
    assert users["age"] == [31, 32, 30]


def test_repeats_go_and_are_renamed_with_their_user() -> None:
    table = pa.table({"src": [0, 1, 1], "dst": [0, 0, 1]})
    graph = build({RATED: [("ann", "m1"), ("bob", "m1"), ("bob", "m2")]})
    graph = KnowledgeGraph(SCHEMA, graph.nodes, graph.edges, {RATED: table})
    left, _ = without_users(graph, np.array([0]))
    assert left.repeats[RATED].to_pydict() == {"src": [0, 0], "dst": [0, 1]}
    assert without_users(graph, np.array([0, 1]))[0].repeats == {}
    renamed = rename_users(graph, ["z", "y", "x"])
    assert renamed.repeats[RATED].to_pydict() == {"src": [1, 1, 2], "dst": [0, 1, 0]}


def test_a_number_that_is_the_id_is_no_attribute_under_another_name() -> None:
    schema = Schema(
        node_types={"user": NodeType(name="user", key="userId", key_type="integer"), "item": NodeType(name="item")},
        relations={},
    )
    people = pa.table({"id": ["1", "2"], "userId": [1, 2], "friends": [2, 7]})
    graph = KnowledgeGraph(schema, {"user": people, "item": pa.table({"id": ["1"]})}, {})
    renamed = rename_users(graph, ["b", "a"])
    assert renamed.nodes["user"].to_pydict() == {"id": ["a", "b"], "userId": [None, None], "friends": [7, 2]}
    assert renamed.schema.node_types["user"].key_type == "string"


def test_hashes_are_equal_for_equal_ids_and_keys_and_tell_nothing_of_each_other(tmp_path: Path) -> None:
    key, other = UserKey.create(tmp_path / "a" / "key"), UserKey.create(tmp_path / "other")
    assert UserKey.load(tmp_path / "a" / "key") == key
    ids = ["1", "11", "ü", "", "1\x00", "http://example.org/1"]
    assert len({*key.pseudonyms(ids), *other.pseudonyms(ids), *key.marks_of_ids(ids), *key.marks(ids)}) == 24
    assert key.pseudonyms(ids) == UserKey(key.secret).pseudonyms(ids)
    assert key.marks_of_ids(ids) == key.marks(key.pseudonyms(ids))
    assert key.name != other.name
    assert key.secret.hex() not in repr(key)


def test_only_the_owner_reads_the_key(tmp_path: Path) -> None:
    UserKey.create(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("content", ["", "ab", "0" * 63, "x" * 64, "00" * 33])
def test_what_is_no_key_is_refused_with_its_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    with pytest.raises(ConfigError, match=str(tmp_path / "key")):
        UserKey.load(tmp_path / "key")
    with pytest.raises(ConfigError, match="cannot be read from"):
        UserKey.load(tmp_path / "none")
