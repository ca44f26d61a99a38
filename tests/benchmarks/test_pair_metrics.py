"""Measures of labelled pairs against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pair_metrics import auc, auc_draws, f1_score
from kg.errors import InvalidDataError


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = draw(st.integers(2, 30))
    labels = [True, False, *draw(st.lists(st.booleans(), min_size=size - 2, max_size=size - 2))]
    scores = draw(st.lists(st.sampled_from([-1.5, 0.0, 0.25, 2.0]), min_size=size, max_size=size))  # many ties
    times = draw(st.lists(st.integers(1, 3), min_size=size, max_size=size))
    return np.array(labels), np.array(scores), np.array(times)


def naive_auc(labels: list[bool], scores: list[float]) -> float:
    won = [
        1.0 if right > wrong else 0.5 if right == wrong else 0.0
        for right, liked in zip(scores, labels, strict=True)
        for wrong, other in zip(scores, labels, strict=True)
        if liked and not other
    ]
    return sum(won) / len(won)


@given(labelled())
def test_auc_agrees_with_a_plain_loop_over_all_pairs(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    labels, scores, times = case
    assert auc(labels, scores) == pytest.approx(naive_auc(labels.tolist(), scores.tolist()))
    repeated = naive_auc(np.repeat(labels, times).tolist(), np.repeat(scores, times).tolist())
    assert auc(labels, scores, times.astype(np.float64)) == pytest.approx(repeated)


def test_auc_of_one_label_or_of_no_numbers_is_refused() -> None:
    with pytest.raises(InvalidDataError, match="both labels"):
        auc(np.array([True, True]), np.array([0.0, 1.0]))
    with pytest.raises(InvalidDataError, match="1 of 2 scores"):
        auc(np.array([True, False]), np.array([0.0, np.nan]))


def test_auc_draws_are_those_of_repeated_users() -> None:
    random = np.random.default_rng(3)
    users = np.sort(random.integers(0, 40, 300)) * 7
    labels, scores = random.random(300) < 0.5, random.integers(0, 9, 300) / 4
    values = auc_draws(users, labels, scores, draws=5, seed=2)
    again, who = np.random.default_rng(2), np.unique(users)
    for value in values:
        rows = np.concatenate([np.flatnonzero(users == user) for user in who[again.integers(0, len(who), len(who))]])
        assert value == pytest.approx(naive_auc(labels[rows].tolist(), scores[rows].tolist()))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=20))
def test_f1_agrees_with_precision_and_recall(pairs: list[tuple[bool, bool]]) -> None:
    labels, predicted = (np.array([pair[at] for pair in pairs], dtype=bool) for at in (0, 1))
    hits = sum(1 for label, said in pairs if label and said)
    expected = 0.0
    if hits:
        precision, recall = hits / sum(said for _, said in pairs), hits / sum(label for label, _ in pairs)
        expected = 2 * precision * recall / (precision + recall)
    assert f1_score(labels, predicted) == pytest.approx(expected)
