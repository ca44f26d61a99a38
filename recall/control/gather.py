"""Candidates of a block of requests by rounds of prefetches, each with the round that brought it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray, RaggedArray
from recall.contracts import Scores
from recall.control.settings import Prefetch, Round

RANK_CONSTANT = 60
"""What reciprocal rank fusion adds to a rank (Cormack, Clarke and Buettcher, SIGIR 2009)."""

Lists = list[IntArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the prefetches of a block of requests are read from.

    Attributes:
        channels: the scores of each channel, by name.
        whole: the scores that the pipeline ranks by.
        exclude: items to leave out, (n,) lists; None: none.
        only: sorted positions of the only items allowed; None: all.
        passing: the items that pass a filter, sorted positions.
    """

    channels: Mapping[str, Scores]
    whole: Scores
    exclude: RaggedArray | None
    only: IntArray | None
    passing: Callable[[str], IntArray]


@dataclass(slots=True)
class Pool:
    """The candidates of one request, best first within each round.

    Attributes:
        items: positions.
        rounds: the round of each, from 1.
    """

    items: list[int]
    rounds: list[int]


def gather(sources: Sources, rounds: Sequence[Round], size: int, wanted: int, count: int) -> list[Pool]:
    """Go through the rounds until every request has enough.

    Args:
        sources: of a block of requests.
        rounds: strict ones first.
        size: candidates a request and round at most.
        wanted: a request that has so many is left out of the rounds that follow.
        count: requests.
    """
    pools = [Pool([], []) for _ in range(count)]
    for number, round_ in enumerate(rounds, 1):
        if all(len(pool.items) >= wanted for pool in pools):
            break
        only = _both(sources.only, None if round_.filter is None else sources.passing(round_.filter))
        if round_.prefetch:
            lists = fuse(sources, [fetch(sources, each, only) for each in round_.prefetch], "weighted", size)
        else:
            lists = _rows(sources.whole.top(size, exclude=sources.exclude, only=only).items)
        for pool, items in zip(pools, lists, strict=True):
            if len(pool.items) < wanted:
                there = set(pool.items)
                new = [item for item in items.tolist() if item not in there]
                pool.items += new
                pool.rounds += [number] * len(new)
    return pools


def fetch(sources: Sources, prefetch: Prefetch, only: IntArray | None) -> Lists:
    """The list of one prefetch for each request, best first."""
    only = _both(only, None if prefetch.filter is None else sources.passing(prefetch.filter))
    if prefetch.channel is None:
        inner = [fetch(sources, each, only) for each in prefetch.prefetch]
        return fuse(sources, inner, prefetch.fusion, prefetch.limit)
    top = sources.channels[prefetch.channel].top(prefetch.limit, exclude=sources.exclude, only=only)
    items = top.items
    if prefetch.threshold is not None:
        items = np.where(top.scores >= prefetch.threshold, items, -1)
    return _rows(items)


def fuse(sources: Sources, lists: Sequence[Lists], rule: str, limit: int) -> Lists:
    """Several lists of each request as one, equal scores by position."""
    rows = len(lists[0])
    union = [np.unique(np.concatenate([each[row] for each in lists])) for row in range(rows)]
    width = max((len(items) for items in union), default=0)
    items = np.full((rows, width), -1, dtype=np.int64)
    for row, own in enumerate(union):
        items[row, : len(own)] = own
    if rule == "weighted":
        scores: npt.NDArray[np.float64] = sources.whole.at(items).astype(np.float64)
    else:
        scores = np.zeros(items.shape)
        for each in lists:
            for row, ranked in enumerate(each):
                scores[row, np.searchsorted(union[row], ranked)] += 1 / (RANK_CONSTANT + np.arange(1, len(ranked) + 1))
    return [
        own[np.lexsort((own, -scores[row, : len(own)].astype(np.float32)))][:limit] for row, own in enumerate(union)
    ]


def _rows(items: IntArray) -> Lists:
    return [row[row >= 0] for row in items]


def _both(first: IntArray | None, second: IntArray | None) -> IntArray | None:
    if first is None or second is None:
        return first if second is None else second
    return np.intersect1d(first, second, assume_unique=True)
