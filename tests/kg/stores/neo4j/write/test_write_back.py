"""Vectors and candidates into a real Neo4j: what readers see, before, between and after."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kg import KnowledgeGraph, NodeType, Relation, RelationKey, Schema
from kg.cypher.ready import neo4j_queries
from kg.errors import StoreError
from kg.progress import SILENT
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.write.batches import Mark
from kg.stores.neo4j.write.load import load_into
from kg.stores.neo4j.write.write_back import Results, finished, serving, write_back
from tests.conftest import make_movie_graph

pytestmark = pytest.mark.neo4j

K, DIM = 5, 8


def make_results(graph: KnowledgeGraph, run: str, *, seed: int = 0, k: int = K, dim: int = DIM) -> Results:
    """Random vectors, the first item's zero, and k random candidates of every user."""
    random = np.random.default_rng(seed)
    items = random.normal(size=(len(graph.items), dim)).astype(np.float32)
    items[0] = 0
    users = random.normal(size=(len(graph.users), dim)).astype(np.float32)
    rows = [
        (user, graph.items.ids[int(item)].as_py(), float(10 - rank), rank, "lightgcn")
        for user in graph.users.ids.to_pylist()
        for rank, item in enumerate(random.choice(len(graph.items), size=k, replace=False), start=1)
    ]
    names = ("user_id", "item_id", "score", "rank", "source")
    candidates = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
    vectors = {"items": (graph.items.ids, items), "users": (graph.users.ids, users)}
    return Results(run=run, k=k, candidates=candidates, vectors=vectors)


def candidates(store: Neo4jStore, graph: KnowledgeGraph, user: str) -> list[dict[str, Any]]:
    """A user's candidates, as anybody finds them in Cypher."""
    return store.query(neo4j_queries(graph.schema)["candidates_of_user"].query(user_id=user))


def similar(store: Neo4jStore, graph: KnowledgeGraph, item: str, k: int) -> list[dict[str, Any]]:
    """The items most like an item."""
    return store.query(neo4j_queries(graph.schema)["similar_items"].query(item_id=item, k=k))


@pytest.fixture
def graph() -> KnowledgeGraph:
    return make_movie_graph()


@pytest.fixture
def loaded(neo4j_store: Neo4jStore, graph: KnowledgeGraph) -> Neo4jStore:
    load_into(neo4j_store, graph)
    return neo4j_store


def leftovers(store: Neo4jStore) -> dict[str, Any]:
    """All that was ever written back, by slot."""
    found: dict[str, Any] = {
        "slots": {
            row["slot"]: row["n"]
            for row in store.read("MATCH ()-[c:GRAPHRECALL_CANDIDATE]->() RETURN c.slot AS slot, count(*) AS n")
        }
    }
    for slot in "ab":
        (row,) = store.read(f"MATCH (n) WHERE n.graphrecall_vector_{slot} IS NOT NULL RETURN count(n) AS n")
        found[slot] = row["n"]
    found["indexes"] = len(store.read("SHOW VECTOR INDEXES"))
    return found


def test_every_user_has_the_candidates_of_the_run(loaded: Neo4jStore, graph: KnowledgeGraph) -> None:
    results = make_results(graph, "run-1")
    facts = write_back(loaded, graph.schema, results, batch=7)
    assert (facts.status, facts.candidates, facts.missing) == ("written", 30 * K, 0)
    for user in graph.users.ids.to_pylist():
        expected = [row for row in results.candidates.to_pylist() if row["user_id"] == user]
        assert candidates(loaded, graph, user) == [
            {**{name: row[name] for name in ("rank", "score", "source")}, "item": row["item_id"], "run": "run-1"}
            for row in expected
        ]


