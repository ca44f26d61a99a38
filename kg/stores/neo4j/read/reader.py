"""Queries of a reading, tried again while a server restarts."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from threading import Event
from typing import TYPE_CHECKING, Any

from neo4j import READ_ACCESS, NotificationMinimumSeverity, Query
from neo4j.exceptions import DriverError, Neo4jError

from kg.errors import StoreError, StoreUnavailableError
from kg.stores.neo4j.client import driver_errors

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore

logger = logging.getLogger(__name__)

# Seconds between two tries: the first time, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0


class TooMuchError(StoreError):
    """The server could not hold what a query wanted."""


class Reader:
    """Queries in read transactions that are tried again while a server restarts or a fault passes.

    Attributes:
        columns: of the last query that was answered.
        mark: identifies the last transaction that the server had committed when it gave the last answer; two equal
            marks say that nothing was committed between the two answers. None before the first answer.
    """

    def __init__(self, store: Neo4jStore, *, patience: float) -> None:
        """Use a store.

        Args:
            store: where the queries go.
            patience: seconds in which a query is tried again after faults that pass.
        """
        self.store = store
        self.patience = patience
        self.columns: tuple[str, ...] = ()
        self.mark: str | None = None
        self._session: Any = None
        self._fetch_size = 0
        self._stopped = Event()
        self._answered = False

    def run(self, query: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All rows of a query of our own; it must not matter that a part of them was read before.

        Raises:
            StoreUnavailableError: the server did not answer for `patience` seconds.
            QueryTimeoutError, StoreError: see `kg.stores.base.Store.query`.
        """
        return list(self.stream(query, parameters, whole=True))

    def stream(
        self, query: str, parameters: Mapping[str, Any], *, whole: bool = False, fetch_size: int = 10_000
    ) -> Iterator[dict[str, Any]]:
        """The rows of a query as they come; tried again only until the first row is there, or `whole`."""
        deadline: float | None = None
        pause = FIRST_PAUSE
        while True:
            yielded = False
            try:
                rows = self._rows(query, parameters, -1 if whole else fetch_size)
                if whole:
                    rows = iter(list(rows))
                for row in rows:
                    yielded = True
                    self._answered = True
                    yield row
                self._answered = True
                return
            except StoreError as error:
                self.close()
                now = time.monotonic()
                deadline = deadline or now + self.patience
                if yielded or not self._passes(error):
                    raise
                if now + pause > deadline:
                    raise StoreUnavailableError(
                        f"{self.store.name} did not answer for {self.patience:.0f} s: {error}"
                    ) from error
                logger.warning("%s does not answer, trying again in %.1f s", self.store.name, pause)
                if self._stopped.wait(pause):
                    raise
                pause = min(2 * pause, LONGEST_PAUSE)

    def _rows(self, query: str, parameters: Mapping[str, Any], fetch_size: int) -> Iterator[dict[str, Any]]:
        with driver_errors(self.store.name, self.store.database):
            if self._session is None or self._fetch_size != fetch_size:
                self.close()
                self._fetch_size = fetch_size
                self._session = self.store.driver.session(
                    database=self.store.database,
                    default_access_mode=READ_ACCESS,
                    fetch_size=fetch_size,
                    # id() is deprecated, but elementId() is a text that knows no ranges.
                    notifications_min_severity=NotificationMinimumSeverity.OFF,
                )
            result = self._session.run(Query(query, timeout=self.store.timeout), dict(parameters))
            self.columns = tuple(result.keys())
            for record in result:
                yield dict(zip(self.columns, record.values(), strict=True))
            # The driver calls it a bookmark.
            self.mark = " ".join(sorted(self._session.last_bookmarks().raw_values)) or None

    def _passes(self, error: StoreError) -> bool:
        """Whether a fault may be gone in a moment."""
        cause = error.__cause__
        code = str(getattr(cause, "code", ""))
        if "MemoryPool" in code or "OutOfMemory" in code:
            raise TooMuchError(str(error)) from error
        if code.endswith("DatabaseNotFound"):
            # A server that starts answers so before its databases are there.
            return self._answered
        return isinstance(cause, Neo4jError | DriverError) and cause.is_retryable()

    def stop(self) -> None:
        """Do not try again any more; may be called from another thread."""
        self._stopped.set()

    def close(self) -> None:
        """End the session; a later query opens another."""
        if self._session is not None:
            session, self._session = self._session, None
            try:
                session.close()
            except (Neo4jError, DriverError, OSError):
                logger.debug("a session did not close in order", exc_info=True)
