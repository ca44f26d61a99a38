"""Metrics against plain loops and against PyG."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnn.evaluation.metrics import (
    bootstrap_interval,
    bootstrap_intervals,
    exposure_metrics,
    find_hits,
    hit_metrics,
    list_metrics,
    per_user_metrics,
)
from kg import RaggedArray
from kg.errors import InvalidDataError

ITEMS = 12


@st.composite
def rankings(draw: st.DrawFn) -> tuple[np.ndarray, list[set[int]], int]:
    users = draw(st.integers(1, 5))
    width = draw(st.integers(1, 8))
    k = draw(st.integers(1, 10))
    ranked, truth = [], []
    for _ in range(users):
        items = draw(st.permutations(range(ITEMS)))[:width]
        filled = draw(st.integers(0, width))
        ranked.append(items[:filled] + [-1] * (width - filled))
        truth.append(draw(st.sets(st.integers(0, ITEMS - 1), min_size=1)))
    return np.array(ranked), truth, k


def lists_of(truth: list[set[int]]) -> RaggedArray:
    rows = np.concatenate([np.full(len(t), r) for r, t in enumerate(truth)])
    return RaggedArray.from_pairs(rows, np.concatenate([sorted(t) for t in truth]), num_rows=len(truth))


def naive(ranked: list[int], truth: set[int], k: int) -> dict[str, float]:
    top = [item for item in ranked[:k] if item >= 0]
    hits = [rank for rank, item in enumerate(ranked[:k], 1) if item in truth]
    recall, precision = len(hits) / len(truth), len(hits) / k
    ideal = sum(1 / math.log2(r + 1) for r in range(1, min(len(truth), k) + 1))
    return {
        "recall": recall,
        "precision": precision,
        "f1": 2 * recall * precision / (recall + precision) if hits else 0.0,
        "hit_rate": float(bool(set(top) & truth)),
        "mrr": 1 / hits[0] if hits else 0.0,
        "map": sum((n + 1) / rank for n, rank in enumerate(hits)) / min(len(truth), k),
        "ndcg": sum(1 / math.log2(rank + 1) for rank in hits) / ideal,
    }


@given(rankings())
def test_agrees_with_a_plain_loop(case: tuple[np.ndarray, list[set[int]], int]) -> None:
    ranked, truth, k = case
    values = per_user_metrics(ranked, lists_of(truth), k)
    for row in range(len(ranked)):
        for name, expected in naive(ranked[row].tolist(), truth[row], k).items():
            assert values[name][row] == pytest.approx(expected), name


def test_agrees_with_pyg_where_its_input_is_clean() -> None:
    from torch_geometric.metrics import LinkPredMAP, LinkPredMRR, LinkPredNDCG, LinkPredPrecision, LinkPredRecall

    random = np.random.default_rng(0)
    ranked = np.stack([random.permutation(50)[:10] for _ in range(40)])
    truth = [set(random.choice(50, size=random.integers(1, 15), replace=False).tolist()) for _ in range(40)]
    lists = lists_of(truth)
    values = per_user_metrics(ranked, lists, 10)
    edges = torch.tensor(np.stack([lists.rows(), lists.values]))
    for name, kind in {
        "recall": LinkPredRecall,
        "precision": LinkPredPrecision,
        "ndcg": LinkPredNDCG,
        "map": LinkPredMAP,
        "mrr": LinkPredMRR,
    }.items():
        metric = kind(k=10)
        metric.update(torch.tensor(ranked), edges)
        assert values[name].mean() == pytest.approx(float(metric.compute()), abs=1e-6), name


def test_padding_is_never_a_hit() -> None:
    truth = RaggedArray.from_pairs(np.array([0, 1]), np.array([11, 3]), num_rows=2)
    assert not find_hits(np.array([[-1, -1], [-1, -1]]), truth).any()


def test_an_item_twice_in_a_list_is_refused() -> None:
    truth = RaggedArray.from_pairs(np.array([0]), np.array([3]), num_rows=1)
    with pytest.raises(InvalidDataError, match="twice"):
        find_hits(np.array([[3, 3]]), truth)


def test_users_without_truth_are_refused() -> None:
    truth = RaggedArray.from_pairs(np.array([0]), np.array([3]), num_rows=2)
    with pytest.raises(InvalidDataError, match="1 users have nothing to find"):
        per_user_metrics(np.zeros((2, 1), dtype=np.int64), truth, 1)


def test_list_metrics_by_hand() -> None:
    popularity = np.array([8, 4, 2, 1, 0])
    values = list_metrics(np.array([[0, 1], [0, -1]]), popularity, num_users=8, k=2)
    assert values["coverage"] == pytest.approx(2 / 5)
    assert values["novelty"] == pytest.approx((0 + 1 + 0) / 3)
    assert values["long_tail"] == pytest.approx(1 / 3)
    assert values["gini"] == pytest.approx((2 * 1 + 4 * 2) / (5 * 3))  # exposures 0, 0, 0, 1, 2


@pytest.mark.parametrize(("exposure", "gini"), [([3, 3, 3, 3], 0.0), ([0, 0, 0, 8], 0.75), ([0, 0, 0, 0], 0.0)])
def test_gini_is_0_for_equal_shares_and_near_1_for_a_single_item(exposure: list[int], gini: float) -> None:
    values = exposure_metrics(np.array(exposure), np.ones(4, dtype=np.int64), num_users=4)
    assert values["gini"] == pytest.approx(gini)


def test_several_cut_offs_at_once_are_those_of_each() -> None:
    random = np.random.default_rng(3)
    ranked = np.stack([random.permutation(ITEMS) for _ in range(20)])
    truth = RaggedArray.from_lists([np.sort(random.permutation(ITEMS)[: random.integers(1, 6)]) for _ in range(20)])
    ks = (1, 4, 9, 30)
    together = hit_metrics(find_hits(ranked, truth), truth.counts, ks)
    for k in ks:
        alone = per_user_metrics(ranked, truth, k)
        assert {name: values.tolist() for name, values in together[k].items()} == {
            name: values.tolist() for name, values in alone.items()
        }


def test_intervals_of_several_columns_are_those_of_each() -> None:
    values = np.random.default_rng(2).normal(size=(70, 3))
    together = bootstrap_intervals(values)
    for column, interval in enumerate(together):
        assert interval == pytest.approx(bootstrap_interval(values[:, column]))


def test_bootstrap_interval_covers_the_mean_and_shrinks() -> None:
    random = np.random.default_rng(1)
    few, many = random.normal(size=50), random.normal(size=5000)
    low, high = bootstrap_interval(few)
    assert low < few.mean() < high
    narrow = bootstrap_interval(many)
    assert narrow[1] - narrow[0] < (high - low) / 5
