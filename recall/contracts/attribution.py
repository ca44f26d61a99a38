"""The exact split of a score: of one channel, or of several that add up to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gnn.graph.shares import NoShares, Share, Shares


class Part(NamedTuple):
    """What one channel adds to a fused score.

    Attributes:
        channel: its name.
        weight: its weight in the fusion.
        shares: its split, in the unit of the fused score.
    """

    channel: str
    weight: float
    shares: Shares | NoShares


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedShares(Shares):
    """A score that several channels add up to, split exactly.

    The shares are sums over the channels that split their parts, by first hop; what the others add is `unsplit`. So
    `own + sum(history) + prior + unsplit == score`, and likewise on the item's side, and for pairs and cross terms.

    Attributes:
        parts: one for each channel; their scores add up to the score.
        unsplit: the part of the channels that do not split theirs.
    """

    parts: tuple[Part, ...]
    unsplit: float


class Attribution(NamedTuple):
    """The split of the score that a pipeline gives a pair.

    Attributes:
        source: the channel that answers the user, or "fusion" where several do.
        shares: the split of its score.
    """

    source: str
    shares: Shares | NoShares


__all__ = ["Attribution", "FusedShares", "NoShares", "Part", "Share", "Shares"]
