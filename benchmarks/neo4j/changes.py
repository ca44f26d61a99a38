"""What a nightly reading of a changing database costs: with a watermark, beside a reading of everything.

Each night a share of the relationships is new or has another rating, and the same share of the items is new or has
another title, half and half; then both ways of reading follow each other on the same database, and must come to the
same digest. "Without tombstones" a share of the relationships is deleted besides, so that all keys are compared.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks.neo4j.read import ITEMS, USERS, make_nodes, make_relationships
from benchmarks.neo4j.run import Context
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.read.catalog import discover
from kg.stores.neo4j.read.reading import read_snapshot
from kg.stores.neo4j.read.snapshot import ReadPlan, Snapshot
from kg.stores.neo4j.read.update import update_snapshot, why_whole

RELATIONSHIPS = 500_000
SHARES = (0.0, 0.001, 0.01, 0.05)
PLAN = ReadPlan(
    labels=("Item", "User"),
    types=("RATED",),
    keys={"Item": "id", "User": "id"},
    label_watermarks={"Item": "updated_at", "User": "updated_at"},
    type_watermarks={"RATED": "updated_at"},
    tombstone="deleted_at",
    hidden=("deleted_at", "updated_at"),
)
LONG_AGO = "datetime('2026-01-01T00:00:00Z') + duration({seconds: toInteger(rand() * 1000000)})"


def run(context: Context) -> list[dict[str, Any]]:
    """A row for each night."""
    rows: list[dict[str, Any]] = []
    with context.open() as store:
        make_nodes(store)
        make_relationships(store, 0, RELATIONSHIPS)
        for pattern in ("(x:User)", "(x:Item)", "()-[x:RATED]->()"):
            store.auto_commit(
                f"MATCH {pattern} CALL (x) {{ SET x.updated_at = {LONG_AGO} }} IN TRANSACTIONS OF 20000 ROWS"
            )
        kept = read_snapshot(store, context.folder / "first", PLAN)
        for night, (share, gone) in enumerate([*((share, False) for share in SHARES), (0.01, True)]):
            change(store, share, night)
            if gone:
                store.auto_commit(
                    "MATCH (u:User)-[x:RATED]->() WITH x, rand() AS r ORDER BY r LIMIT $n DELETE x",
                    {"n": round(share * RELATIONSHIPS)},
                )
            kept, row = compare(store, context.folder, kept, night)
            rows.append({"changed": f"{share:.1%}{', without tombstones' if gone else ''}", **row})
            context.keep(rows)
    return rows


def change(store: Neo4jStore, share: float, night: int) -> None:
    """A night's new and changed items and relationships."""
    now = {"now": f"2026-02-{night + 1:02d}T00:00:00Z", "night": night}
    items, ratings = round(share * ITEMS / 2), round(share * RELATIONSHIPS / 2)
    for query, count in (
        ("MATCH (x:Item) WITH x, rand() AS r ORDER BY r LIMIT $n SET x.title = 'Other'", items),
        ("UNWIND range(1, $n) AS i CREATE (x:Item {id: 'n' + $night + '-' + i, title: 'New'})", items),
        ("MATCH ()-[x:RATED]->() WITH x, rand() AS r ORDER BY r LIMIT $n SET x.rating = 1.0", ratings),
        (
            "UNWIND range(1, $n) AS k WITH k, 'u' + toInteger(rand() * $users) AS user, "
            "'i' + toInteger(rand() * $items) AS item MATCH (u:User {id: user}) MATCH (i:Item {id: item}) "
            "CREATE (u)-[x:RATED {rating: 5.0, timestamp: 2000000000 + k, weight: 1}]->(i)",
            ratings,
        ),
    ):
        if count:
            parameters = {**now, "n": count, "users": USERS, "items": ITEMS}
            store.write(f"{query} SET x.updated_at = datetime($now)", parameters)


def compare(store: Neo4jStore, folder: Path, kept: Snapshot, night: int) -> tuple[Snapshot, dict[str, Any]]:
    """Both ways of reading, each with its look at what the database holds."""
    discover(store)  # the server has what was written before in its memory for both
    started = time.perf_counter()
    catalog = discover(store)
    looked = time.perf_counter() - started
    if why := why_whole(kept, PLAN, catalog):
        raise RuntimeError(why)
    updated = update_snapshot(store, folder / f"night-{night}", kept, PLAN, catalog=catalog)
    if updated is None:
        raise RuntimeError("too much changed")
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    whole = read_snapshot(store, folder / "whole", PLAN, catalog=discover(store))
    whole_seconds = time.perf_counter() - started
    if whole.digest != updated.digest:
        raise RuntimeError("the two readings differ")
    shutil.rmtree(folder / "whole")
    shutil.rmtree(kept.folder)
    return updated, {
        "nodes_read": updated.read["nodes"],
        "relationships_read": updated.read["relationships"],
        "keys_compared": updated.read["compared"],
        "rows_of_all": round(
            (updated.read["nodes"] + updated.read["relationships"])
            / (whole.read["nodes"] + whole.read["relationships"]),
            4,
        ),
        "seconds": round(seconds, 2),
        "of_it_looking": round(looked, 2),
        "everything_s": round(whole_seconds, 2),
        "time_of_all": round(seconds / whole_seconds, 3),
    }
