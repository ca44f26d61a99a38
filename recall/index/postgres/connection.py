"""Connections to PostgreSQL: one a thread and process, opened again after a failure, and its errors in our words."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kg.errors import ConfigError, QueryTimeoutError, StoreError, StoreUnavailableError
from kg.settings.secrets import masked_text
from recall.index.postgres.settings import PostgresConfig


def driver() -> Any:
    """psycopg, with pgvector beside it.

    Raises:
        ConfigError: the extra `pgvector` is not installed.
    """
    try:
        import pgvector.psycopg  # noqa: F401
        import psycopg
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{error.name} is not installed: install graphrecall with the extra `pgvector`, or psycopg and pgvector"
        ) from error
    return psycopg


class Connections:
    """The connections of a process to one database."""

    def __init__(self, config: PostgresConfig) -> None:
        """Open nothing yet.

        Args:
            config: where the database is.
        """
        self.config = config
        self._psycopg = driver()
        self._own = threading.local()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A connection in a transaction, which is committed at the end.

        Raises:
            StoreUnavailableError: the server does not answer, or refuses the account.
            QueryTimeoutError: a query took longer than `timeout`.
            StoreError: the database refuses something else.
        """
        with self._errors():
            connection = self._opened()
            try:
                with connection.transaction():
                    yield connection
            except self._psycopg.OperationalError:
                if connection.closed or connection.broken:
                    self._own.connection = None
                raise

    def close(self) -> None:
        """Close the connection of this thread."""
        connection = getattr(self._own, "connection", None)
        if connection is not None:
            connection.close()
        self._own.connection = None

    def _opened(self) -> Any:
        """This thread's connection, a living one: after a restart of the server the old one is dead."""
        connection = getattr(self._own, "connection", None)
        if connection is not None and getattr(self._own, "process", None) == os.getpid() and not connection.closed:
            try:
                connection.execute("SELECT 1")
                return connection
            except self._psycopg.OperationalError:
                connection.close()
        milliseconds = int(self.config.timeout * 1000)
        account = {} if self.config.user is None else {"user": self.config.user}
        connection = self._psycopg.connect(
            self.config.uri,
            **account,
            autocommit=True,
            connect_timeout=self.config.connect_timeout,
            tcp_user_timeout=milliseconds,
            options=f"-c statement_timeout={milliseconds}",
            application_name="graphrecall",
        )
        self._own.connection, self._own.process = connection, os.getpid()
        return connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        errors, where = self._psycopg.errors, self.config.uri
        try:
            yield
        except errors.QueryCanceled as error:
            raise QueryTimeoutError(
                f"PostgreSQL at {where} took longer than {self.config.timeout:g} s: raise `timeout`, or look what else "
                "the server does"
            ) from error
        except self._psycopg.OperationalError as error:
            text = masked_text(str(error).strip().split("\n")[0])
            raise StoreUnavailableError(f"PostgreSQL at {where} does not answer: {text}") from error
        except self._psycopg.Error as error:
            text = masked_text(str(error).strip().split("\n")[0])
            raise StoreError(f"PostgreSQL at {where}: {text}") from error
