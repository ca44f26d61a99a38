"""What an explanation holds, and its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np

from kg.cypher.query import CypherQuery
from kg.schema import RelationKey


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


class Hop(NamedTuple):
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
    """

    share: float
    fraction: float | None
    text: str
    relation: RelationKey | None = None
    node: Node | None = None
    users: int = 0

    @property
    def line(self) -> str:
        """`because you liked Alien (12.0% of the score)`."""
        return f"because {self.text} ({_amount(self.share, self.fraction)})"


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
    """

    channel: str
    weight: float
    share: float
    fraction: float | None
    reason: str | None
    history: tuple[Reason, ...]
    neighbours: tuple[Reason, ...]

    @property
    def text(self) -> str:
        """`spectral, most of all because you liked Alien`."""
        if self.reason is not None:
            return f"{self.channel}: {self.reason}"
        if not any(reason.share for reason in self.history):
            return self.channel
        best = max(self.history, key=lambda reason: abs(reason.share))
        return f"{self.channel}, most of all because {best.text}"

    @property
    def line(self) -> str:
        """The text, and how much of the score it is."""
        return f"{self.text} ({_amount(self.share, self.fraction)})"


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
        return f"{self.text} ({whose} outer hops carry {_amount(self.share, self.fraction)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an item is a candidate for a user.

    Attributes:
        user, item: the two ends.
        source: name of the channel, or "fusion" for several.
        score: what the channel gives the pair.
        reason: why the score is not split, or None when it is.
        history: shares of the user's first hops and, last, of the user's own embedding; they add up to the score.
        neighbours: the same score split over the item's first hops and own embedding.
        linked: part of the score on pairs (first hop j of the user, first hop k of the item) that the graph joins:
            j and k are the same node, or an edge of any relation joins them, and user, j, k, item is a simple path.
            None when the score is not split.
        linked_fraction: the same in absolute values, between 0 and 1: |pair shares| of joined pairs over |pair shares|
            of all pairs plus the absolute values of the three cross terms (those with an own embedding). With the
            same signs everywhere it is the fraction of the score.
        cross: the three cross terms: user own with item own, user own with the item's neighbours, history with item
            own.
        paths: paths first, then those through other users, each ordered by the share of the outer hops.
        paths_found: how many paths (not through other users) there are in all, within the hub rule of the search.
        query: one query of the two ids that finds all those paths; None when there are none.
        parts: what each of several fused channels adds, largest first; empty for a single channel. A first hop that
            several of them count has the sum in `history` and `neighbours`.
    """

    user: Node
    item: Node
    source: str
    score: float
    reason: str | None
    history: tuple[Reason, ...]
    neighbours: tuple[Reason, ...]
    linked: float | None
    linked_fraction: float | None
    cross: tuple[float, float, float] | None
    paths: tuple[Connection, ...]
    paths_found: int
    query: CypherQuery | None
    parts: tuple[ChannelPart, ...] = ()

    @property
    def user_id(self) -> str:
        """External id of the user."""
        return self.user.id

    @property
    def item_id(self) -> str:
        """External id of the item."""
        return self.item.id

    @property
    def because(self) -> tuple[str, ...]:
        """One line for each share of the user's side, largest first; `neighbours` is the item's side."""
        return tuple(reason.line for reason in self.history)

    @property
    def connected_by(self) -> tuple[str, ...]:
        """One line for each path."""
        return tuple(path.line for path in self.paths)

    @property
    def more_paths(self) -> int:
        """How many paths there are beside those in `paths`."""
        return max(self.paths_found - sum(not path.users for path in self.paths), 0)

    @property
    def text(self) -> str:
        """All of it in English, on several lines; long lists are cut and the rest is summed up."""
        return self.render()

    def render(self, *, top: int = 5) -> str:
        """The text with at most `top` reasons on each side."""
        name = self.item.title if self.item.title == self.item.id else f"{self.item.title} ({self.item.id})"
        lines = [f"{name} for user {self.user.title}: score {self.score:.4g} from {self.source}"]
        if self.parts:
            lines.append("From the channels (their parts add up to the score):")
            lines += [f"  - {part.line}" for part in self.parts]
        if self.reason is not None:
            lines.append(f"No shares: {self.reason}.")
        else:
            lines.append("Because of, from the user's side (the shares add up to the score):")
            lines += _lines(self.history, top)
            lines.append("Because of, from the item's side (the same score, split again):")
            lines += _lines(self.neighbours, top)
        if self.paths:
            lines.append("Connected by (paths of the graph, not causes of the score):")
            lines += [f"  {number}. {path.line}" for number, path in enumerate(self.paths, start=1)]
            if self.more_paths:
                lines.append(f"  and {self.more_paths} more paths")
        else:
            lines.append("Connected by: no path of the graph within the hops asked for.")
        if self.linked_fraction is not None:
            lines.append(
                f"Pairs of outer hops that the graph joins carry {self.linked_fraction:.1%} of the absolute shares."
            )
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        shares = None
        if self.reason is None:
            shares = {
                "history": _plain(self.history),
                "neighbours": _plain(self.neighbours),
                "cross": list(self.cross or ()),
                "linked": self.linked,
                "linked_fraction": self.linked_fraction,
            }
        return {
            "user_id": self.user.id,
            "item_id": self.item.id,
            "item_title": self.item.title,
            "source": self.source,
            "score": self.score,
            "reason": self.reason,
            "parts": _plain(self.parts),
            "shares": shares,
            "paths": _plain(self.paths),
            "paths_found": self.paths_found,
            "query": _plain(self.query),
            "text": self.text,
        }

    def __str__(self) -> str:
        return self.text


def shortened(reasons: Sequence[Reason], top: int) -> tuple[Sequence[Reason], Reason | None, Sequence[Reason]]:
    """Cut one side of an explanation to its largest reasons.

    Args:
        reasons: of one side, largest first and the own embedding last; may be empty.
        top: how many first hops to keep.

    Returns:
        The first hops kept; the sum of the others, "and 3 more", or None; and the own embedding, if there is one.
    """
    hops, own = reasons[:-1], reasons[-1:]
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


def _lines(reasons: Sequence[Reason], top: int) -> list[str]:
    hops, rest, own = shortened(reasons, top)
    lines = [f"  - {reason.line}" for reason in hops]
    if rest is not None:
        lines.append(f"  - {rest.text} ({_amount(rest.share, rest.fraction)})")
    return lines + [f"  - {reason.line}" for reason in own]


def _amount(share: float, fraction: float | None) -> str:
    if fraction is None:
        return f"{share:+.3g}"
    if 0 < abs(fraction) < 0.0005:
        return "under 0.1% of the score" if fraction > 0 else "above -0.1% of the score"
    return f"{fraction:.1%} of the score"


def _plain(value: Any) -> Any:
    """Dataclasses and hops as dictionaries by field, other tuples as lists."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Hop):
        return {name: _plain(field) for name, field in value._asdict().items()}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return dict(value) if isinstance(value, Mapping) else value
