"""What is left of a score as items of the history are taken away: those with the largest shares, or any.

As in SPINRec (Barkan et al., "Fidelity-Aware Recommendation Explanations via Stochastic Path Integration", 2025) an
explanation is the more faithful the faster the score falls, and the sooner the item leaves the list, when what it names
is taken away first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kg import RaggedArray
from kg.arrays import IntArray
from kg.history import InteractionHistory
from recall.contracts import Channel, Query
from recall.pipeline import Pipeline
from recall.quality.paths.collection import PairPaths

FloatArray = npt.NDArray[np.float64]


class Curve(NamedTuple):
    """One pair, as more and more items are taken away.

    Attributes:
        left: part of the channel's score that is left, (steps + 1,).
        listed: whether the item is among the candidates, (steps + 1,).
    """

    left: FloatArray
    listed: FloatArray


def shares_by_item(paths: PairPaths, history: InteractionHistory, user: int) -> tuple[IntArray, FloatArray]:
    """The liked items of a user, oldest first, and the share of the score on the paths that begin at each."""
    liked = history.in_order(np.array([user], dtype=np.int64)).values
    place = {item: at for at, item in enumerate(liked.tolist())}
    shares = np.zeros(len(liked))
    for node, value in zip((paths.start - history.first_item).tolist(), paths.value.tolist(), strict=True):
        if node in place:
            shares[place[node]] += value
    return liked, shares


def curve(
    pipeline: Pipeline, channel: Channel, liked: IntArray, order: IntArray, item: int, *, steps: int, k: int
) -> Curve:
    """Take items of a history away.

    Args:
        pipeline: lists the candidates.
        channel: whose score is followed.
        liked: the history, oldest first.
        order: places in it, the first to go first.
        item: that was recommended.
        steps: items to take away; one item is always left.
        k: candidates.
    """
    histories = [liked]
    for count in range(1, steps + 1):
        gone = order[: min(count, len(liked) - 1)]
        histories.append(np.delete(liked, gone))
    seen = RaggedArray.from_lists([np.sort(liked)] * len(histories))
    queries = Query.of_histories([""] * len(histories), RaggedArray.from_lists(histories), seen=seen)
    wanted = np.full((len(histories), 1), item, dtype=np.int64)
    scores = channel.score(queries).at(wanted)[:, 0].astype(np.float64)
    batch = pipeline.recommend(queries, k=k)
    listed = np.zeros(len(histories))
    listed[batch.row[batch.item == item]] = 1
    return Curve(scores / scores[0] if scores[0] > 0 else np.zeros(len(scores)), listed)
