"""Where a run's Cypher is answered: in its own database file, or in a store that the caller gives.

A run is data. The server that it was made with stands in its configuration, and whoever made the run decides what
stands there: no address and no password file or variable in it is ever used.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from kg.cypher.query import CypherQuery
from kg.cypher.ready import ReadyQuery, neo4j_queries, ready_queries
from kg.io.files import listed_checksum
from kg.io.graph_folder import load_schema
from kg.stores.base import Row, Store
from kg.stores.fork import renew_after_fork
from recall.runs.layout import RunLayout


def ready_queries_of(run: RunLayout, *, on_neo4j: bool) -> dict[str, ReadyQuery]:
    """The ready queries for the graph of a run, by name.

    Args:
        run: whose graph is asked.
        on_neo4j: also those that follow what runs write back into Neo4j.
    """
    schema = load_schema(run.graph)
    return ready_queries(schema) | (neo4j_queries(schema) if on_neo4j else {})


class RunStore:
    """The store of a run, opened by the first query: a run serves without its database as well.

    Threads and forked processes can share it. What it reads of the run is compared with its checksum when it is opened,
    which may be long after the rest of the run was.

    Args:
        run: whose graph is asked.
        verify: compare checksums.

    Attributes:
        name: for messages.
    """

    def __init__(self, run: RunLayout, *, verify: bool = True) -> None:
        self.name = str(run.path)
        self._run = run
        self._verify = verify
        self._lock = threading.Lock()
        self._store: Store | None = None
        renew_after_fork(self)

    def query(
        self, query: str | CypherQuery, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Row]:
        """See `kg.stores.base.Store.query`; a store that could not be opened is tried again by the next query."""
        return self._opened().query(query, parameters, timeout=timeout)

    def close(self) -> None:
        """Close the store; another query opens it again."""
        with self._lock:
            store, self._store = self._store, None
        if store is not None:
            store.close()

    def after_fork(self) -> None:
        """See `kg.stores.fork`."""
        self._lock = threading.Lock()

    def _opened(self) -> Store:
        with self._lock:
            if self._store is None:
                from kg.stores.embedded.store import EmbeddedStore

                checksum = listed_checksum(self._run.path, self._run.store) if self._verify else None
                self._store = EmbeddedStore(self._run.store, checksum=checksum)
            return self._store

    def __repr__(self) -> str:
        return f"RunStore({self.name!r})"
