"""The reasons headed "because of": the shares of the score on the first hops of the user and of the item, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kg.schema import RelationKey
from recall.contracts import FusedShares, LeaveOneOut, NoShares, PathShares, Share, Shares
from recall.explain.entries import ChannelPart, Reason
from recall.explain.pair import Pair
from recall.explain.path_reasons import reasons_by_paths
from recall.explain.wording import clause, group_clause


def sides(pair: Pair, shares: Shares) -> tuple[tuple[Reason, ...], tuple[Reason, ...]]:
    """The reasons of the user's side and of the item's side.

    Each side adds up to `shares.score`: its first hops, largest share first, what belongs to neither side, and last the
    own embedding. Other users are summed by relation, unless the pair names them.
    """
    common = [_reason(pair, shares.prior, "of how many people like it, whoever asks")]
    user_own = "of what the model learned about you alone" if pair.in_graph else "of what you asked for"
    item_own = "of what the model learned about it alone"
    if isinstance(shares, PathShares):
        user_own, item_own = "of what you asked for", "of texts that are like its own"
    if isinstance(shares, FusedShares):
        common += [
            _reason(pair, part.shares.score, f"of the channel {part.channel}: {part.shares.reason}")
            for part in shares.parts
            if isinstance(part.shares, NoShares)
        ]
        item_own = "of what its channels do not split over what it is joined to"
    return (
        (*_first_hops(pair, shares.history, pair.user, common), _reason(pair, shares.own, user_own)),
        (*_first_hops(pair, shares.neighbours, pair.item, common), _reason(pair, shares.item_own, item_own)),
    )


def left_out(pair: Pair, shares: Shares | NoShares) -> tuple[Reason, ...]:
    """What a score that does not split loses without each item of the history, largest first; see `LeaveOneOut`."""
    if not isinstance(shares, LeaveOneOut):
        return ()
    return tuple(_first_hops(pair, shares.effects, pair.user, ()))


def channel_parts(pair: Pair, shares: Shares | NoShares, limit: int) -> tuple[ChannelPart, ...]:
    """What each channel of a fused score adds, largest first; nothing for the score of one channel.

    Args:
        pair: the pair.
        shares: the split of its score.
        limit: sentences about paths, for a channel whose score is a sum over paths.
    """
    parts = []
    for channel, weight, part in shares.parts if isinstance(shares, FusedShares) else ():
        history, neighbours = sides(pair, part) if isinstance(part, Shares) else ((), ())
        parts.append(
            ChannelPart(
                channel=channel,
                weight=weight,
                share=part.score,
                fraction=pair.fraction(part.score),
                reason=None if isinstance(part, Shares) else part.reason,
                history=history,
                neighbours=neighbours,
                by_paths=reasons_by_paths(pair, part, limit) if isinstance(part, PathShares) else None,
                left_out=left_out(pair, part),
            )
        )
    return tuple(sorted(parts, key=lambda part: -part.share))


def _first_hops(pair: Pair, shares: Sequence[Share], center: int, common: Sequence[Reason]) -> list[Reason]:
    """The shares of one side and the common ones that are not zero, largest first."""
    groups: dict[tuple[RelationKey, bool], list[float]] = {}
    single: dict[tuple[int, RelationKey], float] = {}
    directions: dict[RelationKey, bool] = {}
    for node, relation, value in shares:
        if not pair.is_hidden(node):
            # an edge in each direction under one relation makes two shares, which are shown as one
            single[node, relation] = single.get((node, relation), 0.0) + value
            continue
        outgoing = directions.get(relation)
        if outgoing is None:
            outgoing = pair.is_outgoing(center, node, relation)
            if relation.source != relation.target:
                directions[relation] = outgoing
        groups.setdefault((relation, outgoing), []).append(value)
    reasons = [reason for reason in common if reason.share]
    for (node, relation), value in single.items():
        if center == pair.user and node in pair.disliked:
            text = f"you did not like {pair.node_of(node).title}"
        else:
            forward = pair.is_outgoing(center, node, relation)
            text = clause(pair, center, node, relation, forward=forward, center=center)
        reasons.append(_reason(pair, value, text, relation=relation, node=pair.node_of(node)))
    for (relation, outgoing), values in groups.items():
        text = group_clause(pair, len(values), relation, outgoing=outgoing, center=center)
        reasons.append(_reason(pair, float(np.sum(values)), text, relation=relation, users=len(values)))
    return sorted(reasons, key=lambda reason: -reason.share)


def _reason(pair: Pair, share: float, text: str, **more: Any) -> Reason:
    return Reason(share=share, fraction=pair.fraction(share), text=text, **more)