def test_plain_cypher_finds_the_items_of_the_nearest_directions(loaded: Neo4jStore, graph: KnowledgeGraph) -> None:
    results = make_results(graph, "run-1")
    facts = write_back(loaded, graph.schema, results)
    assert facts.vectors == {"items": 39, "users": 30}  # the zero vector has no direction
    items = results.vectors["items"][1]
    unit = items / np.maximum(np.linalg.norm(items, axis=1, keepdims=True), 1e-12)
    for at in (3, 17, 39):
        cosine = unit @ unit[at]
        cosine[[0, at]] = -np.inf
        best = np.argsort(-cosine)[:5]
        found = similar(loaded, graph, graph.items.ids[at].as_py(), 5)
        assert [row["item"] for row in found] == graph.items.ids.take(pa.array(best)).to_pylist()
        # Neo4j maps a cosine from -1..1 to 0..1.
        np.testing.assert_allclose([row["similarity"] for row in found], (1 + cosine[best]) / 2, atol=0.01)


def test_an_item_without_a_direction_and_one_that_is_unknown_have_no_similar_items(
    loaded: Neo4jStore, graph: KnowledgeGraph
) -> None:
    assert similar(loaded, graph, "m7", 3) == []  # nothing was written back
    write_back(loaded, graph.schema, make_results(graph, "run-1"))
    assert similar(loaded, graph, "m0", 3) == []
    assert similar(loaded, graph, "no such movie", 3) == []
    assert len(similar(loaded, graph, "m7", 3)) == 3


def test_the_next_run_takes_the_other_slot_and_nothing_is_left_of_the_first(
    loaded: Neo4jStore, graph: KnowledgeGraph
) -> None:
    for number in range(1, 4):
        results = make_results(graph, f"run-{number}", seed=number, dim=DIM * number)
        write_back(loaded, graph.schema, results)
        slot = "ab"[(number - 1) % 2]
        pointer = serving(loaded)
        assert pointer is not None
        assert (pointer["run"], pointer["slot"]) == (f"run-{number}", slot)
        expected = {"slots": {slot: 30 * K}, "a": 0, "b": 0, "indexes": 2}
        assert leftovers(loaded) == {**expected, slot: 39 + 30}
        assert len(similar(loaded, graph, "m7", 5)) == 5


def test_the_same_results_again_change_nothing(loaded: Neo4jStore, graph: KnowledgeGraph) -> None:
    results = make_results(graph, "run-1")
    first = write_back(loaded, graph.schema, results)
    before, pointer = leftovers(loaded), serving(loaded)
    again = write_back(loaded, graph.schema, results)
    assert (first.status, again.status) == ("written", "unchanged")
    assert (leftovers(loaded), serving(loaded)) == (before, pointer)
    assert finished(loaded, run="run-1", k=K, roles=["users", "items"]) == again


def test_other_options_of_the_same_run_are_another_write_back(loaded: Neo4jStore, graph: KnowledgeGraph) -> None:
    write_back(loaded, graph.schema, make_results(graph, "run-1"))
    assert finished(loaded, run="run-1", k=2, roles=["users", "items"]) is None
    write_back(loaded, graph.schema, make_results(graph, "run-1", k=2))
    assert [row["rank"] for row in candidates(loaded, graph, "u3")] == [1, 2]
    assert leftovers(loaded)["slots"] == {"b": 60}


def test_a_reader_of_the_graph_finds_no_label_or_type_of_it(loaded: Neo4jStore, graph: KnowledgeGraph) -> None:
    from kg.stores.neo4j.own_names import is_own

    before = {row["label"] for row in loaded.read("CALL db.labels() YIELD label")}
    write_back(loaded, graph.schema, make_results(graph, "run-1"))
    labels = {row["label"] for row in loaded.read("CALL db.labels() YIELD label")}
    types = {row["t"] for row in loaded.read("CALL db.relationshipTypes() YIELD relationshipType AS t")}
    assert {label for label in labels if not is_own(label)} == {label for label in before if not is_own(label)}
    assert {kind for kind in types if not is_own(kind)} == {r.cypher_type for r in graph.schema.relations.values()}
    (row,) = loaded.read("MATCH (m:Movie {id: 'm3'}) RETURN keys(m) AS keys")
    assert {key for key in row["keys"] if not is_own(key)} == {"id", "title", "year"}


