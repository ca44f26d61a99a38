"""Columns of queries as pandas, polars and Spark write them, and those that are none."""

from __future__ import annotations

import pyarrow as pa
import pytest

from kg.errors import InvalidDataError
from recall.batch.columns import check_columns, plain_rows
from recall.serve.questions import RecommendRequest

TEXT = pa.string()


@pytest.mark.parametrize(
    ("name", "kind", "values", "plain"),
    [
        ("user_id", pa.large_string(), ["u1", "u2"], ["u1", "u2"]),
        ("user_id", pa.string_view(), ["u1", "u2"], ["u1", "u2"]),
        ("user_id", pa.dictionary(pa.int32(), TEXT), ["u1", "u2"], ["u1", "u2"]),
        ("history", pa.large_list(pa.large_string()), [["m1", "m2"], []], [["m1", "m2"], []]),
        ("liked", pa.list_(TEXT, 1), [["m1"], ["m2"]], [["m1"], ["m2"]]),
        ("k", pa.uint8(), [3, 4], [3, 4]),
        ("text", pa.null(), [None, None], [None, None]),
        ("attributes", pa.map_(TEXT, pa.list_(TEXT)), [[("genre", ["drama"])], []], [{"genre": ["drama"]}, {}]),
        (
            "attributes",
            pa.struct({"genre": pa.list_(TEXT), "director": pa.list_(TEXT)}),
            [{"genre": ["drama"], "director": None}, {"genre": [], "director": ["p1"]}],
            [{"genre": ["drama"]}, {"genre": [], "director": ["p1"]}],
        ),
        (
            "history",
            pa.list_(pa.struct({"item_id": TEXT, "time": pa.int64()})),
            [[{"item_id": "m1", "time": 5}], []],
            [[{"item_id": "m1", "time": 5}], []],
        ),
    ],
)
def test_what_other_programs_write_is_read_as_plain_data(name, kind, values, plain) -> None:
    table = pa.table({"liked": pa.nulls(2), name: pa.array(values, kind)})
    check_columns(table.schema, (), "the file")
    (batch,) = table.combine_chunks().to_batches()
    assert [row.get(name) for row in plain_rows(batch)] == plain


def test_plain_rows_are_queries_and_null_is_not_given() -> None:
    table = pa.table(
        {
            "user_id": ["u1", None],
            "history": pa.array([None, [{"item_id": "m1", "time": "2024-05-01"}]]),
            "k": pa.array([None, 3], pa.int32()),
            "country": ["c1", "c2"],
        }
    )
    check_columns(table.schema, ("country",), "the file")
    rows = plain_rows(table.to_batches()[0])
    assert rows == [{"user_id": "u1"}, {"history": [{"item_id": "m1", "time": "2024-05-01"}], "k": 3}]
    assert len(RecommendRequest.model_validate({"queries": rows}).queries) == 2


@pytest.mark.parametrize(
    ("columns", "keep", "message"),
    [
        ({"k": pa.int64()}, (), "no column that says who asks.*it has k"),
        ({}, (), "it has none"),
        ({"user_id": pa.int64()}, (), "'user_id' of the file is of the type int64: it must hold text"),
        ({"user_id": TEXT, "histroy": pa.list_(TEXT)}, (), "'histroy', which is no part of a query.*--keep histroy"),
        ({"user_id": TEXT, "k": pa.float64()}, (), "'k' of the file is of the type double.*whole numbers"),
        ({"history": TEXT}, (), "'history' of the file is of the type string: it must hold lists of ids"),
        ({"history": pa.list_(pa.int64())}, (), "'history'.*list<.*int64"),
        ({"history": pa.list_(pa.struct({"item_id": TEXT}))}, (), "'history'.*structs of `item_id` and `time`"),
        (
            {"history": pa.list_(pa.struct({"item_id": TEXT, "time": pa.timestamp("us")}))},
            (),
            "'history'.*seconds since 1970",
        ),
        ({"attributes": TEXT}, (), "'attributes'.*a map from relations"),
        ({"attributes": pa.map_(TEXT, TEXT)}, (), "'attributes'.*a map from relations"),
        ({"user_id": TEXT}, ("country",), "no column 'country' to keep; it has user_id"),
    ],
)
def test_a_column_that_is_none_is_named(columns, keep, message) -> None:
    with pytest.raises(InvalidDataError, match=message):
        check_columns(pa.schema(list(columns.items())), keep, "the file")


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidDataError, match="two columns 'user_id'"):
        check_columns(pa.schema([("user_id", TEXT), ("user_id", TEXT)]), (), "the file")
