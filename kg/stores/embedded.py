"""The graph of a run as a Ladybug database in one file: Cypher without a server.

A node gets the label of its type, the property `id` and its attributes, an edge gets its relation's type and its
columns, the user of an event by external id: as `kg.stores.load` writes them into Neo4j, so that one query has one
answer. The file is opened read-only, beside other readers, and nothing is ever written next to it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kg.cypher import CypherQuery
from kg.errors import ConfigError, QueryTimeoutError, StoreError, StoreUnavailableError
from kg.stores.base import Row
from kg.stores.dialect import as_rows, bound
from kg.stores.guard import check_read_only

MEMORY = 2 << 30
ADDRESS_SPACE = 1 << 35
USES = 1000
_ROWS_A_LOOK = 1024


class EmbeddedStore:
    """The database file of a run, read-only; threads and processes may share it.

    Attributes:
        name: path of the file, for messages.
        timeout: seconds that one query may take.
    """

    def __init__(self, file: Path | str, *, timeout: float = 120.0, memory: int = MEMORY) -> None:
        """Open the file.

        Args:
            file: from `kg.stores.embedded_build.build_store`.
            timeout: seconds that one query may take.
            memory: bytes that the database may use for pages and results in the making.

        Raises:
            StoreUnavailableError: there is no such file, or it is no database that this version reads.
            ConfigError: a limit is out of range.
        """
        import ladybug

        path = Path(file)
        self.name = str(path)
        if not timeout > 0:
            raise ConfigError(f"timeout = {timeout} must be above 0 seconds")
        if memory < 64 << 20:
            raise ConfigError(f"memory = {memory} must be at least {64 << 20} bytes")
        if not path.is_file():
            raise StoreUnavailableError(f"there is no embedded store at {path}: refresh the run; its report says more")
        self.timeout = timeout
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._closed = False
        try:
            # By default a database takes 8 TB of addresses, and a process has room for 15.
            space = ADDRESS_SPACE
            while space < 8 * max(path.stat().st_size, memory):
                space *= 2
            self._database = ladybug.Database(
                str(path), read_only=True, buffer_pool_size=memory, max_db_size=space, lazy_init=False
            )
            self._idle.append(_Connection(self._database))
        except (RuntimeError, OSError) as error:
            raise StoreUnavailableError(
                f"the embedded store {path} cannot be opened: {error}. It is damaged, or of another version of "
                "ladybug: refresh the run"
            ) from error

    def query(
        self, query: str | CypherQuery, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Row]:
        """Run one query that only reads; see `kg.stores.base.Store.query`."""
        text = str(query)
        values = {**(query.parameters if isinstance(query, CypherQuery) else {}), **(parameters or {})}
        check_read_only(text)
        values = bound(text, values)
        limit = self.timeout if timeout is None else timeout
        if not limit > 0:
            raise ConfigError(f"timeout = {timeout} must be above 0 seconds")
        deadline = time.monotonic() + limit
        with self._told(limit), self._connection() as connection:
            return connection.run(text, values, deadline)

    def close(self) -> None:
        """Let go of the file; queries that still run are interrupted."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        self._database.close()

    @contextmanager
    def _connection(self) -> Iterator[_Connection]:
        """A connection that no other thread uses meanwhile."""
        with self._lock:
            if self._closed:
                raise StoreUnavailableError(f"the embedded store {self.name} is closed")
            connection = self._idle.pop() if self._idle else None
        connection = connection or _Connection(self._database)
        try:
            yield connection
        finally:
            # Ladybug keeps a plan for each text and kind of parameters as long as the connection lives.
            with self._lock:
                kept = not self._closed and connection.uses < USES
                if kept:
                    self._idle.append(connection)
            if not kept:
                connection.close()

    @contextmanager
    def _told(self, limit: float) -> Iterator[None]:
        """Turn Ladybug's errors, which are all of one class, into ours."""
        try:
            yield
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, StoreError | ConfigError):
                raise
            text = str(error)
            if text.startswith("Interrupted"):
                raise QueryTimeoutError(
                    f"a query in {self.name} took longer than {limit:g} seconds: give it more time, or ask for less"
                ) from error
            if text.startswith("Buffer manager exception"):
                raise StoreError(
                    f"a query in {self.name} needs more memory than it may use: ask for less at once, or open the "
                    "store with more `memory`"
                ) from error
            raise StoreError(f"{self.name} refused a query: {text}") from error

    def __enter__(self) -> EmbeddedStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EmbeddedStore({self.name!r})"


class _Connection:
    """One of Ladybug's connections, which run one query at a time."""

    def __init__(self, database: Any) -> None:
        import ladybug

        self._own: Any = ladybug.Connection(database)
        self.uses = 0

    def run(self, text: str, values: dict[str, Any], deadline: float) -> list[Row]:
        self.uses += 1
        left = deadline - time.monotonic()
        self._own.set_query_timeout(max(int(left * 1000), 1))
        with self._own.execute(text, values) as result:
            names = result.get_column_names()
            if len(set(names)) < len(names):
                raise StoreError(f"two columns of the result have one name ({', '.join(names)}): name them by AS")
            found: list[list[Any]] = []
            # The database counts without writing out, so most of the time can be spent here.
            while result.has_next():
                found += result.get_n(_ROWS_A_LOOK)
                if time.monotonic() > deadline:
                    raise RuntimeError("Interrupted.")
        return as_rows(names, found)

    def close(self) -> None:
        self._own.close()
