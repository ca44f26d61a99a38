"""Batches written into Neo4j once each, whoever is killed in between.

A mark, one node of graphrecall's own, says what is being written and how many rows of it are there. Each batch moves
the mark in its own transaction. So a rerun goes on behind the last batch that was committed; a commit whose answer was
lost with the connection is not made twice; and two writers of the same content share the work, because whoever writes
locks the mark first and reads it then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neo4j import ManagedTransaction, unit_of_work

from kg.errors import StoreError
from kg.stores.neo4j import Neo4jStore, told
from kg.stores.own_names import LABEL_PREFIX

MARK = f"{LABEL_PREFIX}Mark"


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows in a row, and the query that writes them.

    Attributes:
        start: rows of the whole before this batch.
        rows: how many rows the batch has.
        query: Cypher that returns one column `written`, the number of rows that found their place.
        parameters: its values.
        whole: rows without a place (a node of theirs is gone) are an error, and nothing of the batch is written.
    """

    start: int
    rows: int
    query: str
    parameters: Mapping[str, Any]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the writing of some content has come.

    Attributes:
        store: the database.
        name: of the job, "load".
        content: tells one content from another, such as a digest.
    """

    store: Neo4jStore
    name: str
    content: str

    @staticmethod
    def read(store: Neo4jStore, name: str) -> tuple[str, int] | None:
        """The content and the finished rows of a job's mark, or None."""
        rows = store.read(
            f"MATCH (m:{MARK} {{name: $name}}) RETURN m.content AS content, m.done AS done", {"name": name}
        )
        return (str(rows[0]["content"]), int(rows[0]["done"])) if rows else None

    def begin(self) -> int:
        """Make the mark unless it is there, and say how many rows are finished.

        Raises:
            StoreError: the job's mark is that of another content.
        """
        self.store.write(f"CREATE CONSTRAINT graphrecall_mark IF NOT EXISTS FOR (m:{MARK}) REQUIRE m.name IS UNIQUE")
        self.store.write(
            f"MERGE (m:{MARK} {{name: $name}}) ON CREATE SET m.content = $content, m.done = 0",
            {"name": self.name, "content": self.content},
        )
        found = Mark.read(self.store, self.name)
        if found is None or found[0] != self.content:
            raise self._lost()
        return found[1]

    def write(self, batch: Batch) -> tuple[int, int]:
        """Write one batch, unless that has been done.

        Returns:
            How many rows of the whole are finished now, and how many of the batch's rows this call wrote.

        Raises:
            StoreError: a `whole` batch has rows without a place, or the mark is gone or that of another content.
        """

        @unit_of_work(timeout=self.store.timeout)
        def work(transaction: ManagedTransaction) -> tuple[int, int]:
            # Reading before the lock would let two writers see the same number.
            locked = transaction.run(
                f"MATCH (m:{MARK} {{name: $name}}) SET m.turn = randomUUID() "
                "WITH m RETURN m.content AS content, m.done AS done",
                name=self.name,
            ).single()
            if locked is None or locked["content"] != self.content:
                raise self._lost()
            if locked["done"] != batch.start:
                return int(locked["done"]), 0
            row = transaction.run(batch.query, dict(batch.parameters)).single(strict=True)
            written = int(row["written"])
            if batch.whole and written != batch.rows:
                raise StoreError(
                    f"{self.store.name}: {batch.rows - written} of {batch.rows} rows find no node to hang on, "
                    "or find several: somebody changes the database at the same time"
                )
            done = batch.start + batch.rows
            transaction.run(f"MATCH (m:{MARK} {{name: $name}}) SET m.done = $done", name=self.name, done=done).consume()
            return done, written

        store = self.store
        with told(store.name, store.database), store.driver.session(database=store.database) as session:
            return session.execute_write(work)

    def _lost(self) -> StoreError:
        return StoreError(
            f"{self.store.name}: another {self.name} took over, or its mark was removed: start again when it is alone"
        )
