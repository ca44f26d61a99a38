from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kg import Vocabulary
from kg.arrays import distinct
from kg.errors import InvalidDataError, UnknownIdError
from kg.vocabulary import stable_hash

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@given(st.lists(NAMES, unique=True, max_size=12), st.lists(NAMES, max_size=12))
def test_index_and_take_agree_with_a_dictionary(ids: list[str], asked: list[str]) -> None:
    vocabulary = Vocabulary("movie", pa.chunked_array([ids[:3], ids[3:]], type=pa.string()))
    place = {name: number for number, name in enumerate(ids)}
    positions = vocabulary.index(asked, missing="negative")
    assert positions.dtype == np.int64
    assert positions.tolist() == [place.get(name, -1) for name in asked]
    assert vocabulary.take(positions).to_pylist() == [name if name in place else None for name in asked]
    assert len(vocabulary) == len(ids)


@given(st.lists(NAMES, unique=True, max_size=6), st.lists(NAMES, unique=True, max_size=6))
def test_fingerprints_are_equal_for_equal_ids_only(first: list[str], second: list[str]) -> None:
    prints = [Vocabulary("movie", pa.array(ids, type=pa.string())).fingerprint for ids in (first, second)]
    assert (prints[0] == prints[1]) == (first == second)


def test_a_separator_inside_an_id_makes_another_fingerprint() -> None:
    assert Vocabulary("t", pa.array(["a\nb"])).fingerprint != Vocabulary("t", pa.array(["a", "b"])).fingerprint


def test_an_unknown_id_is_named_with_its_nearest() -> None:
    vocabulary = Vocabulary("movie", pa.array(["alien", "aliens", "brazil"]))
    with pytest.raises(UnknownIdError) as caught:
        vocabulary.index(["brazil", "alein", "zzz"])
    assert str(caught.value) == "unknown movie id: 'alein' (nearest: 'alien'), 'zzz'"


def test_a_missing_id_is_unknown() -> None:
    vocabulary = Vocabulary("movie", pa.array(["a"]))
    assert vocabulary.index(pa.array([None, "a"]), missing="negative").tolist() == [-1, 0]
    with pytest.raises(UnknownIdError, match="None"):
        vocabulary.index(pa.array([None, "a"]))


@pytest.mark.parametrize("given_ids", ["alien", [1, 2]])
def test_what_is_no_list_of_strings_is_refused(given_ids: object) -> None:
    with pytest.raises(InvalidDataError, match="movie ids"):
        Vocabulary("movie", pa.array(["alien"])).index(given_ids)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_strings_of_every_arrow_kind(kind: pa.DataType) -> None:
    vocabulary = Vocabulary("movie", pa.array(["b", "a"]).cast(kind))
    assert vocabulary.index(pa.array(["a", "b"]).cast(kind)).tolist() == [1, 0]


@given(st.lists(NAMES, min_size=1, max_size=8, unique=True), st.integers(-(2**63), 2**63 - 1))
def test_a_hash_depends_on_its_own_id_and_the_seed_only(ids: list[str], seed: int) -> None:
    together = stable_hash(pa.array(ids), seed)
    assert together.dtype == np.uint64
    assert together.tolist() == [int(stable_hash([name], seed)[0]) for name in ids]
    assert len(set(together.tolist())) == len(ids)
    assert stable_hash(ids, seed ^ 1).tolist() != together.tolist()


def test_hashes_never_change_between_versions() -> None:
    assert stable_hash(["m1", "u1"], 0).tolist() == [6363082368199444097, 1125048836118846319]


@given(st.lists(st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)))
def test_distinct_values_are_those_of_a_set_in_order(values: list[int]) -> None:
    for kind in (np.int64, np.int32):
        given_values = np.array(values, dtype=np.int64).astype(kind)
        before = given_values.copy()
        unique = distinct(given_values)
        assert unique.tolist() == sorted(set(given_values.tolist()))
        assert unique.dtype == kind
        assert (given_values == before).all()