def test_results_whose_pointer_was_removed_by_hand_are_written_anew(loaded: Neo4jStore, graph: KnowledgeGraph) -> None:
    results = make_results(graph, "run-1")
    write_back(loaded, graph.schema, results)
    loaded.write("MATCH (p:GraphrecallPointer) DELETE p")
    assert write_back(loaded, graph.schema, results).status == "written"
    assert len(candidates(loaded, graph, "u3")) == K
    assert leftovers(loaded)["slots"] == {"a": 150}


def test_nodes_that_the_database_lacks_are_counted(loaded: Neo4jStore, graph: KnowledgeGraph) -> None:
    results = make_results(graph, "run-1")
    lost = sum(row["item_id"] == "m3" for row in results.candidates.to_pylist())
    loaded.write("MATCH (m:Movie {id: 'm3'}) DETACH DELETE m")
    assert write_back(loaded, graph.schema, results).missing == lost + 1


def test_a_database_of_another_graph_is_refused_untouched(neo4j_store: Neo4jStore, graph: KnowledgeGraph) -> None:
    neo4j_store.write("CREATE (:Movie {id: 'other'}), (:User {id: 'u1'})")
    with pytest.raises(StoreError, match=r"none of the first 39 nodes Movie.*graphrecall load"):
        write_back(neo4j_store, graph.schema, make_results(graph, "run-1"))
    assert neo4j_store.read("MATCH (n:GraphrecallMark) RETURN count(n) AS n") == [{"n": 0}]


def test_nodes_are_found_by_the_names_and_numbers_that_the_database_has(neo4j_store: Neo4jStore) -> None:
    key = RelationKey("user", "rated", "movie")
    user, movie = "Us`er \N{GRINNING FACE}", "Mo'vie"
    graph = KnowledgeGraph.build(
        Schema(
            node_types={
                "user": NodeType(name="user", label=user, key="e`mail"),
                "movie": NodeType(name="movie", label=movie, key="movieId", key_type="integer"),
            },
            relations={key: Relation(key=key)},
            item_type="movie",
        ),
        {"user": pa.table({"id": ["a@b", "c@d"]}), "movie": pa.table({"id": ["1", "2", "-30"]})},
        {key: pa.table({"src": ["a@b"], "dst": ["-30"]})},
    )
    load_into(neo4j_store, graph)
    facts = write_back(neo4j_store, graph.schema, make_results(graph, "run'1", k=2))
    assert (facts.candidates, facts.missing) == (4, 0)
    assert len(candidates(neo4j_store, graph, "c@d")) == 2
    assert {row["item"] for row in candidates(neo4j_store, graph, "c@d")} <= {"1", "2", "-30"}
    assert len(similar(neo4j_store, graph, "2", 3)) == 1  # of the three, the first has no vector


def test_nodes_without_an_index_on_their_ids_get_one(neo4j_store: Neo4jStore, graph: KnowledgeGraph) -> None:
    load_into(neo4j_store, graph)
    for row in neo4j_store.read("SHOW CONSTRAINTS YIELD name, labelsOrTypes WHERE labelsOrTypes = ['User']"):
        neo4j_store.write(f"DROP CONSTRAINT `{row['name']}`")
    write_back(neo4j_store, graph.schema, make_results(graph, "run-1"))
    names = {row["name"] for row in neo4j_store.read("SHOW INDEXES YIELD name")}
    assert "graphrecall_key_user" in names
    assert "graphrecall_key_movie" not in names


def test_ready_queries_tell_whom_an_item_is_offered_and_who_is_alike(loaded: Neo4jStore, graph: KnowledgeGraph) -> None:
    results = make_results(graph, "run-1")
    write_back(loaded, graph.schema, results)
    ready = neo4j_queries(graph.schema)
    found = loaded.query(ready["users_for_item"].query(item_id="m5", k=100))
    rows = [row for row in results.candidates.to_pylist() if row["item_id"] == "m5"]
    assert [(row["rank"], row["user"]) for row in found] == sorted((row["rank"], row["user_id"]) for row in rows)
    users = results.vectors["users"][1]
    unit = users / np.linalg.norm(users, axis=1, keepdims=True)
    at = graph.users.index(["u4"])[0]
    best = [n for n in np.argsort(-(unit @ unit[at])) if n != at][:3]
    found = loaded.query(ready["similar_users"].query(user_id="u4", k=3))
    assert [row["user"] for row in found] == graph.users.ids.take(pa.array(best)).to_pylist()


