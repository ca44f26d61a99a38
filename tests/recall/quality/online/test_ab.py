"""A/B tests by simulation: power, coverage of intervals, and chance findings at one look and at several."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kg.errors import ConfigError, InvalidDataError
from recall.quality.online.fixed import compare_means, compare_shares
from recall.quality.online.sequential import plan_looks
from recall.quality.online.sizes import people_for_means, people_for_shares
from tests.recall.quality.online.simulation import is_plausible

pytest.importorskip("statsmodels")


def test_so_many_people_give_the_power() -> None:
    random = np.random.default_rng(0)
    before, after = people_for_shares(0.10, 0.13, power=0.8, ratio=2)
    assert after == 2 * before
    draws = 600
    found = sum(
        compare_shares((random.binomial(before, 0.10), before), (random.binomial(after, 0.13), after)).p < 0.05
        for _ in range(draws)
    )
    assert is_plausible(found, draws, 0.8)
    before, after = people_for_means(0.3, 1.0, power=0.9)
    found = sum(compare_means(random.normal(0, 1, before), random.normal(0.3, 1, after)).p < 0.05 for _ in range(draws))
    assert is_plausible(found, draws, 0.9)


def test_a_smaller_change_needs_more_people() -> None:
    sizes = [people_for_shares(0.1, 0.1 + change)[0] for change in (0.05, 0.02, 0.01)]
    assert sizes == sorted(sizes)
    assert sizes[2] > 4 * sizes[1] * 0.8


def test_fixed_tests_find_nothing_where_nothing_is_and_intervals_cover() -> None:
    random = np.random.default_rng(1)
    draws, found, covered_share, covered_mean = 1000, 0, 0, 0
    for _ in range(draws):
        same = compare_shares((random.binomial(500, 0.2), 500), (random.binomial(700, 0.2), 700))
        found += same.p < 0.05
        share = compare_shares((random.binomial(500, 0.2), 500), (random.binomial(700, 0.25), 700))
        covered_share += share.interval[0] <= 0.05 <= share.interval[1]
        mean = compare_means(random.exponential(1, 150), random.exponential(1.5, 200))
        covered_mean += mean.interval[0] <= 0.5 <= mean.interval[1]
    assert is_plausible(found, draws, 0.05)
    assert is_plausible(covered_share, draws, 0.95)
    assert abs(covered_mean / draws - 0.95) < 0.025  # skewed data: near, not exact


@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock"])
def test_looking_four_times_finds_nothing_more_than_alpha(spending) -> None:
    random = np.random.default_rng(2)
    people = [400, 800, 1200, 1600]
    plan = plan_looks(people, alpha=0.05, spending=spending)
    draws, ended, careless = 6000, 0, 0
    outcomes = random.normal(size=(draws, people[-1] // 2, 2))
    sums = outcomes.cumsum(axis=1)
    looks = [
        (sums[:, count // 2 - 1, 1] - sums[:, count // 2 - 1, 0]) / math.sqrt(count) for count in people
    ]  # the difference of two sums of count / 2 each, over its standard error
    for row in range(draws):
        zs = [float(look[row]) for look in looks]
        ended += any(plan.ends(number, z) for number, z in enumerate(zs, 1))
        careless += any(abs(z) >= 1.96 for z in zs)
    assert is_plausible(ended, draws, 0.05)
    assert careless / draws > 0.1  # what the plan is for


def test_bounds_are_the_published_ones() -> None:
    """Bounds by Lan and DeMets for five equal looks, two-sided .05, as R's gsDesign and ldbounds print them."""
    obrien = plan_looks([1, 2, 3, 4, 5]).bounds
    assert obrien == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-3)
    pocock = plan_looks([1, 2, 3, 4, 5], spending="pocock").bounds
    assert pocock == pytest.approx([2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=4e-3)
    assert plan_looks([100]).bounds == pytest.approx([1.95996], abs=1e-4)


def test_early_looks_end_a_test_with_a_large_difference() -> None:
    random = np.random.default_rng(3)
    plan = plan_looks([200, 400])
    ended = 0
    for _ in range(200):
        test = compare_means(random.normal(0, 1, 100), random.normal(0.7, 1, 100))
        ended += plan.ends(1, test.difference / math.sqrt(2 / 100))
    assert ended > 180


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: people_for_shares(0, 0.1), "before = 0 must lie between 0 and 1"),
        (lambda: people_for_shares(0.1, 0.1), "no change to be seen"),
        (lambda: people_for_shares(0.1, 0.2, power=1.5), "power = 1.5"),
        (lambda: people_for_shares(0.1, 0.2, power=0.04), "must be above alpha"),
        (lambda: people_for_shares(0.1, 0.2, ratio=0), "ratio = 0"),
        (lambda: people_for_means(0.1, 0), "deviation = 0"),
        (lambda: people_for_means(math.nan, 1), "no change"),
        (lambda: plan_looks([]), "1 to 10 looks, not 0"),
        (lambda: plan_looks([3, 2]), "must ascend from look to look: 3, 2"),
        (lambda: plan_looks([1, 2], alpha=0), "alpha = 0"),
        (lambda: plan_looks([1, 2], spending="greedy"), "not 'greedy'"),
        (lambda: plan_looks([1, 2]).ends(3, 0.0), "look 3 was not planned"),
    ],
)
def test_plans_that_cannot_be_are_refused(call, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare_shares((1, 0), (1, 2)), "1 of 0 people in the group 'before'"),
        (lambda: compare_shares((1, 2), (3, 2)), "3 of 2 people in the group 'after'"),
        (lambda: compare_means([1.0], [1.0, 2.0]), "before has 1 values"),
        (lambda: compare_means([1.0, 2.0], [1.0, math.nan]), "1 values of after are missing"),
        (lambda: compare_means(["a", "b"], [1.0, 2.0]), "before must be numbers"),
        (lambda: compare_means([[1.0, 2.0]], [1.0, 2.0]), "a list of numbers"),
        (lambda: plan_looks([1, 2]).ends(1, math.nan), "z is no number"),
    ],
)
def test_data_that_say_nothing_are_refused(call, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        call()


def test_groups_that_are_all_alike() -> None:
    assert compare_shares((0, 5), (0, 5)).p == 1.0
    assert compare_shares((5, 5), (5, 5)).difference == 0
    assert compare_means([1.0, 1.0], [1.0, 1.0]).p == 1.0
    assert compare_means([1.0, 1.0], [2.0, 2.0]).p == 0.0
