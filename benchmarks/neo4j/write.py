"""How fast a graph goes into Neo4j, beside plain UNWIND batches, and how fast the results of a run go back into it.

The graph is made up: users, items and what the users did, with three values each. Both loaders write the same rows into
an empty database with the same constraints, in batches of the same size; the plain one keeps no mark, so it can neither
go on after it was killed nor be started twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.movies_data import bundled
from benchmarks.neo4j.run import Context
from kg import Event, KnowledgeGraph, NodeType, Relation, RelationKey, Schema
from kg.progress import Task
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.write.load import load_into
from kg.stores.neo4j.write.write_back import Results, write_back

USERS, ITEMS, EACH = 20_000, 10_000, 15
BATCH = 10_000
DIM, K = 64, 20
RATED = RelationKey("user", "rated", "item")


def run(context: Context) -> list[dict[str, Any]]:
    """Rows of loads and of a write-back."""
    graph = made_up()
    edges = graph.edges[RATED].num_rows
    rows: list[dict[str, Any]] = []
    with context.open() as store:
        plain_load(store, graph, batch=BATCH, progress=Stopwatch())  # a server that has just started is slow
        for system, load in (("plain UNWIND batches", plain_load), ("graphrecall load", load_into)) * 2:
            empty(store)
            stopwatch = Stopwatch()
            start = time.perf_counter()
            load(store, graph, batch=BATCH, progress=stopwatch)
            seconds = time.perf_counter() - start
            per = round(edges / stopwatch.seconds["loading RATED"])
            rows.append(
                {
                    "what": "load",
                    "system": system,
                    "relationships": edges,
                    "relationships/s": per,
                    "nodes/s": round(
                        (USERS + ITEMS) / (stopwatch.seconds["loading User"] + stopwatch.seconds["loading Item"])
                    ),
                    "seconds": round(seconds, 1),
                }
            )
            context.keep(rows)
        for run_id in ("first", "second"):
            rows += written_back(store, graph, run_id)
            context.keep(rows)
        empty(store)
        movies, _ = bundled()
        start = time.perf_counter()
        facts = load_into(store, movies)
        seconds = time.perf_counter() - start
        count = sum(facts.relationships.values())
        rows.append({"what": "load", "system": "graphrecall load, the bundled movies", "relationships": count})
        rows[-1] |= {"relationships/s": round(count / seconds), "seconds": round(seconds, 1)}
    return rows


def made_up() -> KnowledgeGraph:
    """Each user rated some random items."""
    random = np.random.default_rng(0)
    items = np.concatenate([random.choice(ITEMS, size=EACH, replace=False) for _ in range(USERS)])
    count = USERS * EACH
    schema = Schema(
        node_types={"user": NodeType(name="user"), "item": NodeType(name="item")},
        relations={RATED: Relation(key=RATED, event=Event())},
        interaction=RATED,
    )
    tables = {
        "user": pa.table({"id": [f"u{n}" for n in range(USERS)]}),
        "item": pa.table({"id": [f"i{n}" for n in range(ITEMS)], "name": [f"Item number {n}" for n in range(ITEMS)]}),
    }
    rated = pa.table(
        {
            "src": [f"u{n}" for n in np.repeat(np.arange(USERS), EACH).tolist()],
            "dst": [f"i{n}" for n in items.tolist()],
            "rating": random.choice([1.0, 2.0, 3.0, 4.0, 5.0], size=count),
            "timestamp": random.integers(1_000_000_000, 1_700_000_000, size=count),
            "weight": random.random(count),
        }
    )
    return KnowledgeGraph.build(schema, tables, {RATED: rated})


def plain_load(store: Neo4jStore, graph: KnowledgeGraph, *, batch: int, progress: Stopwatch) -> None:
    """What people write by hand: constraints, then UNWIND of a list of maps."""
    for name, table in graph.nodes.items():
        label = graph.schema.node_types[name].label
        store.write(f"CREATE CONSTRAINT FOR (n:{label}) REQUIRE n.id IS UNIQUE")
        with progress.task(f"loading {label}"):
            for start in range(0, table.num_rows, batch):
                rows = table.slice(start, batch).to_pylist()
                store.write(f"UNWIND $rows AS row CREATE (n:{label}) SET n = row", {"rows": rows})
    table = graph.edges[RATED]
    named = table.set_column(0, "src", graph.users.take(table["src"].to_numpy()))
    named = named.set_column(1, "dst", graph.items.take(table["dst"].to_numpy()))
    with progress.task("loading RATED"):
        for start in range(0, named.num_rows, batch):
            store.write(
                "UNWIND $rows AS row MATCH (a:User {id: row.src}) MATCH (b:Item {id: row.dst}) "
                "CREATE (a)-[r:RATED]->(b) "
                "SET r.rating = row.rating, r.timestamp = row.timestamp, r.weight = row.weight",
                {"rows": named.slice(start, batch).to_pylist()},
            )


def written_back(store: Neo4jStore, graph: KnowledgeGraph, run_id: str) -> list[dict[str, Any]]:
    """Write random results; the second time those of the run before are removed, too."""
    random = np.random.default_rng(len(run_id))
    vectors = {
        "items": (graph.items.ids, random.normal(size=(ITEMS, DIM)).astype(np.float32)),
        "users": (graph.users.ids, random.normal(size=(USERS, DIM)).astype(np.float32)),
    }
    place = (random.integers(ITEMS, size=(USERS, 1)) + np.arange(K)) % ITEMS
    candidates = pa.table(
        {
            "user_id": graph.users.take(np.repeat(np.arange(USERS), K)),
            "item_id": graph.items.take(place.reshape(-1)),
            "score": random.random(USERS * K).astype(np.float32),
            "rank": np.tile(np.arange(1, K + 1, dtype=np.int32), USERS),
            "source": pa.repeat(pa.scalar("lightgcn"), USERS * K),
        }
    )
    stopwatch = Stopwatch()
    start = time.perf_counter()
    write_back(
        store, graph.schema, Results(run=run_id, k=K, candidates=candidates, vectors=vectors), progress=stopwatch
    )
    whole = time.perf_counter() - start
    shown = stopwatch.seconds
    system = f"graphrecall write-back, {run_id} run"
    writing = shown["writing vectors of items"] + shown["writing vectors of users"]
    indexing = shown["building the vector index of Item"] + shown["building the vector index of User"]
    return [
        {
            "what": "write-back",
            "system": system,
            "vectors": USERS + ITEMS,
            "dim": DIM,
            "vectors/s": round((USERS + ITEMS) / writing),
            "index_seconds": round(indexing, 1),
            "candidates": USERS * K,
            "candidates/s": round(USERS * K / shown["writing candidates"]),
            "removing_seconds": round(shown["removing the results of the run before"], 1),
            "seconds": round(whole, 1),
        }
    ]


def empty(store: Neo4jStore) -> None:
    """Remove everything."""
    store.auto_commit("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 2000 ROWS")
    for row in store.read("SHOW CONSTRAINTS YIELD name"):
        store.write(f"DROP CONSTRAINT `{row['name']}`")
    for row in store.read("SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP' RETURN name"):
        store.write(f"DROP INDEX `{row['name']}`")


class Stopwatch:
    """Measures how long each task takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Task]:
        start = time.perf_counter()
        yield _Deaf()
        self.seconds[description] = self.seconds.get(description, 0.0) + time.perf_counter() - start


class _Deaf:
    def advance(self, steps: int = 1) -> None: ...

    def note(self, text: str) -> None: ...
