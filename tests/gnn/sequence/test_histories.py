"""What people liked, in order, and when."""

from __future__ import annotations

import numpy as np
import pytest

from gnn.sequence.histories import Histories
from kg import RaggedArray
from kg.interactions import NO_TIME


@pytest.fixture
def histories() -> Histories:
    rows = RaggedArray.from_lists([[5, 1, 5, 2], [], [7], [3, 2, 1]])
    return Histories(rows.offsets, rows.values, np.arange(100, 108))


def lists(histories: Histories) -> list[list[tuple[int, int]]]:
    pairs = list(zip(histories.values.tolist(), histories.times.tolist(), strict=True))
    return [pairs[histories.offsets[row] : histories.offsets[row + 1]] for row in range(len(histories))]


def test_the_latest_items_stay_in_order(histories: Histories) -> None:
    assert lists(histories.latest(2)) == [[(5, 102), (2, 103)], [], [(7, 104)], [(2, 106), (1, 107)]]
    assert lists(histories.latest(9)) == lists(histories)


def test_rows_are_taken_with_their_times(histories: Histories) -> None:
    assert lists(histories.take(np.array([2, -1, 2]))) == [[(7, 104)], [], [(7, 104)]]


def test_only_marked_items_stay(histories: Histories) -> None:
    assert lists(histories.select(histories.values < 3)) == [[(1, 101), (2, 103)], [], [], [(2, 106), (1, 107)]]


def test_items_of_a_request_follow_without_times(histories: Histories) -> None:
    longer = histories.followed_by(RaggedArray.from_lists([[9], [8, 8], [], [4]]))
    assert lists(longer) == [
        [(5, 100), (1, 101), (5, 102), (2, 103), (9, NO_TIME)],
        [(8, NO_TIME), (8, NO_TIME)],
        [(7, 104)],
        [(3, 105), (2, 106), (1, 107), (4, NO_TIME)],
    ]


def test_histories_are_not_made_twice(histories: Histories) -> None:
    assert Histories.of(histories) is histories
