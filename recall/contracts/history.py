"""What the person behind a request likes and has seen: the history of the graph and of the request together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kg import RaggedArray
from kg.arrays import IntArray
from kg.errors import UnknownIdError
from kg.history import InteractionHistory
from recall.contracts.query import Query


def check_queries(queries: Query, history: InteractionHistory) -> None:
    """Make sure that requests name users and items that are there.

    Raises:
        UnknownIdError: a position lies outside.
    """
    if len(queries.user) and queries.user.max() >= history.num_users:
        raise UnknownIdError(f"user {queries.user.max()} was asked for, but there are {history.num_users} users")
    for lists in (queries.history, queries.seen):
        if lists is not None and len(lists.values) and lists.values.max() >= history.num_items:
            raise UnknownIdError(f"item {lists.values.max()} was named, but there are {history.num_items} items")


def check_pairs(pairs: Sequence[tuple[int, int]], history: InteractionHistory) -> None:
    """Make sure that pairs name users and items that are there.

    Raises:
        UnknownIdError: a position lies outside.
    """
    for user, item in pairs:
        if not (0 <= user < history.num_users and 0 <= item < history.num_items):
            raise UnknownIdError(f"the pair ({user}, {item}) points outside the tables of users and items")


def liked_items(queries: Query, history: InteractionHistory) -> RaggedArray:
    """What each row likes: a user's positives, and what came with the request, (n,) lists."""
    return history.liked.take(queries.user).union(queries.history)


def seen_items(queries: Query, history: InteractionHistory) -> RaggedArray:
    """What each row has seen: what the request says, else what the user has touched and its history, (n,) lists."""
    if queries.seen is not None:
        return queries.seen
    return history.seen.take(queries.user).union(queries.history)


def rows_with(lists: RaggedArray) -> IntArray:
    """Rows that list anything, int64."""
    return np.flatnonzero(lists.counts)
