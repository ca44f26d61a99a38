"""Results of a run, written into Neo4j: vectors with an index, and candidates as relationships.

There are two slots, `a` and `b`. The results of a new run go into the slot that does not serve, in batches; then one
small transaction moves the pointer, a node that names run, slot and indexes; then the old slot is emptied, after the
queries that were reading it have ended. So no query that follows the pointer sees two runs. A write-back that was
killed is finished by the next of the same run, and removed by the next of another.

    (:GraphrecallPointer {name: "serving", run, slot, vector, items_index, users_index, k, dim, written})
    (user)-[:GRAPHRECALL_CANDIDATE {slot, run, rank, score, source}]->(item)
    (item {graphrecall_vector_a: [...]}) in the vector index graphrecall_items_a_1a2b3c4d

The index compares by cosine: it gives similar items, not the score that serves.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from neo4j import ManagedTransaction

from kg.cypher.query import quote
from kg.errors import StoreError
from kg.progress import SILENT, Progress
from kg.schema import NodeType, Schema
from kg.stores.base import Row
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.own_names import LABEL_PREFIX, PROPERTY_PREFIX, TYPE_PREFIX
from kg.stores.neo4j.write.batches import MARK, Mark, Piece, ensure
from kg.stores.neo4j.write.digests import tables_digest

JOB = "write-back"
POINTER = f"{LABEL_PREFIX}Pointer"
CANDIDATE = f"{TYPE_PREFIX}CANDIDATE"
VECTOR = f"{PROPERTY_PREFIX}vector_"
SERVING = {"name": "serving"}
ROLES = ("items", "users")
CLEARING, WRITING, SERVED, FINISHED = "clearing", "writing", "served", "finished"

_REMOVED_AT_ONCE = 20_000
_NUMBERS_AT_ONCE = 200_000
_PROBED = 1000
_READERS_SECONDS = 60.0
_MOVING_MILLISECONDS = 5000  # the pointer is seen some time after the moment that it names


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The results of one run.

    Attributes:
        run: its id.
        k: candidates a user at most.
        candidates: Arrow table `user_id, item_id, score, rank, source`.
        vectors: "items", "users" or both -> external ids (Arrow strings) and float32 (n, dim).
    """

    run: str
    k: int
    candidates: Any
    vectors: Mapping[str, tuple[Any, npt.NDArray[np.float32]]]

    @property
    def content(self) -> str:
        """A digest of all of it."""
        tables = [("candidates", self.candidates)]
        for role, (ids, matrix) in self.vectors.items():
            values = pa.array(np.ascontiguousarray(matrix, dtype=np.float32).reshape(-1))
            tables += [(f"{role} ids", pa.table({"id": ids})), (role, pa.table({"value": values}))]
        return tables_digest(tables, more=[self.run, self.k])


@dataclass(frozen=True, slots=True)
class WriteBackFacts:
    """The outcome of a write-back.

    Attributes:
        run: the one that the pointer names now.
        status: "written", or "unchanged" when all of it was there.
        vectors: role -> vectors of this run.
        candidates: relationships of this run.
        missing: vectors and candidates whose nodes the database lacks.
    """

    run: str
    status: str
    vectors: dict[str, int]
    candidates: int
    missing: int

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return asdict(self)


def serving(store: Neo4jStore) -> Row | None:
    """The properties of the pointer, or None where nothing was written back."""
    rows = store.read(f"MATCH (p:{POINTER} {{name: $name}}) RETURN p {{.*}} AS pointer", SERVING)
    return dict(rows[0]["pointer"]) if rows else None


def finished(store: Neo4jStore, *, run: str, k: int, roles: Iterable[str]) -> WriteBackFacts | None:
    """The facts of a run's write-back if its results serve and nothing of another run is left, else None."""
    pointer, mark = serving(store), Mark.read(store, JOB)
    if pointer is None or mark is None or mark.get("phase") != FINISHED or mark["content"] != pointer["content"]:
        return None
    if (pointer["run"], pointer["k"], pointer["roles"]) != (run, k, sorted(set(roles))):
        return None
    return _facts(pointer, "unchanged")


