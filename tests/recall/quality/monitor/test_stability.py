"""The population stability index."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recall.quality.monitor.stability import MOST_CLASSES, OTHERS, population_stability, stability

COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=12)


def test_it_is_the_sum_of_the_formula() -> None:
    before, now = np.array([4000.0, 6000.0]), np.array([5000.0, 5000.0])
    by_hand = (0.5 - 0.4) * math.log(0.5 / 0.4) + (0.5 - 0.6) * math.log(0.5 / 0.6)
    assert population_stability(before, now) == pytest.approx(by_hand, rel=1e-3)


@given(COUNTS, st.randoms())
def test_it_is_symmetric_never_negative_and_0_of_the_same(counts: list[int], random) -> None:
    before = np.array(counts, dtype=np.float64)
    now = before.copy()
    random.shuffle(now)
    there = population_stability(before, now)
    assert there >= 0
    assert there == pytest.approx(population_stability(now, before))
    assert population_stability(before, before) == 0


def test_an_empty_class_is_no_infinity_and_an_empty_side_says_nothing() -> None:
    assert 1 < population_stability(np.array([100.0, 0.0]), np.array([0.0, 100.0])) < 20
    assert population_stability(np.zeros(3), np.array([1.0, 2.0, 3.0])) == 0


def test_chance_alone_comes_to_what_the_paper_says() -> None:
    random = np.random.default_rng(3)
    shares, counts = random.dirichlet(np.full(8, 5.0)), 2000
    draws = [population_stability(*random.multinomial(counts, shares, size=2).astype(float)) for _ in range(400)]
    assert np.mean(draws) == pytest.approx((8 - 1) * 2 / counts, rel=0.2)


def test_what_has_moved_is_named_largest_first_and_light_classes_are_together() -> None:
    before = np.concatenate([[600.0, 300.0], np.full(MOST_CLASSES + 5, 1.0)])
    now = before.copy()
    now[:2] = 300.0, 600.0
    result = stability("candidates", "genre", [before, now], lambda number: f"class {number}")
    assert [moved.label for moved in result.moved][:2] == ["class 0", "class 1"]
    assert result.moved[0].before == pytest.approx(600 / before.sum(), abs=1e-4)
    moved = stability("candidates", "genre", [before, before[::-1].copy()], lambda number: f"class {number}")
    assert moved.index > result.index > 0.25
    swapped = (
        np.concatenate([[1000.0] * MOST_CLASSES, [1.0, 40.0]]),
        np.concatenate([[1000.0] * MOST_CLASSES, [40.0, 1.0]]),
    )
    alike = stability("input", "genre", swapped, str)
    assert alike.index == pytest.approx(0, abs=1e-9)
    assert OTHERS not in {moved.label for moved in alike.moved}
