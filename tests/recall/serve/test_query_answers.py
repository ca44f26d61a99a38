"""Queries as plain data, answered together as one table."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from recall.serve.query_answers import recommend_table
from recall.serve.query_tables import query_rows
from recall.serve.questions import RecommendRequest


def request(queries, **options) -> RecommendRequest:
    return RecommendRequest.model_validate({"queries": queries, "titles": False, **options})


def test_queries_of_every_kind_are_answered_in_their_order(recommender) -> None:
    queries = [
        {"user_id": "u1", "k": 2},
        {"liked": ["m1", "m2"]},
        {"user_id": "u2", "exclude": ["m3"]},
        {"user_id": "u1", "k": 2},
        {"user_id": "u1", "candidates": ["m4", "m5", "m6"]},
    ]
    rows = recommend_table(recommender, request(queries, k=3, exclude_seen=False)).to_pylist()
    items = [[row["item_id"] for row in rows if row["query"] == number] for number in range(len(queries))]
    calls = [
        recommender.recommend(["u1"], k=2, exclude_seen=False),
        recommender.recommend_for(liked=["m1", "m2"], k=3, exclude_seen=False),
        recommender.recommend(["u2"], k=3, exclude=["m3"], exclude_seen=False),
        recommender.recommend(["u1"], k=2, exclude_seen=False),
        recommender.recommend(["u1"], k=3, candidates=["m4", "m5", "m6"], exclude_seen=False),
    ]
    assert items == [call.table["item_id"].to_pylist() for call in calls]
    assert [row["query"] for row in rows] == sorted(row["query"] for row in rows)
    assert {row["user_id"] for row in rows if row["query"] == 1} == {None}


def test_a_query_is_a_user_or_somebody_new() -> None:
    for query in ({}, {"user_id": "u1", "liked": ["m1"]}, {"user_id": "u1", "kk": 3}, {"user_id": 1}):
        with pytest.raises(ValidationError):
            request([query])


def test_rows_of_a_table_are_queries_and_null_is_not_given() -> None:
    table = pa.table({"user_id": ["u1", None], "liked": [None, ["m1"]], "k": pa.array([None, 3])})
    assert query_rows(table) == [{"user_id": "u1"}, {"liked": ["m1"], "k": 3}]
    assert query_rows(table.to_batches()[0]) == query_rows(table)