def write_back(
    store: Neo4jStore, schema: Schema, results: Results, *, batch: int = 10_000, progress: Progress = SILENT
) -> WriteBackFacts:
    """Write the results of a run and let them serve.

    Args:
        store: the database that holds the graph.
        schema: how the database calls users and items.
        results: of a run.
        batch: candidates a transaction.
        progress: listener.

    Raises:
        StoreError: the database does not hold these users and items, or another write-back took over.
    """
    user, item = schema.node_types[schema.user_type], schema.node_types[schema.item_type]
    types = {"items": item, "users": user}
    vectors = {role: _nonzero(*results.vectors[role]) for role in ROLES if role in results.vectors}
    for node_type, ids in ((item, results.candidates["item_id"]), (user, results.candidates["user_id"])):
        _check_there(store, node_type, ids)
        _ensure_key_index(store, node_type)
    ensure(store, f"CREATE CONSTRAINT graphrecall_pointer IF NOT EXISTS FOR (p:{POINTER}) REQUIRE p.name IS UNIQUE")

    content = results.content
    mark = Mark(store, JOB, content)
    state = _claim(mark, results.run, [user.label, item.label])
    slot = str(state["slot"])
    if state["phase"] == CLEARING:
        _clear(mark, CLEARING, serving(store), state["labels"])
        mark.in_turn("RETURN 1", phase=CLEARING, then=WRITING)
    if state["phase"] in (CLEARING, WRITING):
        pieces = [_vector_piece(role, types[role], slot, *vectors[role]) for role in vectors]
        pieces.append(_candidate_piece(results, user, item, slot, batch))
        written = _write(mark, pieces, int(state["done"]), progress)
        facts: Row = {
            **SERVING,
            "run": results.run,
            "slot": slot,
            "content": content,
            "k": results.k,
            "roles": sorted(results.vectors),
            "vector": VECTOR + slot,
            "candidates": len(results.candidates),
            "missing": max(0, sum(piece.rows for piece in pieces) - written),
        }
        for role, (ids, matrix) in vectors.items():
            facts[f"{role}_vectors"] = len(ids)
            if len(ids):
                facts[f"{role}_index"] = _index_name(role, slot, content)
                _make_index(store, facts[f"{role}_index"], types[role], slot, matrix.shape[1], progress)
        move = f"MERGE (p:{POINTER} {{name: $facts.name}}) SET p = $facts, p.written = datetime()"
        mark.in_turn(move, {"facts": facts}, phase=WRITING, then=SERVED)
    pointer = serving(store)
    if pointer is None or pointer["content"] != content:
        raise StoreError(f"{store.name}: another {JOB} took over, or its pointer was removed: start again")
    if state["phase"] != FINISHED:
        with progress.task("removing the results of the run before", total=1) as task:
            _clear(mark, SERVED, pointer, state["labels"])
            mark.in_turn("RETURN 1", phase=SERVED, then=FINISHED)
            task.advance()
    return _facts(pointer, "unchanged" if state["phase"] == FINISHED else "written")


def _claim(mark: Mark, run: str, labels: list[str]) -> Row:
    """The mark of this write-back, which may be half done; one of another content gives way."""

    def begin(transaction: ManagedTransaction) -> Row:
        previous = transaction.run(
            f"OPTIONAL MATCH (p:{POINTER} {{name: $serving}}) OPTIONAL MATCH (m:{MARK} {{name: $job}}) "
            "RETURN p.slot AS slot, m.labels AS labels",
            {"serving": SERVING["name"], "job": JOB},
        ).single(strict=True)
        return {
            "run": run,
            "slot": "b" if previous["slot"] == "a" else "a",
            "labels": sorted({*labels, *(previous["labels"] or ())}),
            "phase": CLEARING,
        }

    state = mark.claim(begin)
    pointer = serving(mark.store)
    if state["phase"] in (SERVED, FINISHED) and (pointer is None or pointer["content"] != mark.content):
        # Somebody removed the pointer by hand.
        query = f"MATCH (m:{MARK} {{name: $name}}) SET m.done = 0, m.written = 0 RETURN m {{.*}} AS mark"
        mark.in_turn(query, {"name": JOB}, phase=state["phase"], then=CLEARING)
        state = Mark.read(mark.store, JOB) or state
    return state


