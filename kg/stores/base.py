"""What every graph store can do: answer a read-only query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from kg.cypher.query import CypherQuery
from kg.errors import StoreError

Row = dict[str, Any]

ROWS = 100_000  # of an answer
ANSWER = 64 << 20  # bytes of it, about


class Store(Protocol):
    """A place that holds a graph and answers Cypher.

    Attributes:
        name: for messages, "neo4j://localhost:7687" or the path of a run.
    """

    name: str

    def query(
        self, query: str | CypherQuery, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Row]:
        """Run one query that only reads.

        Args:
            query: Cypher with `$name` in place of every value; a `CypherQuery` brings its own parameters.
            parameters: the values, beside those that the query brings.
            timeout: seconds it may take; None for the store's own limit.

        Returns:
            One mapping of column name to value for each row. A node is `{"labels": [...], "properties": {...}}`, a
            relationship `{"type": ..., "properties": {...}}`, a path `{"nodes": [...], "relationships": [...]}`;
            times are Python's, what Python has no value for is refused or text; see the stores.

        Raises:
            QueryRefusedError: it would write, read or write files, or is more than one statement.
            QueryTimeoutError: it took too long.
            StoreUnavailableError: the store does not answer or does not let us in.
            StoreError: the store could not run it, for instance for a mistake in its text, or the answer is too large.
        """

    def close(self) -> None:
        """Close connections and files."""


def too_large(name: str, size: str) -> StoreError:
    """The error for an answer beyond `ROWS` or `ANSWER`.

    Args:
        name: of the store.
        size: "more than 100,000 rows".
    """
    return StoreError(
        f"the answer of {name} to a query has {size}: add LIMIT, ask for parts of it with SKIP and LIMIT, or let the "
        "query count"
    )


def with_values(query: str | CypherQuery, parameters: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """The text of a query, and the values it brings together with further ones, which win."""
    if isinstance(query, CypherQuery):
        return query.text, {**query.parameters, **(parameters or {})}
    return query, dict(parameters or {})
