"""Cells of several values as several rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.report import MAX_EXAMPLES, Finding
from ingest.sources.tables.column_types import is_list_type, plain_column
from ingest.sources.tables.rows import Rows
from kg.errors import InvalidDataError


def is_list(column: Any) -> bool:
    """Whether the cells of a column are lists."""
    return is_list_type(column.type)


def spread(rows: Rows, table: Any, column: str, separator: str | None) -> tuple[Rows, Any]:
    """A row for each value in the cells of a column; rows without a value are counted and left out.

    Args:
        rows: a raw table, for the places of its rows.
        table: its columns under the names of their roles.
        column: with several values in a cell.
        separator: of the values in a text; None where the cells are lists.

    Raises:
        InvalidDataError: the lists hold neither text nor numbers.
    """
    cells = plain_column(table[column])
    if cells is None:
        raise InvalidDataError(
            f"{rows.name} has lists of type {table[column].type} as {column}s: give lists of text or whole numbers"
        )
    if not is_list(cells):
        cells = split_cells(cells, separator or "")
    parents = pc.list_parent_indices(cells)
    values = table.drop_columns([column]).take(parents).append_column(column, pc.list_flatten(cells))
    row_of: npt.NDArray[np.int64] = parents.to_numpy().astype(np.int64)
    without = np.flatnonzero(np.bincount(row_of, minlength=table.num_rows) == 0)
    empty = Finding(
        f"rows without {column}s",
        "info",
        len(without),
        "no value in the cell, so nothing was made of it",
        [rows.place(int(row)) for row in without[:MAX_EXAMPLES]],
    )

    def place(row: int) -> str:
        return rows.place(int(row_of[row]))

    return replace(rows, place=place, findings=[*rows.findings, empty]), values


def split_cells(values: Any, separator: str) -> Any:
    """The values of each cell as Arrow lists of strings; blank ones, as after a separator at the end, are none."""
    column = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    parts = pc.split_pattern(column.cast(pa.string()), separator)
    trimmed = pc.utf8_trim_whitespace(parts.flatten())
    filled = pc.not_equal(trimmed, "").to_numpy(zero_copy_only=False)
    row_of = pc.list_parent_indices(parts).to_numpy()
    counts = np.bincount(row_of[filled], minlength=len(parts))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    # A null offset makes a null list; the last offset must stay.
    missing = np.append(parts.is_null().to_numpy(zero_copy_only=False), False)
    return pa.ListArray.from_arrays(pa.array(offsets, mask=missing), trimmed.filter(pa.array(filled)))
