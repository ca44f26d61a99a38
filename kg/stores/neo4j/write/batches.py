"""Batches that are written into Neo4j exactly once, also when writers are killed.

A mark, a node of graphrecall's own, records what is being written and how many rows of it are finished. Each batch
updates the mark in its own transaction. So a rerun goes on after the last batch that was committed; a commit whose
answer was lost with the connection is not made twice; and two writers of the same content share the work, because each
locks the mark before it reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from neo4j import ManagedTransaction, unit_of_work

from kg.errors import StoreError
from kg.progress import Progress
from kg.schema import NodeType
from kg.stores.base import Row
from kg.stores.neo4j.client import Neo4jStore, driver_errors
from kg.stores.neo4j.own_names import LABEL_PREFIX
from kg.stores.neo4j.values import sendable

MARK = f"{LABEL_PREFIX}Mark"
Result = TypeVar("Result")


def ensure(store: Neo4jStore, command: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Run CREATE ... IF NOT EXISTS of a constraint or an index; another writer may make the same at the same time."""
    try:
        store.write(command, parameters)
    except StoreError as error:
        if "EquivalentSchemaRuleAlreadyExists" not in str(error):
            raise


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows, and the query that writes them.

    Attributes:
        start: rows of the whole before this batch.
        rows: how many rows the batch has.
        query: Cypher that returns one column `written`, the number of rows that were written.
        parameters: its values.
        whole: rows whose node is gone are an error, and nothing of the batch is written.
    """

    start: int
    rows: int
    query: str
    parameters: Mapping[str, Any]
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Many rows of one kind, written batch by batch.

    Attributes:
        name: of the work, for progress.
        query: of each batch: `$rows` are lists with an entry a column, in order; see `Batch.query`.
        columns: Arrow columns or NumPy arrays of one length; matrices are lists of numbers to the database.
        keys: numbers of the columns that hold ids -> the node type whose key property the ids become.
        size: rows of a batch.
        values: further parameters of the query.
        whole: see `Batch.whole`.
    """

    name: str
    query: str
    columns: Sequence[Any]
    keys: Mapping[int, NodeType]
    size: int
    values: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = True

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.columns[0])

    def batch(self, start: int, *, at: int) -> Batch:
        """The batch from row `start` of the piece on, which is row `at` of all pieces together."""
        columns = [_values(column[start : start + self.size]) for column in self.columns]
        for number, node_type in self.keys.items():
            columns[number] = [node_type.key_value(id) for id in columns[number]]
        rows = [list(row) for row in zip(*columns, strict=True)]
        return Batch(at, len(rows), self.query, {"rows": rows, **self.values}, self.whole)


def _values(column: Any) -> list[Any]:
    """Python values; a list's nulls are left out, which no Neo4j list may hold."""
    if isinstance(column, np.ndarray):
        numbers: list[Any] = column.tolist()
        return numbers
    values: list[Any] = column.to_pylist()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return [value if value is None else [entry for entry in value if entry is not None] for value in values]
    return values