def test_a_ready_query_joins_candidates_with_what_the_user_liked(loaded: Neo4jStore, graph: KnowledgeGraph) -> None:
    results = make_results(graph, "run-1")
    write_back(loaded, graph.schema, results)
    found = loaded.query(neo4j_queries(graph.schema)["candidates_and_why"].query(user_id="u4", k=1000))
    rank = {row["item_id"]: row["rank"] for row in results.candidates.to_pylist() if row["user_id"] == "u4"}
    liked = {
        row["m"] for row in loaded.read("MATCH (:User {id: 'u4'})-[r:RATED]->(m) WHERE r.rating >= 4 RETURN m.id AS m")
    }
    shared: dict[Any, set[str]] = {}
    for key in (("GENRE", "genre"), ("DIRECTOR", "director"), ("STARRING", "starring"), ("HAS_TAG", "has_tag")):
        relation = next(r for k, r in graph.schema.relations.items() if k.name == key[1])
        rows = loaded.read(f"MATCH (m:Movie)-[:`{relation.cypher_type}`]->(x) RETURN DISTINCT m.id AS m, x.id AS x")
        for one in rows:
            for other in rows:
                if one["x"] == other["x"] and one["m"] != other["m"] and one["m"] in rank and other["m"] in liked:
                    shared.setdefault((one["m"], key[1], one["x"]), set()).add(other["m"])
    expected = sorted((item, rank[item], x, len(items)) for (item, _, x), items in shared.items())
    assert sorted((row["item"], row["rank"], row["shared"], row["liked"]) for row in found) == expected


class BrokenOffError(Exception):
    pass


class Breaking:
    """Lets some transactions of a mark through, then none."""

    transaction: Callable[..., Any] = Mark._transaction

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, mark: Mark, work: Any) -> Any:
        if self.left == 0:
            raise BrokenOffError
        self.left -= 1
        return Breaking.transaction(mark, work)


