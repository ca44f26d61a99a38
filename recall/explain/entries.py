"""What an explanation is made of: nodes and hops, reasons with their shares, paths, parts of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kg.cypher.query import CypherQuery
from kg.schema import RelationKey

LEAST = 0.0005
"""Fractions of a score below are shown as less than 0.1%."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the graph with its title.

    Attributes:
        type: node type.
        id: external id.
        title: its title, on one line and at most 80 characters; the id where there is none.
    """

    type: str
    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Hop:
    """One edge of a path.

    Attributes:
        relation: key of its relation.
        forward: whether the path follows the edge, or goes against it.
        phrase: English, from the edge's source to its target.
    """

    relation: RelationKey
    forward: bool
    phrase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A share of the score on one first hop, or on a group of other users.

    Attributes:
        share: part of the score, in its unit; those of one side add up to the score.
        fraction: share / score, or None for a score that is not positive.
        text: English, "you liked Alien".
        relation: relation of the hop; None for the own embedding.
        node: what the hop leads to; None for the own embedding and for a group.
        users: how many other users a group stands for, else 0.
        paths: how many paths it stands for; 0 for a first hop.
    """

    share: float
    fraction: float | None
    text: str
    relation: RelationKey | None = None
    node: Node | None = None
    users: int = 0
    paths: int = 0

    @property
    def line(self) -> str:
        """`because you liked Alien (12.0% of the score)`."""
        return f"because {self.text} ({amount(self.share, self.fraction)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStrand:
    """Paths that run the same way, as one line of a drawing.

    Attributes:
        share: of the score, on all of them.
        fraction: share / score, or None for a score that is not positive.
        nodes: from where they begin to the last before the item. One without an id stands for several, which its title
            counts: "23 people", "7 more movies".
        labels: of the edges from the user to the first node, between the nodes, and to the item, (nodes + 1,).
    """

    share: float
    fraction: float | None
    nodes: tuple[Node, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathReason:
    """Paths that carry a share of the score, said in one sentence.

    Attributes:
        share: their part of the score, in its unit.
        fraction: share / score, or None for a score that is not positive.
        text: English, "you liked Aliens, which is directed by James Cameron, like this movie".
        step: name of their type of step, as in the configuration and the report.
        paths: how many there are.
        people: how many other people are on them; they are counted and not named.
        starts: the items of the history, or the attributes of the request, that they begin at; largest share first.
        strands: the same paths as lines of a drawing, largest share first.
        cypher: finds the largest of them in a store; None where that would name another person, where no path of the
            graph is meant (text), or nobody of the graph is at its start.
    """

    share: float
    fraction: float | None
    text: str
    step: str
    paths: int
    people: int
    starts: tuple[Node, ...]
    strands: tuple[PathStrand, ...]
    cypher: CypherQuery | None

    @property
    def line(self) -> str:
        """`12.4%: you liked Aliens, ...`."""
        return f"{short_amount(self.share, self.fraction)}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathReasons:
    """A score that is a sum over paths: sentences, the sum of all other paths, and popularity add up to it.

    Attributes:
        lines: largest share first.
        others: "and 31 more paths", or None where the lines say all.
        popularity: the share of the item's popularity, or None.
        fraction: share of all paths / score, or None for a score that is not positive.
        weights: what the types of steps weigh in the score, in one sentence.
    """

    lines: tuple[PathReason, ...]
    others: Reason | None
    popularity: Reason | None
    fraction: float | None
    weights: str

    def shortened(self, top: int) -> PathReasons:
        """The same with at most `top` lines; what is cut joins the other paths."""
        cut = self.lines[top:]
        if not cut:
            return self
        before = () if self.others is None else (self.others,)
        paths = sum(line.paths for line in cut) + sum(reason.paths for reason in before)
        others = other_paths(paths, [*cut, *before])
        return replace(self, lines=self.lines[:top], others=others)

    @property
    def rows(self) -> tuple[PathReason | Reason, ...]:
        """The lines, the other paths and popularity."""
        return (*self.lines, *(reason for reason in (self.others, self.popularity) if reason is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPart:
    """What one of several fused channels adds to the score.

    Attributes:
        channel: its name.
        weight: its weight in the fusion.
        share: its part of the score, in the score's unit; the parts add up to the score.
        fraction: share / score, or None for a score that is not positive.
        reason: why the channel does not split its part, or None when it does.
        history, neighbours: the part split over the first hops of either side, as in `Explanation`; each adds up to it.
        by_paths: the part as a sum over paths; None where the channel's scores are no such sums.
        left_out: what a part that does not split loses without each item of the history; no parts of the part.
    """

    channel: str
    weight: float
    share: float
    fraction: float | None
    reason: str | None
    history: tuple[Reason, ...]
    neighbours: tuple[Reason, ...]
    by_paths: PathReasons | None = None
    left_out: tuple[Reason, ...] = ()

    @property
    def text(self) -> str:
        """`spectral, most of all because you liked Alien`."""
        if self.reason is not None:
            return f"{self.channel}: {self.reason}"
        if self.by_paths is not None and self.by_paths.lines:
            return f"{self.channel}, most of all because {self.by_paths.lines[0].text}"
        if not any(reason.share for reason in self.history):
            return self.channel
        best = max(self.history, key=lambda reason: abs(reason.share))
        return f"{self.channel}, most of all because {best.text}"

    @property
    def line(self) -> str:
        """The text, and how much of the score it is."""
        return f"{self.text} ({amount(self.share, self.fraction)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A path of the graph from the user to the item, or all paths through other users by one history item.

    Attributes:
        share: what the pair of its outer hops carries of the score; all paths with the same outer hops carry it
            together, once. None when the score is not split, or for a direct edge.
        fraction: share / score, or None.
        repeats: position of an earlier connection that has the same outer hops, or None.
        text: English, "you liked Alien; Alien is directed by Ridley Scott, like Prometheus".
        nodes: along the path. Other users are left out unless asked for: (user, history item, item).
        steps: the edges of the whole path; through other users there are three.
        users: how many other users it stands for, 0 for a single path.
        user_ids: who they are, only when asked for.
        cypher: finds the path, or counts those users, in a store.
    """

    share: float | None
    fraction: float | None
    repeats: int | None
    text: str
    nodes: tuple[Node, ...]
    steps: tuple[Hop, ...]
    users: int = 0
    user_ids: tuple[str, ...] = ()
    cypher: CypherQuery

    @property
    def line(self) -> str:
        """The text, and the share of its outer hops."""
        if self.share is None:
            return self.text
        if self.repeats is not None:
            return f"{self.text} (the same outer hops as line {self.repeats + 1})"
        whose = "their" if self.users else "its"
        return f"{self.text} ({whose} outer hops carry {amount(self.share, self.fraction)})"


def shortened(reasons: Sequence[Reason], top: int) -> tuple[Sequence[Reason], Reason | None, Sequence[Reason]]:
    """Cut one side of an explanation to its largest reasons.

    Args:
        reasons: of one side, largest first and the own embedding last; may be empty.
        top: how many first hops to keep.

    Returns:
        The first hops kept; the sum of the others, "and 3 more", or None; and the own embedding, if it has a share.
    """
    hops, own = reasons[:-1], [reason for reason in reasons[-1:] if reason.share]
    if len(hops) <= top:
        return hops, None, own
    rest = hops[top:]
    fractions = [reason.fraction for reason in rest if reason.fraction is not None]
    total = Reason(
        share=float(np.sum([reason.share for reason in rest])),
        fraction=float(np.sum(fractions)) if fractions else None,
        text=f"and {len(rest)} more",
    )
    return hops[:top], total, own


def other_paths(paths: int, reasons: Sequence[Reason | PathReason]) -> Reason:
    """The sum of some paths that no sentence is made of."""
    fractions = [reason.fraction for reason in reasons if reason.fraction is not None]
    return Reason(
        share=float(np.sum([reason.share for reason in reasons])),
        fraction=float(np.sum(fractions)) if fractions else None,
        text=f"and {paths} more {'path' if paths == 1 else 'paths'}",
        paths=paths,
    )


def amount(share: float, fraction: float | None) -> str:
    """A share in words: "12.4% of the score"."""
    if fraction is None:
        return f"{share:+.3g}"
    if 0 < abs(fraction) < LEAST:
        return "under 0.1% of the score" if fraction > 0 else "above -0.1% of the score"
    return f"{fraction + 0.0:.1%} of the score"


def short_amount(share: float, fraction: float | None) -> str:
    """A share as a percentage of the score, or as a number where it has no fraction."""
    if fraction is None:
        return f"{share:+.3g}"
    if 0 < abs(fraction) < LEAST:
        return "<0.1%" if fraction > 0 else ">-0.1%"
    return f"{fraction + 0.0:.1%}"  # no -0.0%
