"""The scores of several channels as one: each channel's standardised for the request, their weighted sum.

score(u, i) = f(i) * sum over channels c of w_c * s_c(u, i) / spread_c(u)

f(i) is 1 but for items that nobody likes: channels that learn from likes say nothing of these, so that they need a
factor to stand beside others (recall.fusion.weights finds it).

The spread is the standard deviation of the channel's best `depth` scores for the request, among items that were not
seen. It depends on the request alone, so an item's score is the same whatever k, whatever the filters, and the whole
score is a sum of multiples of the channels' scores, which their shares explain. A mean is not subtracted: it would move
all items of a request by the same amount.

Candidates are the items in any channel's best `depth`; every channel scores all of them, also those that only others
list. Of the time of the search that is a hundredth for ChebyCF, a sixth for neighbours, as much again for an index of
vectors. On 3,000 users of gowalla's validation part (ChebyCF, RP3beta
and item-kNN, the best of the same weights for each; recall@20/NDCG@20, single channels up to .165/.102) that reaches
.1724/.1057, giving an item that a channel does not list its lowest listed score .1721/.1056, and reciprocal ranks
(Cormack, Clarke and Buettcher, SIGIR 2009) .1716/.1041. The last two would also give an item another score under every
filter, and none that splits into shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray, RaggedArray
from recall.contracts import Scores, TopK
from recall.index.top_k import top_k

Values = npt.NDArray[np.float64]

_LEVEL = 1e-6  # of the largest score: a spread below is rounding


class Ranked(NamedTuple):
    """The best items of a block of requests.

    Attributes:
        top: items and fused scores, (n, k).
        channel_scores: score of each channel for each of them, before fusion, float32 (channels, n, k).
        listed: which channels have it among their best, bool (channels, n, k).
    """

    top: TopK
    channel_scores: npt.NDArray[np.float32]
    listed: npt.NDArray[np.bool_]


class FusedScores:
    """The weighted sum of several channels' scores for a block of requests.

    Attributes:
        seen: what each request has seen, (n,) lists.
        factors: by what each channel's scores are multiplied, weight / spread, float64 (channels, n). It is 0 for a
            channel without evidence for the request.
    """

    def __init__(
        self,
        channels: Sequence[Scores],
        weights: Sequence[float],
        *,
        seen: RaggedArray,
        depth: int,
        listed: int = 0,
        item_factors: Values | None = None,
    ) -> None:
        """Search each channel's best items.

        Args:
            channels: each one's scores of the block.
            weights: one for each channel, above 0.
            seen: what the spreads leave out, whatever is asked for later, (n,) lists.
            depth: items that the spreads are taken over.
            listed: items of each channel that will be asked for, which saves a second search where they are more.
            item_factors: f, float64 (items,); None: 1.
        """
        self._channels, self._item_factors = channels, item_factors
        self.seen = seen
        self._depth, self._listed = depth, max(depth, listed)
        best = [channel.top(self._listed, exclude=seen) for channel in channels]
        self._best = [top.items for top in best]
        self.factors: Values = np.array(weights)[:, None] / np.stack([spread(top.scores[:, :depth]) for top in best])

    def ranked(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> Ranked:
        """The best k of the items that any channel lists; for a k beyond the depth each channel lists k.

        Args:
            k: items wanted.
            exclude: items to leave out of each request; `seen` itself saves a search.
            only: positions of the only items allowed, sorted and unique.
        """
        items, listed = _merged(self.best(k, exclude=exclude, only=only))
        scores = np.stack([channel.at(items) for channel in self._channels])
        top, place = best_of_union(items, self._sum(scores, items), k)
        kept = np.zeros((len(scores), *top.items.shape), dtype=np.float32)
        by_channel = np.zeros(kept.shape, dtype=bool)
        if items.shape[1]:
            kept[:] = np.take_along_axis(scores, place[None], axis=2)
            by_channel[:] = np.take_along_axis(listed, place[None], axis=2) & (top.items >= 0)
        return Ranked(top=top, channel_scores=kept, listed=by_channel)

    def with_and_without(
        self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None
    ) -> tuple[IntArray, list[IntArray], list[IntArray]]:
        """What each channel adds: the best k of all, of each alone, and of all the others, from one set of scores.

        Args:
            k: items wanted.
            exclude: see `ranked`.
            only: see `ranked`.

        Returns:
            Positions of the best k, int64 (n, k); for each channel those of its own best, at least k where there are
            so many; and for each channel what would be ranked if it had no weight, int64 (n, k).
        """
        best = self.best(k, exclude=exclude, only=only)
        items, listed = _merged(best)
        parts = list(self.parts(items))
        whole = self._best_of(items, parts, k)
        number = listed.sum(axis=0, dtype=np.int32)
        without = [
            self._best_of(np.where(number > own, items, -1), parts[:at] + parts[at + 1 :], k)
            for at, own in enumerate(listed)
        ]
        return whole, best, without

    def top(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> TopK:
        """See `recall.contracts.Scores`."""
        return self.ranked(k, exclude=exclude, only=only).top

    def at(self, items: IntArray) -> npt.NDArray[np.float32]:
        """See `recall.contracts.Scores`."""
        return self._sum(np.stack([channel.at(items) for channel in self._channels]), items).astype(np.float32)

    def union(
        self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None
    ) -> tuple[IntArray, list[RaggedArray]]:
        """The items that any channel lists: positions ascending, then -1, int64 (n, m); and each channel's list."""
        best = self.best(k, exclude=exclude, only=only)
        return _merged(best)[0], [_lists(items) for items in best]

    def best(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> list[IntArray]:
        """The best items of each channel alone, at least k of them where there are so many, int64 (n, m) each."""
        if k <= self._listed and only is None and exclude is self.seen:
            return self._best
        depth = max(k, self._depth)
        return [channel.top(depth, exclude=exclude, only=only).items for channel in self._channels]

    def parts(self, items: IntArray) -> Values:
        """Each channel's part of the scores of given items but for f, float64 (channels, n, m)."""
        return np.stack(
            [channel.at(items) * factor[:, None] for channel, factor in zip(self._channels, self.factors, strict=True)]
        )

    def _sum(self, scores: npt.NDArray[np.float32], items: IntArray) -> Values:
        total = np.zeros(scores.shape[1:])
        for values, factor in zip(scores, self.factors, strict=True):
            total += values * factor[:, None]
        return total if self._item_factors is None else total * self._item_factors[items]

    def _best_of(self, items: IntArray, parts: Sequence[Values], k: int) -> IntArray:
        """The best k by the sum of some channels' parts, int64 (n, k)."""
        total = np.zeros(items.shape)
        for part in parts:
            total += part
        if self._item_factors is not None:
            total *= self._item_factors[items]
        return best_of_union(items, total, k)[0].items


def spread(scores: npt.NDArray[np.float32]) -> Values:
    """Standard deviation of lists of scores, float64 (n,).

    A place without an item counts as 0: that is what a channel thinks of items it has no evidence for. Where all
    places are equal the scores only separate listed items from others, and their size stands for the spread; where
    there are none it is infinite.

    Args:
        scores: best first, -inf for no item, (n, depth).
    """
    values = np.where(scores > -np.inf, scores, 0).astype(np.float64)
    size = np.abs(values).max(axis=1, initial=0)
    deviation = values.std(axis=1)
    result: Values = np.where(deviation > _LEVEL * size, deviation, np.where(size > 0, size, np.inf))
    return result


def _merged(lists: Sequence[IntArray]) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """The items of any list of each row: positions ascending, each once, then -1, int64 (n, m); and which list it.

    The second is bool (lists, n, m).
    """
    count = len(lists)
    keys = np.concatenate([np.where(items < 0, -1, items * count + at) for at, items in enumerate(lists)], axis=1)
    keys.sort(axis=1)
    everything, source = np.divmod(keys, count)
    new = keys >= 0
    new[:, 1:] &= everything[:, 1:] != everything[:, :-1]
    place = np.cumsum(new, axis=1) - 1
    width = int(place.max(initial=-1)) + 1
    row, column = np.nonzero(new)
    items = np.full((len(keys), width), -1, dtype=np.int64)
    items[row, place[row, column]] = everything[row, column]
    listed = np.zeros((count, len(keys), width), dtype=bool)
    row, column = np.nonzero(keys >= 0)
    listed[source[row, column], row, place[row, column]] = True
    return items, listed


def _lists(items: IntArray) -> RaggedArray:
    row, place = np.nonzero(items >= 0)
    return RaggedArray.from_pairs(row, items[row, place], num_rows=len(items))


def best_of_union(items: IntArray, scores: Values, k: int) -> tuple[TopK, IntArray]:
    """The best k of each row; equal scores, in float32 as they are given out, by position.

    Args:
        items: positions ascending but for places of -1, int64 (n, m).
        scores: (n, m).
        k: items wanted.

    Returns:
        Items and scores (n, k), and the column of each in `items`, 0 where there is none, (n, k).
    """
    top = top_k(np.where(items >= 0, scores, -np.inf).astype(np.float32), k)
    place = np.maximum(top.items, 0)
    if not items.shape[1]:
        return top, place
    # The items of a row ascend, so that their places break ties as their positions do.
    chosen = np.take_along_axis(items, place, axis=1)
    return TopK(np.where(top.items >= 0, chosen, -1), top.scores), place
