"""A Neo4j server as a graph store, through the official driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from neo4j import Driver, Query, unit_of_work
from neo4j.exceptions import AuthError, ClientError, DriverError, Neo4jError, ServiceUnavailable, SessionExpired

from kg.errors import QueryTimeoutError, StoreError, StoreUnavailableError
from kg.stores.base import Row


class Neo4jStore:
    """Queries of one database, with errors that say what to do.

    Attributes:
        name: address of the server, for messages.
        database: None is the server's default.
        timeout: seconds that one query may take.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        database: str | None = None,
        timeout: float = 120.0,
        name: str = "the Neo4j server",
        owns_driver: bool = False,
    ) -> None:
        """Use a driver that the caller has made (`Neo4jConnection.open` makes one).

        Args:
            driver: stays the caller's: `close` leaves it open, unless `owns_driver`.
            database: name, None for the default one.
            timeout: seconds that one query may take.
            name: how messages call the server.
            owns_driver: whether `close` closes it.
        """
        self.driver = driver
        self.database = database
        self.timeout = timeout
        self.name = name
        self._owns_driver = owns_driver

    def check(self) -> None:
        """Make sure that the server answers and lets us into the database.

        Raises:
            StoreUnavailableError: it does not.
        """
        with told(self.name, self.database):
            self.read("RETURN 1 AS one")

    def read(
        self, query: str, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Row]:
        """Run a query of our own in a read transaction, all rows at once; transient errors are tried again.

        Args:
            query: Cypher whose names come from `kg.cypher.quote` and whose values are parameters.
            parameters: the values.
            timeout: seconds; None for the store's own.

        Raises:
            QueryTimeoutError, StoreUnavailableError, StoreError: see `kg.stores.base.Store.query`.
        """
        return self._managed("execute_read", query, parameters, timeout)

    def write(
        self, query: str, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Row]:
        """Run a query of our own in a write transaction; transient errors are tried again.

        A transaction whose commit was lost with the connection may run twice, so the query has to be idempotent or
        to check a mark of its own.
        """
        return self._managed("execute_write", query, parameters, timeout)

    def auto_commit(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a query that takes no surrounding transaction: a change of the schema, or CALL ... IN TRANSACTIONS."""
        with told(self.name, self.database), self.driver.session(database=self.database) as session:
            found = session.run(Query(query, timeout=self.timeout), dict(parameters or {}))
            return [dict(record) for record in found]

    def _managed(self, how: str, query: str, parameters: Mapping[str, Any] | None, timeout: float | None) -> list[Row]:
        @unit_of_work(timeout=timeout or self.timeout)
        def work(transaction: Any) -> list[Row]:
            return [dict(record) for record in transaction.run(query, dict(parameters or {}))]

        with told(self.name, self.database), self.driver.session(database=self.database) as session:
            rows: list[Row] = getattr(session, how)(work)
            return rows

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


@contextmanager
def told(name: str, database: str | None = None) -> Iterator[None]:
    """Turn the driver's errors into ours; messages hold no value of a query and no password."""
    try:
        yield
    except AuthError as error:
        raise StoreUnavailableError(
            f"{name} does not let us in ({error.code}): check the user and the password"
        ) from error
    except (ServiceUnavailable, SessionExpired) as error:
        raise StoreUnavailableError(
            f"{name} does not answer: {error}. Is it running, and the address right?"
        ) from error
    except ClientError as error:
        code = str(error.code)
        if "TransactionTimedOut" in code:
            raise QueryTimeoutError(
                f"a query at {name} took longer than it may: raise `neo4j.timeout`, or ask for less"
            ) from error
        if code.endswith("DatabaseNotFound"):
            raise StoreUnavailableError(
                f"{name} has no database {database!r}: correct `neo4j.database`, or leave it out for the default one"
            ) from error
        raise StoreError(f"{name} refused a query ({code}): {error.message}") from error
    except (Neo4jError, DriverError) as error:
        raise StoreError(f"{name}: {type(error).__name__}: {error}") from error
