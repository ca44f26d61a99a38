"""Removes the vectors and candidates of users that were written back into Neo4j, in both slots.

Their nodes stay: those belong to the owner of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kg.cypher.query import quote
from kg.schema import NodeType
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.write.write_back import CANDIDATE, VECTOR

AT_ONCE = 10_000


def forget_results(
    store: Neo4jStore, user: NodeType, wanted: Callable[[Sequence[str]], Sequence[bool]], *, at_once: int = AT_ONCE
) -> int:
    """Remove the results of some users.

    Args:
        store: the database.
        user: node type of the users.
        wanted: ids (n,) -> whose results are removed, (n,).
        at_once: users a query.

    Returns:
        Users whose results were removed.

    Raises:
        StoreError: the database does not answer.
    """
    vectors = [quote(VECTOR + slot) for slot in ("a", "b")]
    label, key = quote(user.label), quote(user.key)
    has_any = " OR ".join([*(f"u.{name} IS NOT NULL" for name in vectors), f"EXISTS {{ (u)-[:{CANDIDATE}]->() }}"])
    page = (
        f"MATCH (u:{label}) WHERE ({has_any}) AND elementId(u) > $after "
        f"RETURN elementId(u) AS at, u.{key} AS key ORDER BY at LIMIT $limit"
    )
    remove = (
        f"UNWIND $keys AS key MATCH (u:{label} {{{key}: key}}) REMOVE {', '.join(f'u.{name}' for name in vectors)} "
        f"WITH u OPTIONAL MATCH (u)-[c:{CANDIDATE}]->() DELETE c"
    )
    removed, after = 0, ""
    while rows := store.read(page, {"after": after, "limit": at_once}):
        after = str(rows[-1]["at"])
        keys: list[Any] = [row["key"] for row in rows if row["key"] is not None]
        chosen = [key for key, out in zip(keys, wanted([str(key) for key in keys]), strict=True) if out]
        if chosen:
            store.write(remove, {"keys": chosen})
            removed += len(chosen)
    return removed