def _facts(pointer: Row, status: str) -> WriteBackFacts:
    return WriteBackFacts(
        run=str(pointer["run"]),
        status=status,
        vectors={role: int(pointer[f"{role}_vectors"]) for role in ROLES if f"{role}_vectors" in pointer},
        candidates=int(pointer["candidates"]),
        missing=int(pointer["missing"]),
    )


def _vector_piece(role: str, node_type: NodeType, slot: str, ids: Any, matrix: npt.NDArray[np.float32]) -> Piece:
    query = (
        f"UNWIND $rows AS row\nMATCH (n:{quote(node_type.label)} {{{quote(node_type.key)}: row[0]}})\n"
        "CALL db.create.setNodeVectorProperty(n, $property, row[1])\nRETURN count(*) AS written"
    )
    size = max(1, _NUMBERS_AT_ONCE // max(1, matrix.shape[1]))
    return Piece(
        name=f"writing vectors of {role}",
        query=query,
        columns=[ids, matrix],
        keys={0: node_type},
        size=size,
        values={"property": VECTOR + slot},
        whole=False,
    )


def _candidate_piece(results: Results, user: NodeType, item: NodeType, slot: str, batch: int) -> Piece:
    query = (
        f"UNWIND $rows AS row\nMATCH (u:{quote(user.label)} {{{quote(user.key)}: row[0]}})\n"
        f"MATCH (i:{quote(item.label)} {{{quote(item.key)}: row[1]}})\n"
        f"CREATE (u)-[:{CANDIDATE} {{slot: $slot, run: $run, rank: row[2], score: row[3], source: row[4]}}]->(i)\n"
        "RETURN count(*) AS written"
    )
    columns = [results.candidates[name] for name in ("user_id", "item_id", "rank", "score", "source")]
    return Piece(
        name="writing candidates",
        query=query,
        columns=columns,
        keys={0: user, 1: item},
        size=batch,
        values={"slot": slot, "run": results.run},
        whole=False,
    )


def _write(mark: Mark, pieces: list[Piece], done: int, progress: Progress) -> int:
    """Write what is not yet there; returns how many rows were written."""
    mark.write_all(pieces, done, progress)
    written = int((Mark.read(mark.store, JOB) or {"written": 0})["written"])
    if any(piece.rows for piece in pieces) and not written:  # never let an empty slot serve
        raise StoreError(f"{mark.store.name}: users and items were removed while results were written: nothing serves")
    return written


def _make_index(store: Neo4jStore, name: str, node_type: NodeType, slot: str, dim: int, progress: Progress) -> None:
    """Make a vector index, and wait until it answers."""
    ensure(
        store,
        f"CREATE VECTOR INDEX {quote(name)} IF NOT EXISTS FOR (n:{quote(node_type.label)}) ON n.{quote(VECTOR + slot)} "
        "OPTIONS {indexConfig: {`vector.dimensions`: $dim, `vector.similarity_function`: 'cosine', "
        "`vector.quantization.enabled`: false}}",
        {"dim": dim},
    )
    with progress.task(f"building the vector index of {node_type.label}", total=100) as task:
        shown = 0
        while True:
            rows = store.read(
                "SHOW VECTOR INDEXES YIELD name, state, populationPercent WHERE name = $name "
                "RETURN state, populationPercent AS percent",
                {"name": name},
            )
            if not rows or rows[0]["state"] == "FAILED":
                raise StoreError(f"{store.name} could not build the vector index {name}: start the write-back again")
            task.advance(max(0, int(rows[0]["percent"]) - shown))
            shown = max(shown, int(rows[0]["percent"]))
            if rows[0]["state"] == "ONLINE":
                return
            time.sleep(0.1)


def _clear(mark: Mark, phase: str, pointer: Mapping[str, Any] | None, labels: Iterable[str]) -> None:
    """Remove everything that was written back, but for what the pointer names."""
    store = mark.store
    kept = {} if pointer is None else {str(pointer.get(f"{role}_index")) for role in ROLES}
    slot = "" if pointer is None else str(pointer["slot"])
    # Listed while the mark is ours, because the indexes of a writer that takes over later must stay.
    stale = mark.in_turn(
        "SHOW VECTOR INDEXES YIELD name WHERE name STARTS WITH $prefix AND NOT name IN $kept RETURN name",
        {"prefix": PROPERTY_PREFIX, "kept": sorted(kept)},
        phase=phase,
    )
    _let_readers_finish(store)
    for row in stale or ():
        store.write(f"DROP INDEX {quote(row['name'])} IF EXISTS")
    queries = [f"MATCH ()-[c:{CANDIDATE}]->() WHERE c.slot <> $slot WITH c LIMIT $limit DELETE c RETURN count(*) AS n"]
    for label in labels:
        for other in {"a", "b"} - {slot}:
            name = quote(VECTOR + other)
            queries.append(
                f"MATCH (n:{quote(label)}) WHERE n.{name} IS NOT NULL WITH n LIMIT $limit "
                f"REMOVE n.{name} RETURN count(*) AS n"
            )
    for query in queries:
        removed: list[Row] | None = [{"n": _REMOVED_AT_ONCE}]
        while removed is not None and removed[0]["n"] == _REMOVED_AT_ONCE:
            removed = mark.in_turn(query, {"slot": slot, "limit": _REMOVED_AT_ONCE}, phase=phase)


def _let_readers_finish(store: Neo4jStore) -> None:
    """Wait for the transactions that began before the pointer moved: they may go by where it pointed then."""
    rows = store.read(
        f"MATCH (p:{POINTER} {{name: $name}}) RETURN duration.inSeconds(p.written, datetime()).milliseconds AS age",
        SERVING,
    )
    if not rows:
        return

    def running(least: int) -> set[str]:
        rows = store.read(
            "SHOW TRANSACTIONS YIELD transactionId, elapsedTime WHERE elapsedTime.milliseconds >= $least "
            "RETURN transactionId AS id",
            {"least": least},
        )
        return {str(row["id"]) for row in rows}

    deadline = time.monotonic() + _READERS_SECONDS
    waited_for = running(int(rows[0]["age"]) - _MOVING_MILLISECONDS)
    while waited_for and time.monotonic() < deadline:
        time.sleep(0.05)
        waited_for &= running(0)


def _check_there(store: Neo4jStore, node_type: NodeType, ids: Any) -> None:
    """Notice a database of another graph before anything is written into it."""
    some = list(dict.fromkeys(ids.slice(0, 100 * _PROBED).to_pylist()))[:_PROBED]
    (row,) = store.read(
        f"MATCH (n:{quote(node_type.label)}) WHERE n.{quote(node_type.key)} IN $keys RETURN count(n) AS n",
        {"keys": [node_type.key_value(id) for id in some]},
    )
    if some and not row["n"]:
        raise StoreError(
            f"{store.name} holds none of the first {len(some)} nodes {node_type.label} of the run by their property "
            f"{node_type.key!r}: write back into the database that the graph is from, or run `graphrecall load` first"
        )


def _ensure_key_index(store: Neo4jStore, node_type: NodeType) -> None:
    """Without an index on the ids each row of a batch would look at every node."""
    rows = store.read("SHOW INDEXES YIELD type, labelsOrTypes, properties WHERE type = 'RANGE' RETURN *")
    if not any((row["labelsOrTypes"], row["properties"]) == ([node_type.label], [node_type.key]) for row in rows):
        name = f"{PROPERTY_PREFIX}key_{node_type.name}"
        pattern = f"(n:{quote(node_type.label)}) ON (n.{quote(node_type.key)})"
        ensure(store, f"CREATE INDEX {quote(name)} IF NOT EXISTS FOR {pattern}")
        store.read("CALL db.awaitIndex($name, 600)", {"name": name}, timeout=600)


def _index_name(role: str, slot: str, content: str) -> str:
    # A new name each time: a writer that drops an old index must not drop a new one.
    return f"{PROPERTY_PREFIX}{role}_{slot}_{content[:8]}"


def _nonzero(ids: Any, matrix: npt.NDArray[np.float32]) -> tuple[Any, npt.NDArray[np.float32]]:
    """Without zero vectors, which have no direction: Neo4j refuses them."""
    kept = np.isfinite(matrix).all(axis=1) & matrix.any(axis=1)
    return ids.filter(pa.array(kept)), matrix[kept]
