"""The scores of given pairs, in all and by channel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray, RaggedArray, places
from recall.contracts import Query
from recall.contracts.history import check_pairs
from recall.contracts.scores import is_answered
from recall.pipeline import Pipeline


class PairValues(NamedTuple):
    """The scores of pairs of a request and an item.

    Attributes:
        score: final score, float32 (n,).
        channel_scores: score of each channel before fusion, 0 where it has no evidence, float32 (n, c).
        fallback: whether the score is that of the most liked items, since no channel answers the request, bool (n,).
    """

    score: npt.NDArray[np.float32]
    channel_scores: npt.NDArray[np.float32]
    fallback: npt.NDArray[np.bool_]


def score_pairs(pipeline: Pipeline, queries: Query, items: IntArray) -> PairValues:
    """The scores that requests give items, the same that `Pipeline.recommend` ranks by and `attribute` splits.

    Args:
        pipeline: scores.
        queries: requests, (n,); a user of the graph who comes with several items is scored once.
        items: an item for each of them by position, int64 (n,).

    Raises:
        UnknownIdError: a position lies outside the tables.
        InvalidDataError: there are more or fewer items than requests.
        ConfigError: a channel cannot read what a request carries.
    """
    check_pairs(queries, items, pipeline.history)
    people, row_of = queries.distinct()
    wanted = RaggedArray.from_grouped(row_of, np.arange(len(items)), num_rows=len(people))
    score = np.zeros(len(items), dtype=np.float32)
    channel_scores = np.zeros((len(items), len(pipeline.asked)), dtype=np.float32)
    fallback = np.zeros(len(items), dtype=bool)
    for rows, block, channels, whole in pipeline.scored_blocks(people):
        pairs = wanted.take(np.arange(rows.start, rows.stop))
        row, at = pairs.rows(), pairs.values
        place = places(row)
        asked = np.full((len(block), int(pairs.counts.max(initial=0))), -1, dtype=np.int64)
        asked[row, place] = items[at]
        channel_scores[at] = np.stack([channel.at(asked)[row, place] for channel in channels], axis=1)
        score[at] = whole.at(asked)[row, place]
        if pipeline.fallback is not None:
            left = ~is_answered(channels)[row]
            fallback[at] = left
            score[at[left]] = pipeline.fallback.score(block).at(asked)[row, place][left]
    return PairValues(score, channel_scores, fallback)