def test_a_write_back_broken_off_anywhere_is_finished_or_removed_by_the_next(
    loaded: Neo4jStore, graph: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_back(loaded, graph.schema, make_results(graph, "run-0"))
    served = "run-0"
    steps = 0
    while True:
        breaking = Breaking(steps)
        broken = make_results(graph, f"run-{steps}-broken", seed=steps)
        with monkeypatch.context() as patch:
            patch.setattr(Mark, "_transaction", lambda mark, work, do=breaking: do(mark, work))
            try:
                write_back(loaded, graph.schema, broken, batch=100)
            except BrokenOffError:
                pass
            else:
                break  # so many steps it takes
        (run,) = {row["run"] for row in candidates(loaded, graph, "u3")}
        assert run in (served, broken.run)
        following = broken if steps % 2 else make_results(graph, f"run-{steps}", seed=100 + steps)
        assert write_back(loaded, graph.schema, following, batch=100).missing == 0
        served = following.run
        pointer = serving(loaded)
        assert pointer is not None
        assert pointer["run"] == served
        assert leftovers(loaded) == {"slots": {pointer["slot"]: 150}, "a": 0, "b": 0, "indexes": 2, pointer["slot"]: 69}
        expected = [row["item_id"] for row in following.candidates.to_pylist() if row["user_id"] == "u29"]
        assert [row["item"] for row in candidates(loaded, graph, "u29")] == expected
        steps += 1 if steps < 5 else 4
    assert steps > 9


def test_readers_never_see_two_runs_nor_half_of_one(loaded: Neo4jStore, graph: KnowledgeGraph) -> None:
    expected = {}
    every = [make_results(graph, f"run-{number}", seed=number) for number in range(4)]
    for results in every:
        for row in results.candidates.to_pylist():
            expected.setdefault((results.run, row["user_id"]), []).append(row["item_id"])
    write_back(loaded, graph.schema, every[0])
    stop = threading.Event()
    wrong: list[Any] = []
    seen: set[str] = set()
    answers = [0]

    def read() -> None:
        at = 0
        while not stop.is_set():
            user = f"u{at % 30}"
            at += 1
            try:
                rows = candidates(loaded, graph, user)
                runs = {row["run"] for row in rows}
                seen.update(runs)
                if len(runs) != 1 or [row["item"] for row in rows] != expected[runs.pop(), user]:
                    wrong.append(rows)
                near = similar(loaded, graph, "m7", 39)
                if len(near) != 38:
                    wrong.append(near)
                answers[0] += 1
            except BaseException as error:
                wrong.append(error)
                return

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for results in every[1:]:
        write_back(loaded, graph.schema, results, batch=40)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(seen) > 1
    assert answers[0] > 20


def test_a_reader_that_began_before_the_pointer_moved_reads_its_run_to_the_end(
    loaded: Neo4jStore, graph: KnowledgeGraph
) -> None:
    write_back(loaded, graph.schema, make_results(graph, "run-0"))
    loaded.write("MATCH (p:GraphrecallPointer) SET p.written = datetime() - duration('PT1M')")
    following = make_results(graph, "run-1", seed=1)
    writer = threading.Thread(target=write_back, args=(loaded, graph.schema, following))
    with loaded.driver.session() as session, session.begin_transaction() as transaction:
        (row,) = transaction.run("MATCH (p:GraphrecallPointer) RETURN p {.*} AS pointer").data()
        old = row["pointer"]
        writer.start()
        while (serving(loaded) or old)["run"] == "run-0":
            time.sleep(0.05)
        time.sleep(0.5)  # time enough to remove everything
        rows = transaction.run(
            "MATCH (:User {id: 'u3'})-[c:GRAPHRECALL_CANDIDATE {slot: $slot}]->() RETURN c.run AS run", slot=old["slot"]
        ).data()
        near = transaction.run(
            "MATCH (m:Movie {id: 'm7'}) CALL db.index.vector.queryNodes($index, 5, m[$vector]) YIELD node RETURN node",
            {"index": old["items_index"], "vector": old["vector"]},
        ).data()
    writer.join()
    assert [row["run"] for row in rows] == ["run-0"] * K
    assert len(near) == 5
    assert leftovers(loaded) == {"slots": {"b": 150}, "a": 0, "b": 69, "indexes": 2}


def test_two_write_backs_of_one_run_at_once_write_it_once(loaded: Neo4jStore, graph: KnowledgeGraph) -> None:
    write_back(loaded, graph.schema, make_results(graph, "run-0"))
    failed: list[BaseException] = []

    def write() -> None:
        try:
            write_back(loaded, graph.schema, make_results(graph, "run-1", seed=1), batch=10, progress=SILENT)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert leftovers(loaded) == {"slots": {"b": 150}, "a": 0, "b": 69, "indexes": 2}


def test_of_two_runs_at_once_the_later_one_serves_and_the_other_says_so(
    loaded: Neo4jStore, graph: KnowledgeGraph
) -> None:
    first, second = make_results(graph, "run-1", seed=1), make_results(graph, "run-2", seed=2)
    taken = threading.Event()

    class Interrupting:
        def task(self, description: str, *, total: int | None = None) -> Any:
            if description == "writing candidates" and not taken.is_set():
                taken.set()
                write_back(loaded, graph.schema, second)
            return SILENT.task(description, total=total)

    with pytest.raises(StoreError, match="another write-back took over"):
        write_back(loaded, graph.schema, first, progress=Interrupting())
    pointer = serving(loaded)
    assert pointer is not None
    assert pointer["run"] == "run-2"
    assert leftovers(loaded) == {"slots": {"a": 150}, "a": 69, "b": 0, "indexes": 2}
