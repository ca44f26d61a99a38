"""The best k of a block, against sorting everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from kg import RaggedArray
from kg.errors import ConfigError, InvalidDataError
from recall.index.top_k import best_first, check_k, check_positions, is_crowded, mask_out, top_k, top_k_sparse


def naive(scores, k, columns):
    rows = []
    for row in scores:
        order = sorted((-value, columns[at]) for at, value in enumerate(row) if value > -np.inf)[:k]
        rows.append([item for _, item in order] + [-1] * (k - len(order)))
    return np.array(rows).reshape(len(scores), k)


@settings(max_examples=200)
@given(st.integers(0, 5), st.integers(0, 12), st.integers(1, 15), st.randoms(use_true_random=False))
def test_equals_a_full_sort_with_many_ties(rows, width, k, random):
    values = [random.choice([-np.inf, 0.0, 0.0, 1.0, 2.0]) for _ in range(rows * width)]
    scores = np.array(values, dtype=np.float32).reshape(rows, width)
    columns = np.array(sorted(random.sample(range(100), width)), dtype=np.int64)
    top = top_k(scores, k, columns=columns)
    np.testing.assert_array_equal(top.items, naive(scores, k, columns))
    for row in range(rows):
        for item, score in zip(top.items[row], top.scores[row], strict=True):
            assert score == (-np.inf if item < 0 else scores[row, list(columns).index(item)])


@settings(max_examples=200)
@given(st.integers(1, 5), st.integers(0, 12), st.integers(1, 15), st.randoms(use_true_random=False))
def test_sparse_equals_dense(rows, width, k, random):
    values = [random.choice([0.0, 0.0, -1.0, 1.0, 2.0]) for _ in range(rows * width)]
    scores = np.array(values, dtype=np.float32).reshape(rows, width)
    columns = np.array(sorted(random.sample(range(100), width)), dtype=np.int64)
    listed = [(row, item) for row in range(rows) for item in random.sample(range(100), 30)]
    exclude = RaggedArray.from_pairs(*np.array(listed).T, num_rows=rows)
    sparse = top_k_sparse(csr_matrix(scores), k, exclude=exclude, columns=columns)
    dense = np.where(scores == 0, -np.inf, scores).astype(np.float32)
    mask_out(dense, exclude, columns)
    np.testing.assert_array_equal(sparse.items, top_k(dense, k, columns=columns).items)


@pytest.mark.parametrize("excluded", [None, [], [[4, 1200], [4, 1200, 2999], [], [0]]])
@pytest.mark.parametrize("columns", [None, np.arange(3000) * 2 + 1])
def test_a_matrix_with_few_entries_equals_a_full_sort(columns, excluded):
    random = np.random.default_rng(1)
    scores = np.where(random.random((4, 3000)) < 0.01, random.choice([-1.0, 1.0, 2.0], (4, 3000)), 0).astype(np.float32)
    scores[:, [4, 1200, 2999]] = 3.0
    stored = csr_matrix(scores)
    stored.data[::7] = 0.0  # stored, but no evidence
    scores = stored.toarray()
    assert not is_crowded(stored)
    names = np.arange(3000) if columns is None else columns
    exclude = None if excluded is None else RaggedArray.from_lists([names[row] for row in excluded] or [[]] * 4)
    dense = np.where(scores == 0, -np.inf, scores).astype(np.float32)
    for row, listed in enumerate(excluded or []):
        dense[row, listed] = -np.inf
    top = top_k_sparse(stored, 50, exclude=exclude, columns=columns)
    np.testing.assert_array_equal(top.items, naive(dense, 50, list(names)))
    there = top.items >= 0
    assert not there.all()  # some rows have fewer
    assert (top.scores[~there] == -np.inf).all()
    rows = np.nonzero(there)[0]
    np.testing.assert_array_equal(top.scores[there], dense[rows, np.searchsorted(names, top.items[there])])
    assert (top.items.dtype, top.scores.dtype) == (np.int64, np.float32)


def test_best_first_is_stable_and_knows_signs():
    rows = np.array([1, 0, 0, 1, 0, 0, 0])
    scores = np.array([2.0, -0.0, 0.0, 3.0, -2.5, 1.5, -0.1], dtype=np.float32)
    assert best_first(rows, scores).tolist() == [5, 1, 2, 6, 4, 3, 0]


def test_the_block_is_left_as_it_was():
    scores = np.random.default_rng(0).normal(size=(4, 30)).astype(np.float32)
    before = scores.copy()
    top_k(scores, 5)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("columns", [None, np.array([0, 2, 3, 7])])
def test_masks_what_is_listed(columns):
    lists = RaggedArray(np.array([0, 2, 2, 4]), np.array([2, 5, 0, 7]))
    width = 8 if columns is None else len(columns)
    scores = np.zeros((3, width), dtype=np.float32)
    mask_out(scores, lists, columns)
    names = np.arange(8) if columns is None else columns
    for row in range(3):
        np.testing.assert_array_equal(np.isinf(scores[row]), np.isin(names, lists[row]))


def test_masking_nothing_from_no_columns_is_fine():
    scores = np.zeros((1, 0), dtype=np.float32)
    mask_out(scores, RaggedArray(np.array([0, 1]), np.array([3])), np.zeros(0, dtype=np.int64))
    assert scores.shape == (1, 0)


def test_contains_knows_rows_apart_and_no_missing_item():
    lists = RaggedArray(np.array([0, 2, 3]), np.array([1, 4, 0]))
    found = np.array([[4, 0, -1], [0, 1, 9]])
    np.testing.assert_array_equal(lists.contains(found), [[True, False, False], [True, False, False]])


def test_k_and_positions_are_checked():
    for k in (1, 7, np.int64(3)):
        check_k(k)
    with pytest.raises(ConfigError, match="k = 0"):
        check_k(0)
    for wrong in (True, 2.0, "3", None):
        with pytest.raises(ConfigError, match=f"k = {wrong!r} must be a whole number"):
            check_k(wrong)
    with pytest.raises(InvalidDataError, match="candidates name positions 1 to 5, but there are 5 items"):
        check_positions(np.array([1, 3, 5]), 5, "candidates")
    with pytest.raises(InvalidDataError, match="name positions -1 to 3,"):
        check_positions(np.array([3, -1]), 5, "candidates")
    ready = np.array([0, 2, 4])
    assert check_positions(ready, 5, "candidates") is ready  # what is sorted is not sorted again
    for twice in ([3, 1, 3], [1, 1, 3]):
        np.testing.assert_array_equal(check_positions(np.array(twice), 5, "candidates"), [1, 3])
    assert check_positions(np.array([1, 3], dtype=np.int32), 5, "candidates").dtype == np.int64


def wide_rows(kind, random):
    """Rows wide enough that columns are grouped."""
    scores = random.normal(size=(7, 3000)).astype(np.float32)
    if kind == "many ties":
        return np.round(scores, 1)
    if kind == "plateau with few above":
        return np.where(random.random(scores.shape) < 0.001, scores, 0).astype(np.float32)
    if kind == "plateau above the bound":  # one group of columns holds all that is good
        return np.where(np.arange(3000) % 40 == 0, np.abs(scores), 0).astype(np.float32)
    if kind == "all equal":
        return np.zeros_like(scores)
    if kind == "few at all":
        return np.where(random.random(scores.shape) < 0.001, scores, -np.inf).astype(np.float32)
    return scores


@pytest.mark.parametrize("k", [1, 5, 40, 3000, 4000])
@pytest.mark.parametrize(
    "kind",
    ["no ties", "many ties", "plateau with few above", "plateau above the bound", "all equal", "few at all"],
)
def test_wide_rows_equal_a_full_sort(kind, k):
    scores = wide_rows(kind, np.random.default_rng(0))
    top = top_k(scores, k)
    np.testing.assert_array_equal(top.items, naive(scores, k, list(range(3000))))
    there = top.items >= 0
    rows = np.nonzero(there)[0]
    np.testing.assert_array_equal(top.scores[there], scores[rows, top.items[there]])
    assert (top.scores[~there] == -np.inf).all()