@dataclass(frozen=True, slots=True)
class Mark:
    """The record in the database of how far the writing of some content has come.

    Attributes:
        store: the database.
        name: of the job, "load".
        content: identifies the content, such as a digest.
    """

    store: Neo4jStore
    name: str
    content: str

    @staticmethod
    def read(store: Neo4jStore, name: str) -> Row | None:
        """The properties of a job's mark, `content`, `done` and `written` among them, or None."""
        rows = store.read(f"MATCH (m:{MARK} {{name: $name}}) RETURN m {{.*}} AS mark", {"name": name})
        return dict(rows[0]["mark"]) if rows else None

    def begin(self) -> Row:
        """The properties of the mark, which is made if there is none.

        Raises:
            StoreError: the job's mark is that of another content.
        """
        mark = self.claim(lambda _: None)
        if mark["content"] != self.content:
            raise self._lost()
        return mark

    def claim(self, facts: Callable[[ManagedTransaction], Mapping[str, Any] | None]) -> Row:
        """Make the mark this content's; batches of any other content are refused from then on.

        Args:
            facts: called if the mark is new or that of another content; further properties to begin with, or None to
                leave an existing mark alone.

        Returns:
            The mark's properties.
        """
        ensure(self.store, f"CREATE CONSTRAINT graphrecall_mark IF NOT EXISTS FOR (m:{MARK}) REQUIRE m.name IS UNIQUE")

        def work(transaction: ManagedTransaction) -> Row:
            node = f"(m:{MARK} {{name: $name}})"
            row = transaction.run(
                f"MERGE {node} SET m.turn = randomUUID() WITH m RETURN m {{.*}} AS mark", name=self.name
            ).single(strict=True)
            mark = dict(row["mark"])
            if mark.get("content") == self.content:
                return mark
            more = facts(transaction)
            if more is None and "content" in mark:
                return mark
            new = {"name": self.name, "content": self.content, "done": 0, "written": 0, **(more or {})}
            transaction.run(f"MATCH {node} SET m = $new", name=self.name, new=new).consume()
            return new

        return self._transaction(work)

    def write(self, batch: Batch) -> tuple[int, int]:
        """Write one batch, unless that has been done.

        Returns:
            How many rows of the whole are finished now, and how many of the batch's rows this call wrote.

        Raises:
            StoreError: a `whole` batch has rows whose node is gone, or the mark is gone or that of another content.
        """

        def work(transaction: ManagedTransaction) -> tuple[int, int]:
            done = int(self._locked(transaction)["done"])
            if done != batch.start:
                return done, 0
            row = transaction.run(batch.query, sendable(dict(batch.parameters))).single(strict=True)
            written = int(row["written"])
            if batch.whole and written != batch.rows:
                raise StoreError(
                    f"{self.store.name}: of {batch.rows} rows {written} were written, for want of a node to hang on: "
                    "somebody changes the database at the same time"
                )
            transaction.run(
                f"MATCH (m:{MARK} {{name: $name}}) SET m.done = $done, m.written = m.written + $written",
                {"name": self.name, "done": batch.start + batch.rows, "written": written},
            ).consume()
            return batch.start + batch.rows, written

        return self._transaction(work)

    def write_all(self, pieces: Sequence[Piece], done: int, progress: Progress) -> int:
        """Write those rows of all pieces that are not finished.

        Args:
            pieces: the whole, in an order that is always the same.
            done: rows that the mark counts as finished.
            progress: listener.

        Returns:
            How many rows this call wrote; others may have written at the same time, or before.

        Raises:
            StoreError: see `write`.
        """
        written, start = 0, 0
        for piece in pieces:
            end = start + piece.rows
            with progress.task(piece.name, total=piece.rows) as task:
                task.advance(min(max(done - start, 0), piece.rows))
                while start <= done < end:
                    now, wrote = self.write(piece.batch(done - start, at=done))
                    task.advance(min(now, end) - done)
                    done, written = now, written + wrote
            start = end
        return written

    def in_turn(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        phase: str | None = None,
        then: str | None = None,
    ) -> list[Row] | None:
        """Run an idempotent query while no other writer can take the mark.

        Args:
            query: Cypher.
            parameters: its values.
            phase: the query is not run unless the mark's property `phase` is this one: another writer of the same
                content may be further already.
            then: the phase afterwards.

        Returns:
            Its rows, or None when it was not run.

        Raises:
            StoreError: the mark is gone or that of another content.
        """

        def work(transaction: ManagedTransaction) -> list[Row] | None:
            mark = self._locked(transaction)
            if phase is not None and mark.get("phase") != phase:
                return None
            rows = [dict(record) for record in transaction.run(query, sendable(dict(parameters or {})))]
            if then is not None:
                move = f"MATCH (m:{MARK} {{name: $name}}) SET m.phase = $then"
                transaction.run(move, name=self.name, then=then).consume()
            return rows

        return self._transaction(work)

    def _locked(self, transaction: ManagedTransaction) -> Row:
        # Reading before the lock would let two writers see the same number.
        record = transaction.run(
            f"MATCH (m:{MARK} {{name: $name}}) SET m.turn = randomUUID() WITH m RETURN m {{.*}} AS mark", name=self.name
        ).single()
        mark = {} if record is None else dict(record["mark"])
        if mark.get("content") != self.content:
            raise self._lost()
        return mark

    def _transaction(self, work: Callable[[ManagedTransaction], Result]) -> Result:
        store = self.store
        timed = unit_of_work(timeout=store.timeout)(work)
        with driver_errors(store.name, store.database), store.driver.session(database=store.database) as session:
            result: Result = session.execute_write(timed)
            return result

    def _lost(self) -> StoreError:
        return StoreError(
            f"{self.store.name}: another {self.name} took over, or its mark was removed: start again when it is alone"
        )
