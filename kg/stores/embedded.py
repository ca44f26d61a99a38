"""The graph of a run as a Ladybug database in one file: Cypher without a server.

A node gets the label of its type, the property `id` and its attributes, an edge gets its relation's type and its
columns, the user of an event by external id: as `kg.stores.load` writes them into Neo4j, so that one query has one
answer. The file is opened read-only, beside other readers, and nothing is ever written next to it.
"""

from __future__ import annotations

import threading
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
_AGAIN = 0.05


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
        self._changed = threading.Condition()
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
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
        with self._told(limit), self._connection() as connection:
            return connection.run(text, values, limit)

    def close(self) -> None:
        """Let go of the file; queries that still run are interrupted."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            while self._busy:
                for connection in self._busy:
                    connection.interrupt()
                self._changed.wait(_AGAIN)
            for connection in self._idle:
                connection.close()
            self._idle.clear()
        self._database.close()

    @contextmanager
    def _connection(self) -> Iterator[_Connection]:
        """A connection that no other thread uses meanwhile."""
        with self._changed:
            if self._closed:
                raise StoreUnavailableError(f"the embedded store {self.name} is closed")
            connection = self._idle.pop() if self._idle else _Connection(self._database)
            self._busy.add(connection)
        fit = False
        try:
            yield connection
            fit = True
        finally:
            with self._changed:
                self._busy.discard(connection)
                # Ladybug keeps a plan for each text and kind of parameters as long as the connection lives.
                if fit and connection.uses < USES:
                    self._idle.append(connection)
                else:
                    connection.close()
                self._changed.notify_all()

    @contextmanager
    def _told(self, limit: float) -> Iterator[None]:
        """Turn Ladybug's errors, which are all of one class, into ours."""
        try:
            yield
        except TimeoutError:
            if self._closed:
                raise StoreUnavailableError(f"the embedded store {self.name} was closed while it was asked") from None
            raise QueryTimeoutError(
                f"a query in {self.name} took longer than {limit:g} seconds: give it more time, or ask for less"
            ) from None
        except StoreError:
            raise
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            text = str(error)
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
    """One of Ladybug's connections, which run one query at a time.

    Ladybug's own timeout is never set: with it version 0.22 loses and doubles rows, about one answer in a hundred, when
    it may use several threads.
    """

    def __init__(self, database: Any) -> None:
        import ladybug

        self._own: Any = ladybug.Connection(database)
        self._stopped = threading.Event()
        self.uses = 0

    def run(self, text: str, values: dict[str, Any], limit: float) -> list[Row]:
        """The answer to a query.

        Raises:
            TimeoutError: it took longer than `limit` seconds, or `interrupt` was called.
            RuntimeError: Ladybug refused it.
        """
        self.uses += 1
        self._stopped.clear()
        with self._watched(limit), self._own.execute(text, values) as result:
            names = result.get_column_names()
            if len(set(names)) < len(names):
                raise StoreError(f"two columns of the result have one name ({', '.join(names)}): name them by AS")
            found: list[list[Any]] = []
            # The database counts without writing out, so most of the time can be spent here.
            while result.has_next() and not self._stopped.is_set():
                found += result.get_n(_ROWS_A_LOOK)
            return as_rows(names, found)

    def interrupt(self) -> None:
        """Have the query that runs end; without one it does nothing."""
        self._stopped.set()
        self._own.interrupt()

    @contextmanager
    def _watched(self, limit: float) -> Iterator[None]:
        """Interrupt what is done inside when its time is up."""
        ended, turn = threading.Event(), threading.Lock()

        def watch() -> None:
            # An interrupt that comes while a query is still being planned is forgotten; hence again and again.
            while True:
                with turn:
                    if ended.is_set():
                        return
                    self.interrupt()
                ended.wait(_AGAIN)

        timer = threading.Timer(limit, watch)
        timer.daemon = True
        timer.start()
        try:
            yield
        except RuntimeError:
            if not self._stopped.is_set():
                raise
        finally:
            timer.cancel()
            with turn:
                ended.set()
        if self._stopped.is_set():
            raise TimeoutError

    def close(self) -> None:
        """Let go of it."""
        self._own.close()
