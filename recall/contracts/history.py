"""What the person behind a request likes and has seen: the history of the graph and of the request together."""

from __future__ import annotations

import numpy as np

from kg import RaggedArray
from kg.arrays import IntArray
from kg.errors import InvalidDataError, UnknownIdError
from kg.history import InteractionHistory
from recall.contracts.query import Query
from recall.index.top_k import check_k

DISLIKED = -0.5
"""What a disliked example of a request counts, where a liked one counts 1.

Relevance feedback takes a third to a half of the weight of liked examples since Rocchio (Salton and Buckley,
"Improving Retrieval Performance by Relevance Feedback", JASIS 1990).
"""


def check_queries(queries: Query, history: InteractionHistory) -> None:
    """Make sure that requests name users and items that are there.

    Raises:
        UnknownIdError: a position lies outside.
        ConfigError: the k of a request is below 1.
    """
    if len(queries.user) and queries.user.max() >= history.num_users:
        raise UnknownIdError(f"user {queries.user.max()} was asked for, but there are {history.num_users} users")
    for lists in (queries.history, queries.disliked, queries.seen, queries.exclude, queries.candidates):
        if lists is not None and len(lists.values) and lists.values.max() >= history.num_items:
            raise UnknownIdError(f"item {lists.values.max()} was named, but there are {history.num_items} items")
    for k in () if queries.k is None else np.unique(queries.k).tolist():
        check_k(k)


def check_pairs(queries: Query, items: IntArray, history: InteractionHistory) -> None:
    """Make sure that requests, and an item for each of them, name users and items that are there.

    Raises:
        UnknownIdError: a position lies outside.
        InvalidDataError: there are more or fewer items than requests.
    """
    check_queries(queries, history)
    if len(items) != len(queries):
        raise InvalidDataError(
            f"there are {len(queries)} requests and {len(items)} items: give one item for each request"
        )
    if len(items) and (items.min() < 0 or items.max() >= history.num_items):
        worst = items.max() if items.max() >= history.num_items else items.min()
        raise UnknownIdError(f"item {worst} was asked for, but there are {history.num_items} items")


def liked_items(queries: Query, history: InteractionHistory) -> RaggedArray:
    """What each row likes: a user's positives, and what came with the request, (n,) lists.

    A disliked example of the request is none of them, also where the user liked it before.
    """
    liked = history.liked.take(queries.user).union(queries.history)
    return liked if queries.disliked is None else liked.without(queries.disliked)


def sequences(own: RaggedArray, queries: Query) -> RaggedArray:
    """The items that each row likes, oldest first: a user's own, then what came with the request, (n,) lists.

    Args:
        own: items that the users of the requests like, oldest first, (n,) lists.
        queries: the requests. What is in both lists stands where the request has it; disliked examples are left out.
    """
    if queries.disliked is not None:
        own = own.without(queries.disliked)
    more = queries.history
    if not len(more.values):
        return own
    own = own.without(more)
    rows = np.concatenate([own.rows(), more.rows()])
    return RaggedArray.from_grouped(rows, np.concatenate([own.values, more.values]), num_rows=len(own))


def seen_items(queries: Query, history: InteractionHistory) -> RaggedArray:
    """What each row has seen, (n,) lists: what the request says, else what the user has touched and its examples."""
    if queries.seen is not None:
        return queries.seen
    seen = history.seen.take(queries.user).union(queries.history)
    return seen if queries.disliked is None else seen.union(queries.disliked)


def disliked_items(queries: Query) -> RaggedArray:
    """The disliked examples of each row, (n,) lists."""
    return RaggedArray.empty(len(queries)) if queries.disliked is None else queries.disliked


def rows_with(lists: RaggedArray) -> IntArray:
    """Rows that list anything, int64."""
    return np.flatnonzero(lists.counts)
