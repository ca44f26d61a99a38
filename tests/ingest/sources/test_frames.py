"""Tables in memory of every library as Arrow tables."""

from __future__ import annotations

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ingest.sources.tables import frame_table
from kg.errors import InvalidDataError

TABLE = pa.table({"user_id": ["u1", "u2", None], "item_id": [1, 2, 3], "rating": [0.5, None, 4.0]})
FRAMES = {
    "pandas": lambda table: table.to_pandas(),
    "pandas of a part": lambda table: pd.concat([table.to_pandas()] * 2).iloc[3:].set_axis([7, 1, 1]),
    "pandas by an index": lambda table: table.to_pandas().set_index("item_id"),
    "polars": pl.DataFrame,
    "lazy polars": lambda table: pl.DataFrame(table).lazy(),
    "arrow": lambda table: table,
    "record batches": lambda table: pa.RecordBatchReader.from_batches(table.schema, table.to_batches()),
    "duckdb": duckdb.arrow,
    "dictionaries": lambda table: table.to_pylist(),
    "columns": lambda table: table.to_pydict(),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_every_kind_gives_the_same_values(kind):
    table = frame_table(FRAMES[kind](TABLE), "ratings")
    assert sorted(table.column_names) == sorted(TABLE.column_names)
    assert table.select(TABLE.column_names).to_pylist() == TABLE.to_pylist()


def test_rows_that_lack_some_keys():
    table = frame_table([{"a": 1}, {"b": "x"}, {}], "rows")
    assert table.to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": "x"}, {"a": None, "b": None}]


@pytest.mark.parametrize("frame", [3, "ratings.csv", b"x", [1, 2], [{"a": 1}, 2], {"a": [1, "b"]}, {"a": ["\ud800"]}])
def test_what_is_no_table(frame):
    with pytest.raises(InvalidDataError, match="ratings"):
        frame_table(frame, "ratings")
