"""Cells of several values as several rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.sources.tables.rows import Rows


def is_list(column: Any) -> bool:
    """Whether the cells of a column are lists."""
    kind = column.type
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def spread(rows: Rows, table: Any, column: str, separator: str | None) -> tuple[Rows, Any]:
    """A row for each value in the cells of a column; rows without a value are left out.

    Args:
        rows: a raw table, for the places of its rows.
        table: its columns under the names of their roles.
        column: with several values in a cell.
        separator: of the values in a text; None where the cells are lists.
    """
    origin = np.flatnonzero(pc.is_valid(table[column]).to_numpy())
    filled = table.take(pa.array(origin))
    cells = filled[column].combine_chunks()
    if not is_list(cells):
        cells = pc.split_pattern(cells.cast(pa.string()), separator)
    parents = pc.list_parent_indices(cells)
    values = filled.drop_columns([column]).take(parents).append_column(column, pc.list_flatten(cells))
    row_of: npt.NDArray[np.int64] = origin[parents.to_numpy()]

    def place(row: int) -> str:
        return rows.place(int(row_of[row]))

    return Rows(rows.table, rows.name, place, rows.bad_lines, rows.bad_examples), values
