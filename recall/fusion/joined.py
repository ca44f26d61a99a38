"""Channels whose scores are inner products as a single one: one search in place of one for each channel.

score(u, i) = f(i) * sum over channels c of w_c * u_c . v_c,i / deviation_c(u)

f(i) is as in `recall.fusion.combination`. The deviation is that of the channel's scores of all items, seen ones
included. For an inner product it is the square root of u' C u, where C is the covariance of the item vectors, so it
takes no search: the sum is the inner product of the channels' vectors one after the other, a request's divided by its
deviations, and the best items of all are found by one query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray, RaggedArray
from kg.errors import ConfigError
from recall.channels.scores import FloatArray, IndexScores, described_alone
from recall.contracts import Channel, InnerProduct, Scores
from recall.fusion.combination import FusedScores, Ranked, Values
from recall.index.build import build_index
from recall.index.settings import IndexConfig

_LEVEL = 1e-6  # of the largest score there can be: a deviation below is rounding


@runtime_checkable
class OfVectors(Protocol):
    """Scores of requests that have a vector each, float32 (n, dim)."""

    vectors: FloatArray


class JoinedIndex:
    """The item vectors of several channels one after the other.

    Attributes:
        index: over them, exact.
        described: items for which any channel has a vector, bool (items,).
    """

    def __init__(self, channels: Sequence[InnerProduct], item_factors: Values | None) -> None:
        """Join what channels score items by.

        Args:
            channels: fitted.
            item_factors: f, float64 (items,); None: 1.
        """
        parts = [channel.scored_items for channel in channels]
        self._covariances = [_covariance(part) for part in parts]
        self._longest = [float(np.linalg.norm(part, axis=1).max(initial=0)) for part in parts]
        whole = np.concatenate(parts, axis=1)
        self.described: npt.NDArray[np.bool_] = np.asarray(whole.any(axis=1))
        if item_factors is not None:
            whole = (whole * item_factors[:, None]).astype(np.float32)
        self.index = build_index(whole, IndexConfig(exact_up_to=len(whole)))

    @classmethod
    def of(cls, channels: Mapping[str, Channel], item_factors: Values | None) -> JoinedIndex:
        """Of the channels of a pipeline.

        Raises:
            ConfigError: the score of one of them is no inner product.
        """
        joined = []
        for name, channel in channels.items():
            if not isinstance(channel, InnerProduct):
                raise ConfigError(
                    f'fusion.spread = "all" needs channels whose scores are inner products, and {name} is none: use '
                    '"best", or leave it out'
                )
            joined.append(channel)
        return cls(joined, item_factors)

    def deviations(self, vectors: Sequence[FloatArray]) -> Values:
        """The deviation of each channel's scores of all items; infinite where they are all alike, (channels, n).

        Args:
            vectors: of the requests by channel, (n, dim of the channel) each.
        """
        rows = []
        for asked, covariance, longest in zip(vectors, self._covariances, self._longest, strict=True):
            wide = asked.astype(np.float64)
            deviation = np.sqrt(np.maximum(np.einsum("nd,de,ne->n", wide, covariance, wide, optimize=True), 0))
            level = _LEVEL * longest * np.linalg.norm(wide, axis=1)
            rows.append(np.where(deviation > level, deviation, np.inf))
        return np.stack(rows)


class JoinedScores(FusedScores):
    """The scores of channels that are joined, for a block of requests; the best items are those of all items."""

    def __init__(
        self,
        channels: Sequence[Scores],
        weights: Sequence[float],
        *,
        seen: RaggedArray,
        depth: int,
        joined: JoinedIndex,
        item_factors: Values | None = None,
    ) -> None:
        """Ask nothing yet.

        Args:
            channels: each one's scores of the block.
            weights: one for each channel, above 0.
            seen: what each request has seen, (n,) lists.
            depth: items of each channel where one is asked for its own best.
            joined: of the same channels and factors.
            item_factors: f, float64 (items,); None: 1.
        """
        vectors = [scores.vectors for scores in channels if isinstance(scores, OfVectors)]
        self._channels, self._item_factors = channels, item_factors
        self.seen = seen
        self._depth, self._listed = depth, 0  # no channel's own best are kept
        self.factors = np.array(weights)[:, None] / joined.deviations(vectors)
        asked = [of * factor[:, None] for of, factor in zip(vectors, self.factors, strict=True)]
        self._joined, self._asked = joined, asked
        self._whole = self._of(asked)

    def ranked(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> Ranked:
        """The best k of all items; every channel that knows the request is said to list them."""
        top = self._whole.top(k, exclude=exclude, only=only)
        scores = np.stack([channel.at(top.items) for channel in self._channels])
        listed = (self.factors > 0)[:, :, None] & (top.items >= 0)
        return Ranked(top=top, channel_scores=scores, listed=listed)

    def with_and_without(
        self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None
    ) -> tuple[IntArray, list[IntArray], list[IntArray]]:
        """See `FusedScores`; without a channel all items are searched by the vectors of the others."""
        whole = self.top(k, exclude=exclude, only=only).items
        without = []
        for left_out in range(len(self._asked)):
            asked = [of * (at != left_out) for at, of in enumerate(self._asked)]
            without.append(self._of(asked).top(k, exclude=exclude, only=only).items)
        return whole, self.best(k, exclude=exclude, only=only), without

    def at(self, items: IntArray) -> FloatArray:
        """See `recall.contracts.Scores`."""
        return self._whole.at(items)

    def _of(self, asked: Sequence[Values]) -> Scores:
        """The scores that the channels' vectors, each times its factor, give all items."""
        query = np.concatenate(asked, axis=1).astype(np.float32)
        return described_alone(IndexScores(self._joined.index, query), self._joined.described)


def _covariance(vectors: FloatArray) -> Values:
    """Of the columns, float64 (dim, dim)."""
    wide = vectors.astype(np.float64)
    mean = wide.mean(axis=0)
    result: Values = wide.T @ wide / max(len(wide), 1) - np.outer(mean, mean)
    return result
