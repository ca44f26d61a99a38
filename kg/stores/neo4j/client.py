"""A Neo4j server as a graph store, through the official driver."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from neo4j import READ_ACCESS, WRITE_ACCESS, Driver, Query, unit_of_work
from neo4j.exceptions import (
    BrokenRecordError,
    DatabaseUnavailable,
    DriverError,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
)

from kg.cypher.guard import as_explain, check_read_only
from kg.cypher.query import CypherQuery
from kg.errors import ConfigError, QueryRefusedError, QueryTimeoutError, StoreError, StoreUnavailableError
from kg.stores.base import ANSWER, ROWS, Row, too_large, with_values
from kg.stores.neo4j.values import plain, sendable, size_of

_RETRY_SECONDS = 30.0
# Somebody waits for the answer of a query: long enough to replace a connection that died with a restarted server.
_RETRY_QUERY_SECONDS = 3.0
# Rows that the server sends at once: its answer to anybody's query may be refused after a few large ones.
_FETCH, _FETCH_QUERY = 1000, 50
# What the server's summary says of a query that only reads, and how many texts of such queries are remembered.
_READS_ONLY, _PLANNED = "r", 1024
# The only procedure allowed here that the server counts among those of the system ("s"), as it does schema commands.
_SYSTEM_CALL = re.compile(r"EXPLAIN\s+CALL\s+dbms\s*\.\s*components\s*\(", re.IGNORECASE)


def _all(records: Iterable[Any]) -> list[Row]:
    return [dict(record) for record in records]


class Neo4jStore:
    """Queries of one database, with errors that say what to do.

    Attributes:
        name: address of the server, for messages.
        database: None is the server's default.
        timeout: seconds that one query may take.
        rows: how many rows the answer to a query of anybody may have.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        database: str | None = None,
        timeout: float = 120.0,
        rows: int = ROWS,
        name: str = "the Neo4j server",
        owns_driver: bool = False,
    ) -> None:
        """Use a driver that the caller has made (`Neo4jConnection.open` makes one).

        Args:
            driver: stays the caller's: `close` leaves it open, unless `owns_driver`.
            database: name, None for the default one.
            timeout: seconds that one query may take.
            rows: how many rows the answer to a query of anybody may have.
            name: how messages call the server.
            owns_driver: whether `close` closes it.
        """
        self.driver = driver
        self.database = database
        self.timeout = timeout
        self.rows = rows
        self.name = name
        self._owns_driver = owns_driver
        self._planned: set[str] = set()

    def check(self) -> None:
        """Make sure that the server answers and accepts the account, in one attempt.

        Raises:
            StoreUnavailableError: it does not.
        """
        with driver_errors(self.name, self.database), self._session(READ_ACCESS) as session:
            session.run(Query("RETURN 1", timeout=self.timeout)).consume()

    def query(
        self, query: str | CypherQuery, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Row]:
        """Run a query of anybody that only reads: see `kg.stores.base.Store.query`.

        Its text is checked first; then, once for each text, the server plans it and says whether it reads only; then
        it runs in a transaction that cannot write. The server keeps the time; one that falls silent is given up after
        the time that it has named itself for that, 120 s by default. Rows beyond the limit are not fetched.
        """
        text, values = with_values(query, parameters)
        check_read_only(text)
        if text not in self._planned:
            self._check_plan(text, values, timeout)
        try:
            return self._managed(
                READ_ACCESS,
                text,
                values,
                timeout,
                retry=_RETRY_QUERY_SECONDS,
                fetch=_FETCH_QUERY,
                take=self._plain_and_few,
            )
        except (ValueError, OverflowError) as error:
            raise StoreError(
                f"{self.name} returned what Python has no value for: {error}; return it as text, toString(...)"
            ) from None

    def read(
        self, query: str, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Row]:
        """Run a query of our own in a read transaction, all rows at once; transient errors are tried again.

        Args:
            query: Cypher whose names come from `kg.cypher.query.quote` and whose values are parameters.
            parameters: the values.
            timeout: seconds; None for the store's own.

        Raises:
            QueryTimeoutError, StoreUnavailableError, StoreError: see `kg.stores.base.Store.query`.
        """
        return self._managed(READ_ACCESS, query, parameters, timeout)

    def write(
        self, query: str, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Row]:
        """Run a query of our own in a write transaction; transient errors are tried again.

        A transaction whose commit was lost with the connection may run twice, so the query has to be idempotent or
        to check a mark of its own.
        """
        return self._managed(WRITE_ACCESS, query, parameters, timeout)

    def auto_commit(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a query that takes no surrounding transaction: a change of the schema, or CALL ... IN TRANSACTIONS."""
        with driver_errors(self.name, self.database), self._session(WRITE_ACCESS) as session, _sending():
            result = session.run(Query(query, timeout=self.timeout), _sendable(parameters))
            return [dict(record) for record in result]

    def _check_plan(self, text: str, values: Mapping[str, Any], timeout: float | None) -> None:
        """Refuse a query whose plan, by the server itself, does anything but read."""
        explained = as_explain(text)

        @unit_of_work(timeout=self._seconds(timeout))
        def plan(transaction: Any) -> str | None:
            with _sending():
                result = transaction.run(explained, _sendable(values))
            query_type: str | None = result.consume().query_type
            return query_type

        with (
            driver_errors(self.name, self.database),
            self._session(READ_ACCESS, max_transaction_retry_time=_RETRY_QUERY_SECONDS) as session,
        ):
            query_type = session.execute_read(plan)
        if query_type != _READS_ONLY and not _SYSTEM_CALL.match(explained):
            raise QueryRefusedError(
                f"the query is not run: by the plan of {self.name} it does more than read (query type {query_type!r}), "
                "and only reading is allowed here"
            )
        if len(self._planned) >= _PLANNED:
            self._planned.clear()
        self._planned.add(text)

    def _plain_and_few(self, records: Iterable[Any]) -> list[Row]:
        """The rows of an answer as plain data.

        Raises:
            StoreError: they are too many, or too large.
            ValueError, OverflowError: Python has no value for one.
        """
        rows: list[Row] = []
        size = 0
        for record in records:
            rows.append({name: plain(value) for name, value in record.items()})
            size += sum(map(size_of, rows[-1].values()))
            if len(rows) > self.rows:
                raise too_large(self.name, f"more than {self.rows:,} rows")
            if size > ANSWER:
                raise too_large(self.name, f"more than {ANSWER >> 20:,} MB")
        return rows

    def _managed(
        self,
        access: str,
        query: str,
        parameters: Mapping[str, Any] | None,
        timeout: float | None,
        retry: float = _RETRY_SECONDS,
        fetch: int = _FETCH,
        take: Callable[[Iterable[Any]], list[Row]] = _all,
    ) -> list[Row]:
        @unit_of_work(timeout=self._seconds(timeout))
        def work(transaction: Any) -> list[Row]:
            with _sending():
                result = transaction.run(query, _sendable(parameters))
            return take(result)

        with (
            driver_errors(self.name, self.database),
            self._session(access, max_transaction_retry_time=retry, fetch_size=fetch) as session,
        ):
            rows: list[Row] = (session.execute_read if access == READ_ACCESS else session.execute_write)(work)
            return rows

    def _seconds(self, timeout: float | None) -> float:
        if timeout is not None and not timeout > 0:
            raise ConfigError(f"timeout = {timeout} must be above 0 seconds")
        return timeout or self.timeout

    def _session(self, access: str, **more: Any) -> Any:
        return self.driver.session(database=self.database, default_access_mode=access, **more)

    def close(self) -> None:
        """Close the driver if it is ours."""
        if self._owns_driver:
            self.driver.close()

    def __enter__(self) -> Neo4jStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Neo4jStore({self.name!r}, database={self.database!r})"


def _sendable(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: sendable(value) for name, value in (parameters or {}).items()}


@contextmanager
def _sending() -> Iterator[None]:
    """Raise a `StoreError` where the driver cannot send a parameter, without the parameter's value."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise StoreError(f"a parameter of the query cannot be sent to Neo4j: {error}") from None


@contextmanager
def driver_errors(name: str, database: str | None = None) -> Iterator[None]:
    """Turn the driver's errors into ours; no message holds a password."""
    try:
        yield
    except Neo4jError as error:
        raise _of_server(error, name, database) from error
    except (ServiceUnavailable, SessionExpired) as error:
        raise StoreUnavailableError(
            f"{name} does not answer: {_line(_reason(error))}. Is it running, and the address right?"
        ) from error
    except BrokenRecordError as error:
        raise StoreError(
            f"{name} returned what Python has no value for ({_line(error)}), such as a date of another age: return it "
            "as text, toString(...)"
        ) from error
    except DriverError as error:
        raise StoreError(f"{name}: {type(error).__name__}: {_line(error)}") from error


def _of_server(error: Neo4jError, name: str, database: str | None) -> StoreError | QueryRefusedError:
    """The error for a code of the server."""
    code = str(error.code)
    kind = code.rsplit(".", 1)[-1]
    if kind.startswith("TransactionTimedOut"):
        return QueryTimeoutError(f"a query at {name} took longer than it may: raise `neo4j.timeout`, or ask for less")
    if kind == "DatabaseNotFound":
        return StoreUnavailableError(
            f"{name} has no database {database!r}: correct `neo4j.database`, or leave it out for the default one"
        )
    if kind == "AuthenticationRateLimit":
        return StoreUnavailableError(
            f"{name} does not let us in ({code}): after wrong passwords it waits some seconds; check the password first"
        )
    if kind == "CredentialsExpired":
        return StoreUnavailableError(
            f"{name} wants a new password for this user ({code}): set one by ALTER CURRENT USER SET PASSWORD"
        )
    if kind in ("Unauthorized", "TokenExpired", "AuthProviderFailed", "AuthProviderTimeout"):
        return StoreUnavailableError(f"{name} does not let us in ({code}): check the user and the password")
    if isinstance(error, DatabaseUnavailable):
        return StoreUnavailableError(f"{name} does not answer for the database {database!r} ({code}): try again later")
    if kind == "AccessMode":
        return QueryRefusedError(f"{name} refused a query that writes: only reading is allowed here")
    return StoreError(f"{name} refused a query ({code}): {_line(error.message)}")


def _reason(error: BaseException) -> BaseException:
    """Why no server could be reached: the driver's error is about the routing table, its cause about the connection."""
    while isinstance(error.__cause__, DriverError | BaseExceptionGroup):
        error = error.__cause__
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
    return error


def _line(message: object) -> str:
    return " ".join(str(message).split())
