"""Items that are given to users, against the definition of a stable matching."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recall.channels.assignment import assign


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), items=st.integers(1, 30), users=st.integers(1, 8), room=st.integers(1, 6))
def test_nobody_with_room_or_a_worse_item_stands_higher(seed: int, items: int, users: int, room: int) -> None:
    rng = np.random.default_rng(seed)
    place_of = np.stack([rng.permutation(items) for _ in range(users)], axis=1)  # (items, users)
    width = int(rng.integers(1, users + 1))
    nearest = np.argsort(place_of, axis=1)[:, :width]
    places = np.take_along_axis(place_of, nearest, axis=1)
    nearest[rng.random(nearest.shape) < 0.2] = -1
    columns = assign(nearest, places, room=room)
    owner = {item: int(nearest[item, column]) for item, column in enumerate(columns.tolist()) if column >= 0}
    assert -1 not in owner.values()
    held = {user: [item for item, own in owner.items() if own == user] for user in range(users)}
    assert max(map(len, held.values())) <= room
    for item in range(items):
        for user in nearest[item][nearest[item] >= 0].tolist():
            if item in owner and place_of[item, owner[item]] <= place_of[item, user]:
                continue
            assert len(held[user]) == room
            assert all(place_of[other, user] < place_of[item, user] for other in held[user])


def test_without_any_pair_nothing_is_given() -> None:
    assert assign(np.full((3, 2), -1), np.zeros((3, 2)), room=1).tolist() == [-1, -1, -1]
    assert assign(np.zeros((0, 2), dtype=int), np.zeros((0, 2)), room=1).tolist() == []
