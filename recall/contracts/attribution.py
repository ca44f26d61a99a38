"""The exact split of a score: of one channel, or of several that add up to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from gnn.graph.shares import NoShares, Share, Shares
from kg.arrays import IntArray
from kg.schema import RelationKey

REQUEST_TEXT = -1
"""Stands on a path for the text of a request, which is no node of the graph."""


class StepKind(StrEnum):
    """By what a path leads from what a person likes to an item."""

    USERS = "users"
    """Another user who likes both."""
    NEXT = "next"
    """What others did next."""
    RELATION = "relation"
    """Knowledge relations, by way of a node that both are joined to."""
    DIRECT = "direct"
    """An edge from the one to the other."""
    TEXT = "text"
    """Texts that are alike."""
    ATTRIBUTE = "attribute"
    """An attribute that the request names; the path begins there."""
    DISLIKE = "dislike"
    """What the person does not like; the path begins there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPaths:
    """The paths of one type of step from a request to an item, each with its share of the score.

    Attributes:
        name: of the type, as in the configuration and the report: "through_users", "next", "HAS_GENRE",
            "DIRECTED>MARRIED_TO".
        kind: by what the paths lead.
        weight: what the type counts beside the others, so that people can compare them: "a shared genre counts .4 of a
            shared viewer" is .4 beside 1 for USERS. The values do not depend on it.
        shape: relation of each hop, and whether the path follows the edge from its source to its target; () for text.
        nodes: global node numbers (kg.topology.adjacency.Numbering) along each path, the item last, int64
            (paths, hops + 1), or (paths, 2) for text. A path begins at an item of the person's history, or at what the
            request names: an attribute, or `REQUEST_TEXT`. The node in the middle of USERS and NEXT is the other user.
        values: share of each path in the unit of the score, float64 (paths,); below 0 where it counts against the item.
    """

    name: str
    kind: StepKind
    weight: float
    shape: tuple[tuple[RelationKey, bool], ...]
    nodes: IntArray
    values: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathShares(Shares):
    """A score that is a sum over paths: the values of all paths and `prior` add up to it.

    What `Shares` says of first hops are sums over the same paths: `history` by the item of the history that a path
    begins at, `neighbours` by the last node before the item and the relation between the two. A path by text alone has
    no such node and counts as `item_own`; a path that begins at what the request names counts as `own`.

    Attributes:
        steps: the paths by type of step; the types may be in any order, and some without paths.
    """

    steps: tuple[StepPaths, ...]

    @classmethod
    def of(cls, steps: Sequence[StepPaths], *, prior: float, interaction: RelationKey) -> Self:
        """From the paths alone.

        Args:
            steps: the paths by type of step.
            prior: share of the item's popularity.
            interaction: relation by which a person comes to the items of the history.
        """
        hops = _Hops(interaction)
        codes = [hops.codes(step) for step in steps]
        none = np.zeros(0, dtype=np.int64)
        first = np.concatenate([none, *(first for first, _ in codes)])
        last = np.concatenate([none, *(last for _, last in codes)])
        values = np.concatenate([np.zeros(0), *(step.values for step in steps)])
        history, row = np.unique(first[first >= 0], return_inverse=True)
        neighbours, column = np.unique(last[last >= 0], return_inverse=True)
        begun, ended = first >= 0, last >= 0
        both = begun & ended
        at = np.zeros(len(first), dtype=np.int64), np.zeros(len(last), dtype=np.int64)
        at[0][begun], at[1][ended] = row, column
        pairs = csr_array(
            (values[both], (at[0][both], at[1][both])), shape=(len(history), len(neighbours)), dtype=np.float64
        )
        return cls(
            score=float(values.sum() + prior),
            own=float(values[~begun].sum()),
            history=hops.shares(history, _sums(row, values[begun], len(history))),
            item_own=float(values[~ended].sum()),
            neighbours=hops.shares(neighbours, _sums(column, values[ended], len(neighbours))),
            pairs=pairs,
            cross=(
                float(values[~begun & ~ended].sum()),
                float(values[~begun & ended].sum()),
                float(values[begun & ~ended].sum()),
            ),
            prior=float(prior),
            steps=tuple(steps),
        )


def _sums(group: IntArray, values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Sum of the values of each group, (count,)."""
    return np.bincount(group, weights=values, minlength=count).astype(np.float64)


class _Hops:
    """First and last hops as integers: node times the number of relations, plus the relation."""

    _MOST = 1 << 20  # relations

    def __init__(self, interaction: RelationKey) -> None:
        self._relations: dict[RelationKey, int] = {interaction: 0}

    def codes(self, step: StepPaths) -> tuple[IntArray, IntArray]:
        """First and last hop of each path, -1 for none, int64 (paths,) each."""
        none = np.full(len(step), -1, dtype=np.int64)
        start = step.nodes[:, 0]
        asked = step.kind == StepKind.ATTRIBUTE
        first = none if asked else np.where(start == REQUEST_TEXT, -1, start * self._MOST)
        if not step.shape:
            return first, none
        relation = self._relations.setdefault(step.shape[-1][0], len(self._relations))
        return first, step.nodes[:, -2] * self._MOST + relation

    def shares(self, codes: IntArray, values: npt.NDArray[np.float64]) -> tuple[Share, ...]:
        """The shares of distinct hops."""
        relations = list(self._relations)
        nodes, kinds = (codes // self._MOST).tolist(), (codes % self._MOST).tolist()
        hops = zip(nodes, kinds, values.tolist(), strict=True)
        return tuple(Share(node, relations[kind], value) for node, kind, value in hops)


@dataclass(frozen=True, slots=True)
class LeaveOneOut(NoShares):
    """The answer of a channel whose score does not split: what the score loses without each item of the history.

    Each of these is exact, a difference of two scores of the channel; they are no parts of the score, and do not add up
    to it. Attention weights are none of these: they say what a model reads, not what its score depends on.

    Attributes:
        effects: one for each item of the history that the score was read from, in the unit of the score; the value is
            the score minus the score of the same history without that item.
    """

    effects: tuple[Share, ...]


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
        factors: channel -> what its own score is multiplied by; the products add up to the score.
    """

    source: str
    shares: Shares | NoShares
    factors: Mapping[str, float] = MappingProxyType({})


__all__ = [
    "REQUEST_TEXT",
    "Attribution",
    "FusedShares",
    "LeaveOneOut",
    "NoShares",
    "Part",
    "PathShares",
    "Share",
    "Shares",
    "StepKind",
    "StepPaths",
]
