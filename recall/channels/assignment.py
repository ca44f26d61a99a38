"""Each item to one of its users, and no user too many items."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray


def assign(users: npt.NDArray[Any], places: npt.NDArray[Any], *, room: int) -> IntArray:
    """A user for each item, as high in the ranking of the user as can be.

    Pairs are taken by their place, the highest first, where item and user are both free. As both prefer by the same
    places, this is the stable matching of Gale and Shapley ("College Admissions and the Stability of Marriage", 1962):
    no item stands higher with another user than with its own, and higher there than an item that this user was given.

    Args:
        users: some of each item, int (items, m); -1: there is none.
        places: of the item in the ranking of each of them, int (items, m); a user has one item at a place.
        room: items of a user at most.

    Returns:
        The column of the user of each item, int64 (items,); -1: all its users are full.
    """
    columns = np.full(len(users), -1, dtype=np.int64)
    item, column = np.nonzero(users >= 0)
    if not len(item):
        return columns
    user, place = users[item, column], places[item, column]
    order = np.lexsort((user, item, place))
    item, column, user, place = item[order], column[order], user[order], place[order]
    given = np.zeros(int(user.max()) + 1, dtype=np.int64)
    for pairs in np.split(np.arange(len(place)), np.flatnonzero(np.diff(place)) + 1):
        free = pairs[(columns[item[pairs]] < 0) & (given[user[pairs]] < room)]
        taken = free[np.unique(item[free], return_index=True)[1]]
        columns[item[taken]] = column[taken]
        given[user[taken]] += 1
    return columns
