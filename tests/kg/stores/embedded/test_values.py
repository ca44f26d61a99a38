"""Values on their way between a store and its process: as JSON, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg import KnowledgeGraph
from kg.errors import StoreError
from kg.stores.embedded.build import write_store
from kg.stores.embedded.store import EmbeddedStore
from kg.stores.embedded.values import decoded, encoded

ATOMS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.dates()
) | (
    st.datetimes(timezones=st.none() | st.just(UTC)).map(lambda moment: moment.replace(fold=0))
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.sampled_from(["$date", "$pairs", "$"]) | st.integers() | st.dates(), inner)
    ),
)


@given(VALUES)
@settings(max_examples=60)
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    assert decoded(encoded(value)) == value
    assert repr(decoded(encoded([value]))) == repr([value])


def test_tuples_and_arrays_become_lists() -> None:
    assert decoded(encoded({"x": (1, (2,)), "y": np.arange(3), "z": np.float32(0.5)})) == {
        "x": [1, [2]],
        "y": [0, 1, 2],
        "z": 0.5,
    }
    assert math.isnan(decoded(encoded(float("nan"))))
    with pytest.raises(TypeError, match=r"a value of the type builtins.object"):
        encoded([object()])


@pytest.fixture(scope="module")
def store(toy_graph: KnowledgeGraph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    file = tmp_path_factory.mktemp("store") / "g"
    write_store(toy_graph, file)
    with EmbeddedStore(file) as store:
        yield store


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 7, -(2**63), 0.1, float("inf"), "it's ü", "", b"\x00\xff", [1, None, 2], {"a": {"b": "c"}}),
        *(date(2020, 1, 2), datetime(2020, 1, 2, 3, 4, 5, 6), timedelta(3, 4, 5), Decimal("1.50")),
        UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ],
)
def test_a_parameter_comes_back_from_the_database_as_it_was(store: EmbeddedStore, value: Any) -> None:
    assert repr(store.query("RETURN $x AS x", {"x": value})) == repr([{"x": value}])


def test_what_a_query_makes_has_the_types_of_python(store: EmbeddedStore) -> None:
    text = "RETURN map([1, 2], ['a', 'b']) AS m, map(['$date'], [date('2020-01-02')]) AS n, {`$date`: 1} AS d"
    assert store.query(text) == [{"m": {1: "a", 2: "b"}, "n": {"$date": date(2020, 1, 2)}, "d": {"$date": 1}}]
    with pytest.raises(StoreError, match=r"Unknown parameter type: a value of the type .*object"):
        store.query("RETURN $x AS x", {"x": object()})
