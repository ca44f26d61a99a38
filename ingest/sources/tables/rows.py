"""A raw table of any kind, with the place of each of its rows for messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ingest.report import Finding
from ingest.sources.tables.lines import LineAccount
from kg.arrays import IntArray
from kg.errors import InvalidDataError


@dataclass(slots=True)
class Rows:
    """A raw table and where its rows came from.

    Attributes:
        table: Arrow table.
        name: for messages.
        place: the place of a row, "ratings.csv:17".
        bad_lines: number of lines that could not even be split into cells.
        bad_examples: the first of them with place and reason.
        ordered: the rows of a user are in an order that means something.
        lines: what became of the lines of a text file; None where there are none.
        hidden: number of lines inside of cells that look like rows, and the first of these cells.
        findings: what else is odd about it.
        numbers: the line of each row, from 1, int64 (rows,), where the reader knows it.
    """

    table: Any
    name: str
    place: Callable[[int], str]
    bad_lines: int = 0
    bad_examples: list[str] = field(default_factory=list)
    ordered: bool = False
    lines: LineAccount | None = None
    hidden: tuple[int, list[str]] = (0, [])
    findings: list[Finding] = field(default_factory=list)
    numbers: IntArray | None = None


def pick(rows: Rows, required: Mapping[str, str | None], optional: Mapping[str, str] | None = None) -> Any:
    """Columns under the names of their roles.

    Args:
        rows: a raw table.
        required: role -> column that must exist (None: none).
        optional: role -> column to take if it exists.

    Raises:
        InvalidDataError: a required column is missing; the message names those of the table.
    """
    existing = rows.table.column_names
    columns = {}
    for role, name in required.items():
        if name is None:
            continue
        if name not in existing:
            raise InvalidDataError(
                f"{rows.name} has no column {name!r} (for {role}); the columns there are {', '.join(existing)}"
            )
        columns[role] = rows.table[name]
    for role, name in (optional or {}).items():
        if role not in columns and name in existing and name not in required.values():
            columns[role] = rows.table[name]
    return pa.table(columns)
