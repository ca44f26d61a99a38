"""Tables in memory, of any library, as Arrow tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from ingest.sources.tables.rows import Rows
from kg.errors import InvalidDataError

UNNAMED_INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name, which is no data


def frame_table(frame: Any, name: str) -> Any:
    """An Arrow table of a table in memory.

    Args:
        frame: an Arrow table, a pandas or polars data frame, a lazy polars frame, a DuckDB relation, anything else with
            the Arrow C stream interface, a mapping of columns, or a list of rows that are mappings.
        name: in messages.

    Raises:
        InvalidDataError: it is none of these, or a column mixes types.
    """
    try:
        table = _table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InvalidDataError(f"{name} cannot be read as a table: {error}. Give each column one type") from error
    if table is None:
        raise InvalidDataError(
            f"{name} is a {type(frame).__name__}: give a data frame (pandas, polars, pyarrow), a DuckDB relation, a "
            "list of dictionaries, or a mapping of columns"
        )
    table = table.drop_columns([column for column in table.column_names if UNNAMED_INDEX.fullmatch(column)])
    # Many functions of Arrow do not know the views that polars gives.
    plain = [field.with_type(pa.string()) if str(field.type) == "string_view" else field for field in table.schema]
    return table.cast(pa.schema(plain))


def _table(frame: Any) -> Any | None:
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, Mapping):
        return pa.table({str(key): _column(values) for key, values in frame.items()})
    if hasattr(frame, "reset_index") and hasattr(frame, "to_dict"):
        return _of_pandas(frame)
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.table(frame)
    if hasattr(frame, "collect") and hasattr(frame, "collect_schema"):  # a lazy frame of polars
        return pa.table(frame.collect())
    if (
        isinstance(frame, Sequence)
        and not isinstance(frame, str | bytes)
        and all(isinstance(r, Mapping) for r in frame)
    ):
        names = dict.fromkeys(name for row in frame for name in row)  # a row may lack some
        return pa.table({str(name): pa.array([row.get(name) for row in frame]) for name in names})
    return None


def _of_pandas(frame: Any) -> Any:
    """A pandas frame with the levels of its index that have a name: they are often the ids."""
    names = list(frame.index.names)
    if all(name is not None and name not in frame.columns for name in names):
        frame = frame.reset_index()
    return pa.Table.from_pandas(frame, preserve_index=False)


def _column(values: Any) -> Any:
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)


def from_frame(frame: Any, name: str = "data frame") -> Rows:
    """Rows of a table in memory; their places are counted from 0.

    Raises:
        InvalidDataError: no table, or an empty one.
    """
    table = frame_table(frame, name)
    if not table.num_rows:
        raise InvalidDataError(f"the {name} is empty: it has no rows")
    return Rows(table, name, lambda row: f"{name}, row {row}")
