"""Which nodes a table names, and which of its columns could be their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingest.facts import Mention, MentionKind
from ingest.sources.tables.rows import Rows
from ingest.sources.tables.values import to_ids
from kg.errors import InvalidDataError

SAMPLED_ROWS = 10_000
KEYS = {"user": "columns.user", "item": "columns.item", "src": "columns.source", "dst": "columns.target"}


def table_mentions(kind: MentionKind, rows: Rows, table: Any, ends: Mapping[str, str]) -> list[Mention]:
    """The nodes of each end.

    Args:
        kind: of the source.
        rows: the raw table; the first of its rows are kept, so that it can go itself.
        table: clean ids.
        ends: column of the clean table -> node type.
    """
    others = as_ids(dict(zip(rows.table.column_names, rows.table.columns, strict=True)))
    return [
        Mention(node=node, source=rows.name, kind=kind, key=KEYS.get(column, column), ids=table[column], others=others)
        for column, node in ends.items()
    ]


def as_ids(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The first rows of the columns that can hold ids, as ids."""
    result = {}
    for name, column in columns.items():
        try:
            result[name] = to_ids(column[:SAMPLED_ROWS])
        except InvalidDataError:
            continue  # lists, times, fractions
    return result
