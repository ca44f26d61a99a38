"""Interleaving by simulated people: fair where nothing differs, and a better ranking wins."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from kg.errors import ConfigError, InvalidDataError
from recall.quality.online.interleaving import Interleaved, Winner, balanced, preference, team_draft
from tests.recall.quality.online.simulation import is_plausible

METHODS = [team_draft, balanced]
ITEMS = [f"i{number}" for number in range(12)]


def clicks(shown: Interleaved, liked: set[str], random: np.random.Generator) -> list[str]:
    """Of somebody who looks at fewer and fewer places from the top, and mostly clicks on what he likes."""
    return [
        str(item)
        for place, item in enumerate(shown.items)
        if random.random() < 0.9**place and random.random() < (0.6 if item in liked else 0.1)
    ]


@pytest.mark.parametrize("method", METHODS)
def test_lists_hold_the_best_of_both_and_each_item_once(method) -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        first, second = ([str(item) for item in random.permutation(ITEMS)[: random.integers(0, 9)]] for _ in range(2))
        k = int(random.integers(1, 9))
        shown = method(first, second, k=k, random=random)
        union = set(first) | set(second)
        assert len(shown.items) == min(k, len(union))
        assert len(set(shown.items)) == len(shown.items)
        assert set(shown.items) <= union
        if shown.items:
            assert shown.items[0] in (first[:1] + second[:1])
        if shown.teams is not None:
            for item, team in zip(shown.items, shown.teams, strict=True):
                assert item in (first if team else second)


def test_teams_have_as_many_items() -> None:
    random = np.random.default_rng(1)
    for _ in range(100):
        first, second = ([str(item) for item in random.permutation(ITEMS)] for _ in range(2))
        teams = team_draft(first, second, k=8, random=random).teams
        assert teams is not None
        assert sum(teams) == 4


def test_the_balanced_list_is_that_of_the_paper() -> None:
    first, second = ["a", "b", "c", "d"], ["b", "e", "a", "f"]
    lists = {balanced(first, second, k=4, random=np.random.default_rng(seed)).items for seed in range(20)}
    assert lists == {("a", "b", "e", "c"), ("b", "a", "e", "c")}
    shown = Interleaved(("a", "b", "e", "c"), tuple(first), tuple(second), None)
    assert shown.winner(["e"]) == "second"  # the best two of each: e is among those of the second alone
    assert shown.winner(["a"]) == "first"
    assert shown.winner(["a", "b"]) == "tie"  # the best one of each was clicked
    assert shown.winner([]) == "tie"


@pytest.mark.parametrize("method", METHODS)
def test_equally_good_rankings_win_equally_often(method) -> None:
    """Type I error: of tests where nothing differs, one in twenty or fewer finds something."""
    random = np.random.default_rng(2)
    found, wins = 0, Counter[Winner]()
    tests, cases = 150, 60
    for _ in range(tests):
        winners = []
        for _ in range(cases):
            first, second = ([str(item) for item in random.permutation(ITEMS)] for _ in range(2))
            shown = method(first, second, k=6, random=random)
            winners.append(shown.winner(clicks(shown, set(ITEMS[:4]), random)))
        wins.update(winners)
        found += preference(winners).p < 0.05
    assert is_plausible(wins["first"], wins["first"] + wins["second"], 0.5)
    assert found <= 0.05 * tests or is_plausible(found, tests, 0.05)  # the exact test finds fewer


@pytest.mark.parametrize("method", METHODS)
def test_a_better_ranking_wins(method) -> None:
    random = np.random.default_rng(3)
    winners = []
    for _ in range(300):
        liked = [str(item) for item in random.permutation(ITEMS)[:4]]
        others = [item for item in ITEMS if item not in liked]
        good = liked[:3] + others[:3] + liked[3:] + others[3:]
        bad = [str(item) for item in random.permutation(ITEMS)]
        shown = method(good, bad, k=6, random=random)
        winners.append(shown.winner(clicks(shown, set(liked), random)))
    result = preference(winners)
    assert result.share > 0.5
    assert result.p < 0.01
    assert result.interval[0] > 0.5


def test_the_interval_covers_the_share() -> None:
    random = np.random.default_rng(4)
    draws, covered = 400, 0
    for _ in range(draws):
        winners: list[Winner] = ["first" if won else "second" for won in random.random(80) < 0.6]
        low, high = preference([*winners, "tie"]).interval
        covered += low <= 0.6 <= high
    assert covered / draws > 0.92


def test_the_same_seed_shows_the_same_list() -> None:
    lists = {team_draft(ITEMS, ITEMS[::-1], k=6, random=np.random.default_rng(7)).items for _ in range(3)}
    assert len(lists) == 1


@pytest.mark.parametrize("method", METHODS)
def test_bad_input_is_named(method) -> None:
    random = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="k = 0"):
        method(ITEMS, ITEMS, k=0, random=random)
    with pytest.raises(InvalidDataError, match="second ranking has 'a' twice"):
        method(["a"], ["a", "b", "a"], k=2, random=random)
    with pytest.raises(InvalidDataError, match="'z' was clicked, but is not in the list"):
        method(["a"], ["b"], k=2, random=random).winner(["z"])
    assert method([], [], k=3, random=random).items == ()


def test_nothing_to_test_is_said() -> None:
    with pytest.raises(InvalidDataError, match="none of 2 cases decided"):
        preference(["tie", "tie"])
    with pytest.raises(InvalidDataError, match="not 'third'"):
        preference(["third"])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="level = 95"):
        preference(["first"], level=95)
