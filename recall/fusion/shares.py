"""The split of a weighted sum of scores from the splits of its parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse

from kg import RelationKey
from kg.arrays import IntArray
from recall.contracts import FusedShares, LeaveOneOut, NoShares, Part, PathShares, Share, Shares


def scale_shares(answer: Shares | NoShares, factor: float) -> Shares | NoShares:
    """The same split of the score times a factor."""

    def scaled(shares: Iterable[Share]) -> tuple[Share, ...]:
        return tuple(share._replace(value=share.value * factor) for share in shares)

    if isinstance(answer, LeaveOneOut):
        return replace(answer, score=answer.score * factor, effects=scaled(answer.effects))
    if isinstance(answer, NoShares):
        return NoShares(answer.score * factor, answer.reason)

    own, neighbours, both = answer.cross
    more: dict[str, Any] = {}
    if isinstance(answer, PathShares):
        more["steps"] = tuple(replace(step, values=step.values * factor) for step in answer.steps)
    return replace(
        answer,
        score=answer.score * factor,
        own=answer.own * factor,
        history=scaled(answer.history),
        item_own=answer.item_own * factor,
        neighbours=scaled(answer.neighbours),
        pairs=answer.pairs * factor,
        cross=(own * factor, neighbours * factor, both * factor),
        prior=answer.prior * factor,
        **more,
    )


def fuse_shares(parts: Sequence[Part]) -> Shares | NoShares:
    """The split of a sum of scores: what several channels put on the same first hop is one share.

    Where no channel splits its part, what they lose without an item of the history is summed: that is what the score
    loses while the factors of the channels stay as they are.
    """
    score = sum(part.shares.score for part in parts)
    split = [part.shares for part in parts if isinstance(part.shares, Shares)]
    reasons = {part.shares.reason: None for part in parts if isinstance(part.shares, NoShares)}
    if not split:
        return _unsplit(score, "; ".join(reasons), parts)
    history, rows = _summed([shares.history for shares in split])
    neighbours, columns = _summed([shares.neighbours for shares in split])
    pairs = _summed_pairs([shares.pairs for shares in split], rows, columns, (len(history), len(neighbours)))
    cross = np.array([shares.cross for shares in split]).sum(axis=0).tolist()
    return FusedShares(
        score=score,
        own=sum(shares.own for shares in split),
        history=history,
        item_own=sum(shares.item_own for shares in split),
        neighbours=neighbours,
        pairs=pairs,
        cross=(cross[0], cross[1], cross[2]),
        prior=sum(shares.prior for shares in split),
        parts=tuple(parts),
        unsplit=sum(part.shares.score for part in parts if isinstance(part.shares, NoShares)),
    )


def _unsplit(score: float, reason: str, parts: Sequence[Part]) -> NoShares:
    """Where no channel splits its part: what the score loses without each item of the history, as far as they say."""
    effects, _ = _summed([part.shares.effects for part in parts if isinstance(part.shares, LeaveOneOut)])
    if not effects:
        return NoShares(score, reason)
    if silent := [part.channel for part in parts if not isinstance(part.shares, LeaveOneOut)]:
        reason += f"; what leaving an item out changes in {', '.join(silent)} is not counted"
    return LeaveOneOut(score, reason, effects)


def _summed_pairs(
    pairs: Sequence[Any], rows: Sequence[IntArray], columns: Sequence[IntArray], shape: tuple[int, int]
) -> Any:
    """The pair shares of all channels, summed by their hops; sparse where those of every channel are."""
    total = csr_array(shape, dtype=np.float64)
    for values, row, column in zip(pairs, rows, columns, strict=True):
        if issparse(values):
            entries = values.tocoo()
            total += csr_array((entries.data, (row[entries.row], column[entries.col])), shape=shape)
    dense = [entry for entry in zip(pairs, rows, columns, strict=True) if not issparse(entry[0]) and entry[0].size]
    if not dense:
        return total
    whole = total.toarray()
    for values, row, column in dense:
        np.add.at(whole, (row[:, None], column[None, :]), values)
    return whole


def _summed(sides: Sequence[Sequence[Share]]) -> tuple[tuple[Share, ...], list[IntArray]]:
    """Shares by first hop, summed, and where each side's shares went."""
    place: dict[tuple[int, RelationKey], int] = {}
    went = [
        np.array([place.setdefault((share.node, share.relation), len(place)) for share in side], dtype=np.int64)
        for side in sides
    ]
    values = np.zeros(len(place))
    for side, where in zip(sides, went, strict=True):
        np.add.at(values, where, [share.value for share in side])
    hops = zip(place, values.tolist(), strict=True)
    return tuple(Share(node, relation, value) for (node, relation), value in hops), went
