"""Order, boosts, rarity, diversity and quotas on candidates written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recall.control.choose import Candidates, Kinds, choose


def candidates(scores, **more):
    more = {"round": np.ones(len(scores), dtype=np.int64), **more}
    return Candidates(score=np.array(scores, dtype=np.float64), **more)


def quota(name, members, count, *, at_least=None, at_most=None):
    of_item = [(True,) if place in members else () for place in range(count)]
    return Kinds(name=name, of_item=of_item, at_least=at_least, at_most=at_most)


def test_without_rules_the_scores_decide_and_nothing_is_named():
    assert choose(candidates([5, 4, 3, 2]), 3) == ([0, 1, 2], {})
    assert choose(candidates([]), 3) == ([], {})


def test_equal_scores_stay_in_their_order():
    assert choose(candidates([1, 1, 1]), 3)[0] == [0, 1, 2]


def test_earlier_rounds_come_first():
    assert choose(candidates([1, 0.5, 9, 8], round=np.array([1, 1, 2, 2])), 3)[0] == [0, 1, 2]
    boosted = candidates([1, 0.5, 9, 8], round=np.array([1, 1, 2, 2]), boosts={"b": np.array([0, 0, 0, 99.0])})
    assert choose(boosted, 4)[0] == [0, 1, 3, 2]


def test_a_boost_names_whom_it_moved_and_not_who_made_room():
    chosen, moves = choose(candidates([10, 9, 8, 7, 0], boosts={"new": np.array([0, 0, 0, 0.5, 0])}), 5)
    assert chosen == [3, 0, 1, 2, 4]
    assert moves == {3: ["moved up 3 places: boost for new"]}
    _, moves = choose(candidates([10, 9, 0], boosts={"old": np.array([-0.5, 0, 0])}), 3)
    assert moves == {0: ["moved down 1 place: boost for old"]}


def test_rare_items_come_forward_as_far_as_the_dial_says():
    rarity = np.array([0.0, 0.1, 0.9, 1.0])
    assert choose(candidates([4, 3, 2, 1], rarity=rarity, long_tail=0.0), 4)[0] == [0, 1, 2, 3]
    chosen, moves = choose(candidates([4, 3, 2, 1], rarity=rarity, long_tail=1.0), 4)
    assert chosen == [3, 2, 1, 0]
    assert moves[3] == ["moved up 3 places: long tail"]


def test_what_is_like_those_before_it_waits():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    plain = candidates([1.0, 0.99, 0.5, 0.4], vectors=vectors, diversity=0.0)
    assert choose(plain, 3)[0] == [0, 1, 2]
    chosen, moves = choose(candidates([1.0, 0.99, 0.5, 0.0], vectors=vectors, diversity=0.5), 3)
    assert chosen == [0, 2, 1]
    assert moves[2] == ["moved up 1 place: diversity"]


def test_a_lower_bound_lets_in_what_stands_behind():
    rule = quota("new items", {4, 6}, 8, at_least=2)
    chosen, moves = choose(candidates([8, 7, 6, 5, 4, 3, 2, 1], quotas=[rule]), 4)
    assert chosen == [0, 1, 4, 6]
    assert moves == {4: ["moved up 2 places: quota for new items"], 6: ["moved up 3 places: quota for new items"]}
    # What is there already counts.
    assert choose(candidates([8, 7, 6, 5], quotas=[quota("new items", {0, 1}, 4, at_least=2)]), 3) == ([0, 1, 2], {})
    # There are fewer than wanted, or k is less.
    assert choose(candidates([3, 2, 1], quotas=[quota("q", {2}, 3, at_least=2)]), 2)[0] == [0, 2]
    assert choose(candidates([3, 2, 1], quotas=[quota("q", {1, 2}, 3, at_least=2)]), 1)[0] == [1]


def test_an_upper_bound_leaves_out_and_lets_others_in():
    brands = [("a",), ("a",), ("a",), ("b",), ("b", "c"), ("b",), ()]
    rule = Kinds(name="two of a brand", of_item=brands, at_least=None, at_most=2)
    chosen, moves = choose(candidates([7, 6, 5, 4, 3, 2, 1], quotas=[rule]), 5)
    assert chosen == [0, 1, 3, 4, 6]
    assert moves == {6: ["moved up 2 places: quota for two of a brand"]}


def test_bounds_hold_together():
    count = 12
    rules = [
        quota("new", {8, 9, 10, 11}, count, at_least=3),
        Kinds(name="one of a kind", of_item=[(place // 2,) for place in range(count)], at_least=None, at_most=1),
    ]
    chosen, _ = choose(candidates(range(count, 0, -1), quotas=rules), 4)
    assert len({place // 2 for place in chosen}) == len(chosen) == 4
    assert sum(place >= 8 for place in chosen) == 2  # there are but two kinds of new ones


@pytest.mark.parametrize("seed", range(20))
def test_random_rules_keep_their_promises(seed):
    random = np.random.default_rng(seed)
    count, k = int(random.integers(5, 40)), int(random.integers(1, 12))
    members = set(np.flatnonzero(random.random(count) < 0.3).tolist())
    kinds = [(int(kind),) for kind in random.integers(0, 6, count)]
    rules = [
        quota("low", members, count, at_least=int(random.integers(1, 5))),
        Kinds(name="high", of_item=kinds, at_least=None, at_most=int(random.integers(1, 4))),
    ]
    made = candidates(
        np.sort(random.random(count))[::-1],
        boosts={"b": random.random(count)},
        rarity=random.random(count),
        long_tail=0.3,
        vectors=random.normal(size=(count, 4)).astype(np.float32),
        diversity=0.2,
        quotas=rules,
    )
    chosen, moves = choose(made, k)
    assert len(set(chosen)) == len(chosen) <= k
    assert set(moves) <= set(chosen)
    assert max(np.bincount([kinds[place][0] for place in chosen])) <= rules[1].at_most
    assert choose(made, k) == (chosen, moves)
