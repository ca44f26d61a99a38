"""Every operator against a double loop over paths."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from scipy.sparse import csr_matrix, identity

from kg.arrays import RaggedArray
from kg.topology.walk import DirectStep, EntityStep, FollowingStep, Incidence, Powers, UserStep, largest
from kg.topology.walk.lists import largest_products

USERS, ITEMS, ENTITIES, OTHERS = 25, 18, 7, 9
POWERS = Powers(0.4, 0.6, 0.3)


def matrix_of(step):
    scores = np.zeros((ITEMS, ITEMS), dtype=np.float32)
    step.add_reached(scores, identity(ITEMS, format="csr", dtype=np.float32))
    return scores


def random_sets(seed, rows, width, most):
    rng = np.random.default_rng(seed)
    lists = [np.sort(rng.permutation(width)[: rng.integers(0, most + 1)]).tolist() for _ in range(rows)]
    return RaggedArray.from_lists(lists)


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(1)
    lists = [rng.permutation(ITEMS)[: rng.integers(0, 9)].tolist() for _ in range(USERS - 2)]
    return RaggedArray.from_lists([*lists, [3], []])


@pytest.fixture(scope="module")
def liked(sequences):
    return RaggedArray.from_pairs(sequences.rows(), sequences.values, num_rows=USERS)


def degrees(lists):
    return np.bincount(lists.values, minlength=ITEMS)


def user_paths(liked, longest):
    """(start, user, end) -> worth, by loops."""
    degree, paths = degrees(liked), {}
    for user in range(len(liked)):
        items = liked[user].tolist()
        if len(items) > longest:
            continue
        for start, end in itertools.permutations(items, 2):
            paths[start, user, end] = degree[start] ** -0.4 * len(items) ** -0.6 * degree[end] ** -0.3
    return paths


def following_paths(sequences, window, decay):
    degree, paths = degrees(sequences), defaultdict(float)
    for user in range(len(sequences)):
        items = sequences[user].tolist()
        for at, start in enumerate(items):
            for gap in range(1, window + 1):
                if at + gap < len(items) and items[at + gap] != start:
                    end = items[at + gap]
                    scale = degree[start] ** -0.4 * len(items) ** -0.6 * degree[end] ** -0.3
                    paths[start, user, end] += decay ** (gap - 1) * scale
    return dict(paths)


def check(step, expected, between):
    """The operator and its paths say what the loops say; `expected` names whole paths, start first and end last."""
    sums = np.zeros((ITEMS, ITEMS))
    for (start, *_, end), worth in expected.items():
        sums[start, end] += worth
    np.testing.assert_allclose(matrix_of(step), sums, rtol=1e-5, atol=1e-7)
    starts = np.array([5, 0, 17, 5, *range(ITEMS)])
    for end in range(ITEMS):
        paths = step.paths(starts, end)
        assert paths.middle.shape == (len(paths.row), between)
        told = {}
        for row, middle, value in zip(paths.row, paths.middle.tolist(), paths.values, strict=True):
            told.setdefault((int(row), *middle), []).append(value)
        assert all(len(values) == 1 for values in told.values()), "a path is told twice"
        wanted = {
            (row, *path[1:-1]): worth
            for row, start in enumerate(starts.tolist())
            for path, worth in expected.items()
            if path[0] == start and path[-1] == end and worth
        }
        assert told.keys() == wanted.keys()
        for path, (value,) in told.items():
            assert value == pytest.approx(wanted[path], rel=1e-5)


@pytest.mark.parametrize("longest", [100, 5, 1])
def test_through_users(liked, longest):
    step = UserStep.build(liked, ITEMS, powers=POWERS, longest=longest, neighbours=ITEMS)
    check(step, user_paths(liked, longest), 1)


def test_lists_keep_the_best_ends_and_paths_follow_them(liked):
    whole = matrix_of(UserStep.build(liked, ITEMS, powers=POWERS, neighbours=ITEMS))
    cut = UserStep.build(liked, ITEMS, powers=POWERS, neighbours=3)
    for start, row in enumerate(matrix_of(cut)):
        best = sorted(range(ITEMS), key=lambda end: (-whole[start, end], end))[:3]
        assert set(np.flatnonzero(row)) == {end for end in best if whole[start, end] > 0}
        np.testing.assert_allclose(row[row > 0], whole[start, row > 0], rtol=1e-6)
        for end in range(ITEMS):
            total = cut.paths(np.array([start]), end).values.sum()
            assert total == pytest.approx(row[end], rel=1e-5)


@pytest.mark.parametrize(("window", "decay"), [(1, 0.5), (3, 0.7), (50, 1.0)])
def test_what_followed(sequences, window, decay):
    step = FollowingStep.build(sequences, ITEMS, powers=POWERS, window=window, decay=decay, neighbours=ITEMS)
    check(step, following_paths(sequences, window, decay), 1)


def test_a_user_who_repeats_a_pair_makes_one_path_with_the_sum():
    sequences = RaggedArray.from_lists([[0, 1, 0, 1, 1]])
    step = FollowingStep.build(sequences, ITEMS, powers=POWERS, window=3, decay=0.5, neighbours=ITEMS)
    check(step, following_paths(sequences, 3, 0.5), 1)
    paths = step.paths(np.array([0]), 1)
    scale = 2**-0.4 * 5**-0.6 * 3**-0.3
    assert paths.values.tolist() == pytest.approx([(1 + 0.25 + 1 + 0.5) * scale])


def entity_paths(first, second=None, *, rarity=0.0, gain=None):
    """(start, x, end), or (start, y, x, z, end) through two relations, -> worth."""
    reach = defaultdict(float)
    for item in range(ITEMS):
        for near in first[item].tolist():
            if second is None:
                reach[item, near] += 1
            else:
                for far in second[near].tolist():
                    reach[item, far] += len(second[near]) ** -0.6
    counts, shared = defaultdict(int), defaultdict(int)
    for item, entity in reach:
        counts[item] += 1
        shared[entity] += 1
    items = len(counts)
    gain = np.ones(ITEMS) if gain is None else gain
    worth = {e: (math.log(items / d) ** rarity if rarity else 1.0) * d**-0.6 for e, d in shared.items()}
    paths = {}
    for (start, entity), (end, other) in itertools.product(reach, reach):
        if entity != other:
            continue
        scale = counts[start] ** -0.4 * worth[entity] * counts[end] ** -0.3 * gain[end]
        if second is None:
            paths[start, entity, end] = scale
            continue
        for near, far in itertools.product(first[start].tolist(), first[end].tolist()):
            if entity in second[near] and entity in second[far]:
                passed = len(second[near]) ** -0.6 * len(second[far]) ** -0.6
                paths[start, near, entity, far, end] = scale * passed
    return paths


@pytest.mark.parametrize("rarity", [0.0, 1.5])
def test_through_entities(rarity):
    ends = random_sets(2, ITEMS, ENTITIES, 4)
    gain = np.linspace(1, 3, ITEMS)
    step = EntityStep([Incidence(ends, ENTITIES)], powers=POWERS, rarity=rarity, gain=gain)
    check(step, entity_paths(ends, rarity=rarity, gain=gain), 1)


def test_through_two_relations():
    first, second = random_sets(3, ITEMS, ENTITIES, 3), random_sets(4, ENTITIES, OTHERS, 4)
    step = EntityStep([Incidence(first, ENTITIES), Incidence(second, OTHERS)], powers=POWERS)
    check(step, entity_paths(first, second), 3)


def test_a_hub_stays_one_column():
    """Half a million items that share one entity: the product would have 2.5e11 entries."""
    count = 500_000
    ends = RaggedArray.from_pairs(np.arange(count), np.zeros(count, dtype=np.int64), num_rows=count)
    step = EntityStep([Incidence(ends, 1)], powers=POWERS)
    start = csr_matrix(([1.0], ([0], [7])), shape=(1, count), dtype=np.float32)
    scores = np.zeros((1, count), dtype=np.float32)
    step.add_reached(scores, start)
    assert (scores > 0).all()
    assert step.outward.nnz == step.inward.nnz == count
    paths = step.paths(np.array([7]), 123_456)
    assert paths.middle.tolist() == [[0]]
    assert paths.values[0] == pytest.approx(count**-0.6, rel=1e-5)


def test_direct_edges():
    lists = csr_matrix(np.array([[0, 2, 0], [0.5, 0, 1], [0, 0, 0]], dtype=np.float32))
    step = DirectStep(lists)
    paths = step.paths(np.array([1, 0, 2]), 0)
    assert paths.row.tolist() == [0]
    assert paths.middle.shape == (1, 0)
    assert paths.values.tolist() == [0.5]


def test_nothing_to_walk_on():
    none = RaggedArray.empty(3)
    for step in (
        UserStep.build(none, ITEMS, powers=POWERS),
        FollowingStep.build(none, ITEMS, powers=POWERS),
        EntityStep([Incidence(RaggedArray.empty(ITEMS), 0)], powers=POWERS),
    ):
        assert matrix_of(step).sum() == 0
        assert len(step.paths(np.arange(ITEMS), 4).row) == 0


def test_largest_keeps_equal_entries_by_column():
    matrix = csr_matrix(np.array([[1, 3, 3, 3, 2], [0, 0, 1, 0, 0], [-1, 0, 0, 0, 0]], dtype=np.float32))
    assert largest(matrix, 2).toarray().tolist() == [[0, 3, 3, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]


def test_products_in_blocks_are_those_of_the_whole(monkeypatch):
    rng = np.random.default_rng(0)
    left = csr_matrix(rng.random((40, 30)) * (rng.random((40, 30)) < 0.2))
    right = csr_matrix(rng.random((30, 40)) * (rng.random((30, 40)) < 0.2))
    expected = largest((left @ right).tocsr(), 5).toarray()
    monkeypatch.setattr("kg.topology.walk.lists._WORK", 50)
    np.testing.assert_allclose(largest_products(left, right, 5, diagonal=True).toarray(), expected, rtol=1e-6)
