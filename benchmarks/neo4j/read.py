"""How fast relationships come out of Neo4j into Parquet, beside a reader of a record a row, and in how much memory.

The record-a-row readers send one query for all relationships with the ids of both ends, and only look at each record:
that is less than what graphrecall's reader does, which writes Parquet pages that are flushed to disk. All readers work
on the same database, in turns, each in a process of its own; the fastest of its turns counts, its peak memory is all
the process ever held, interpreter and libraries included. "Pure driver" is the same without neo4j-rust-ext.

The graph grows from 0.2 to 2 million relationships; the last million ends at one node.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.neo4j.run import PASSWORD_ENV, ROOT, Context
from kg.stores.neo4j.client import Neo4jStore

USERS, ITEMS = 20_000, 10_000
SIZES = (200_000, 500_000, 1_000_000, 2_000_000)
COMPARED = 500_000
HUB_FROM = 1_000_000
TURNS = 3

HARNESS = """
import json, os, sys, time
from pathlib import Path

uri, variable, folder, pure = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4] == "pure"
if pure:
    sys.modules["neo4j._rust"] = None
from neo4j import GraphDatabase
from neo4j._codec.packstream import v1
assert (v1._rust_unpack is None) == pure
import pyarrow.compute, pyarrow.parquet
import kg.stores.neo4j.read.reading
def peak():
    # ru_maxrss would begin with the peak of the process that started this one.
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024

imported = peak()
seconds = {}
{body}
print(json.dumps({**seconds, "count": count, "imported_mb": imported, "peak_mb": peak()}))
"""
ROWS = """
query = (
    "MATCH (u:User)-[r:RATED]->(i:Item) "
    "RETURN u.id AS user, i.id AS item, r.rating AS rating, r.timestamp AS timestamp, r.weight AS weight"
)
count = 0
with GraphDatabase.driver(uri, auth=("neo4j", os.environ[variable])) as driver, driver.session(**{options}) as session:
    session.run("RETURN 1").consume()
    started = time.perf_counter()
    for record in session.run(query):
        count += 1
    seconds["relationships_s"] = time.perf_counter() - started
"""
PAGES = """
from contextlib import contextmanager
from kg.stores import reading, snapshot
from kg.stores.neo4j.read.catalog import discover
from kg.stores.neo4j.connection import Neo4jConnection

reading.SESSIONS = {sessions}
class Watch:
    @contextmanager
    def task(self, description, *, total=None):
        class Task:
            def advance(self, steps=1): pass
            def note(self, text): pass
        started = time.perf_counter()
        yield Task()
        seconds[description] = time.perf_counter() - started

started = time.perf_counter()
with Neo4jConnection(uri=uri, password_env=variable, timeout=600.0).open() as store:
    plan = snapshot.ReadPlan(labels=("User", "Item"), types=("RATED",))
    read = reading.read_snapshot(store, folder, plan, progress=Watch())
seconds = {"relationships_s": seconds["read relationships"], "all_s": time.perf_counter() - started}
count = sum(group["rows"] for group in snapshot.page_groups(folder)["relationships"])
"""
SYSTEMS = {
    "a record a row, default fetch size": ROWS.replace("{options}", "{}"),
    "a record a row, fetch size 10,000": ROWS.replace("{options}", "{'fetch_size': 10_000}"),
    "graphrecall, one session": PAGES.replace("{sessions}", "1"),
    "graphrecall": PAGES.replace("{sessions}", str(2)),
}
PEERS = tuple(SYSTEMS)[:2]


def run(context: Context) -> list[dict[str, Any]]:
    """Rows of speed at one size, then of memory as the graph grows."""
    rows: list[dict[str, Any]] = []
    growth: list[dict[str, Any]] = []
    with context.open() as store:
        make_nodes(store)
        done = 0
        for size in SIZES:
            make_relationships(store, done, size)
            done = size
            if size == COMPARED:
                rows += compare(context, size)
                context.keep([*rows, *growth])
            growth.append(grown(context, size))
            context.keep([*rows, *growth])
    return [*rows, *growth]


def compare(context: Context, size: int) -> list[dict[str, Any]]:
    """All readers in turns, with and without the driver's Rust part."""
    results: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for _ in range(TURNS):
        for driver in ("rust", "pure"):
            for system, body in SYSTEMS.items():
                reading = measure(context, body, driver)
                if reading["count"] != size:
                    raise RuntimeError(f"{system} read {reading['count']} relationships of {size}")
                results.setdefault((system, driver), []).append(reading)
    rates = {key: size / min(reading["relationships_s"] for reading in readings) for key, readings in results.items()}
    rows = []
    for (system, driver), rate in rates.items():
        row: dict[str, Any] = {
            "what": "speed",
            "system": system,
            "driver": driver,
            "relationships": size,
            "relationships/s": round(rate),
        }
        if system not in PEERS:
            row |= {
                f"times_{name.removeprefix('a record a row, ')}": round(rate / rates[name, driver], 1) for name in PEERS
            }
            everything = min(result["all_s"] for result in results[system, driver])
            row["everything/s"] = round(size / everything)
        row["peak_mb"] = round(max(result["peak_mb"] for result in results[system, driver]))
        rows.append(row)
    return rows


def grown(context: Context, size: int) -> dict[str, Any]:
    """The whole snapshot of the graph as it is now."""
    reading = measure(context, SYSTEMS["graphrecall"], "rust")
    if reading["count"] != size:
        raise RuntimeError(f"{reading['count']} relationships were read of {size}")
    return {
        "what": "growth",
        "system": "graphrecall",
        "driver": "rust",
        "relationships": size,
        "relationships/s": round(size / reading["relationships_s"]),
        "everything/s": round(size / reading["all_s"]),
        "peak_mb": round(reading["peak_mb"]),
        "imported_mb": round(reading["imported_mb"]),
    }


def measure(context: Context, body: str, driver: str) -> dict[str, Any]:
    """One turn of one reader in a process of its own."""
    folder = context.folder / f"pages-{time.monotonic_ns()}"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            HARNESS.replace("{body}", body),
            context.connection.uri,
            PASSWORD_ENV,
            str(folder),
            driver,
        ],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(ROOT),
        env=dict(os.environ),
    )
    reading: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return reading


def make_nodes(store: Neo4jStore) -> None:
    store.write("UNWIND range(0, $n - 1) AS i CREATE (:User {id: 'u' + i, number: i})", {"n": USERS})
    store.write("UNWIND range(0, $n - 1) AS i CREATE (:Item {id: 'i' + i, title: 'Item number ' + i})", {"n": ITEMS})
    for label in ("User", "Item"):
        store.auto_commit(f"CREATE CONSTRAINT FOR (n:{label}) REQUIRE n.id IS UNIQUE")
    store.auto_commit("CALL db.awaitIndexes()")


def make_relationships(store: Neo4jStore, start: int, end: int) -> None:
    """Three values each; beyond `HUB_FROM` all end at the first item."""
    store.auto_commit(
        "UNWIND range($start, $end - 1) AS k CALL (k) {"
        "  MATCH (u:User {id: 'u' + (k * 7919) % $users})"
        "  MATCH (i:Item {id: 'i' + CASE WHEN k < $hub THEN (k * 104729 + k / $items) % $items ELSE 0 END})"
        "  CREATE (u)-[:RATED {rating: 0.5 + (k % 10) / 2.0, timestamp: 1000000000 + k * 37, weight: k % 5}]->(i)"
        "} IN TRANSACTIONS OF 10000 ROWS",
        {"start": start, "end": end, "users": USERS, "items": ITEMS, "hub": HUB_FROM},
    )
