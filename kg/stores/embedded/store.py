"""The graph of a run as a Ladybug database in one file: Cypher without a server.

A node gets the label of its type, the property `id` and its attributes, an edge gets its relation's type and its
columns, the user of an event by external id: as `kg.stores.neo4j.write.load` writes them into Neo4j, so that one query
has one answer. The file is opened read-only, beside other readers, and nothing is ever written next to it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kg.cypher.guard import check_read_only
from kg.cypher.query import CypherQuery
from kg.errors import ConfigError, QueryTimeoutError, StoreError, StoreUnavailableError
from kg.stores.base import Row, with_values
from kg.stores.embedded.dialect import as_rows, bound

MEMORY = 2 << 30
ADDRESS_SPACE = 1 << 35
PLANNED = 20_000  # characters of query text whose plans are kept
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
            file: from `kg.stores.embedded.build.build_store`.
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
        self._turn = threading.Lock()
        self._closed = threading.Event()
        self._connection: Any = None
        self._planned: set[str] = set()
        try:
            # By default a database takes 8 TB of addresses, and a process has room for 15.
            space = ADDRESS_SPACE
            while space < 8 * max(path.stat().st_size, memory):
                space *= 2
            self._database = ladybug.Database(
                str(path), read_only=True, buffer_pool_size=memory, max_db_size=space, lazy_init=False
            )
            self._connection_for("")
        except (RuntimeError, OSError) as error:
            raise StoreUnavailableError(
                f"the embedded store {path} cannot be opened: {error}. It is damaged, or of another version of "
                "ladybug: refresh the run"
            ) from error

    def query(
        self, query: str | CypherQuery, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Row]:
        """Run one query that only reads; see `kg.stores.base.Store.query`.

        Queries of several threads take turns, and waiting counts as time.
        """
        text, values = with_values(query, parameters)
        check_read_only(text)
        values = bound(text, values)
        limit = self.timeout if timeout is None else timeout
        if not limit > 0:
            raise ConfigError(f"timeout = {timeout} must be above 0 seconds")
        with self._translated_errors(limit):
            return self._answer(text, values, time.monotonic() + limit)

    def _answer(self, text: str, values: dict[str, Any], deadline: float) -> list[Row]:
        """The answer to a query.

        Ladybug 0.22 loses and doubles rows, or crashes, when two connections work at once, and also when it is given a
        timeout; and a connection keeps the plan of every query that it has run, megabytes for a long one. So there is
        one connection at a time, interrupted by a thread of its own, and a new one after some plans.

        Raises:
            TimeoutError: the time is up, or the store was closed.
            RuntimeError: Ladybug refuses the query.
        """
        if not self._turn.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise TimeoutError
        try:
            if self._closed.is_set():
                raise TimeoutError
            connection = self._connection_for(text)
            with (
                _Interrupter(connection, deadline, self._closed) as interrupter,
                connection.execute(text, values) as result,
            ):
                names = result.get_column_names()
                if len(set(names)) < len(names):
                    raise StoreError(f"two columns of the result are called alike ({', '.join(names)}): use AS")
                rows: list[list[Any]] = []
                # The database counts without writing out, so most of the time can be spent here.
                while result.has_next() and not interrupter.over:
                    rows += result.get_n(_ROWS_A_LOOK)
                return as_rows(names, rows)
        except BaseException:
            self._drop_connection()
            raise
        finally:
            self._turn.release()

    def _connection_for(self, text: str) -> Any:
        """The present connection, or a new one where it would keep too many plans."""
        import ladybug

        if self._connection is not None and sum(map(len, self._planned | {text})) > PLANNED:
            self._drop_connection()
        if self._connection is None:
            self._connection = ladybug.Connection(self._database)
        self._planned.add(text)
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        self._planned.clear()
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Let go of the file; a query that still runs is interrupted."""
        self._closed.set()
        with self._turn:
            self._drop_connection()
            self._database.close()

    @contextmanager
    def _translated_errors(self, limit: float) -> Iterator[None]:
        """Turn Ladybug's errors, which are all of one class, into ours."""
        try:
            yield
        except TimeoutError:
            if self._closed.is_set():
                raise StoreUnavailableError(f"the embedded store {self.name} is closed") from None
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


class _Interrupter:
    """Interrupts what runs on a connection from a moment on, or when the store is closed."""

    def __init__(self, connection: Any, deadline: float, closed: threading.Event) -> None:
        self._connection = connection
        self._deadline = deadline
        self._closed = closed
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def over(self) -> bool:
        """Whether the time is up or the store is closed."""
        return self._closed.is_set() or time.monotonic() > self._deadline

    def _run(self) -> None:
        # Again and again: an interrupt that comes while a query is still being planned is forgotten.
        while not self._ended.wait(_AGAIN):
            if self.over:
                self._connection.interrupt()

    def __enter__(self) -> _Interrupter:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._ended.set()
        self._thread.join()
        if self.over and (kind is None or issubclass(kind, RuntimeError)):
            raise TimeoutError from error
