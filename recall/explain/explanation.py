"""What an explanation holds, and its text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from kg.cypher.query import CypherQuery
from recall.explain.entries import ChannelPart, Connection, Node, PathReason, PathReasons, Reason
from recall.explain.text import PART_TOP, left_out_lines, negative_note, part_lines, path_lines, shown_of, side_lines


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
            None when the score is not split, and where paths carry it, or a part of it.
        linked_fraction: the same in absolute values, between 0 and 1: |pair shares| of joined pairs over |pair shares|
            of all pairs plus the absolute values of the three cross terms (those with an own embedding). With the
            same signs everywhere it is the fraction of the score.
        cross: the three cross terms: user own with item own, user own with the item's neighbours, history with item
            own.
        paths: paths first, then those through other users, each ordered by the share of the outer hops.
        paths_found: how many paths (not through other users) there are in all, within the hub rule of the search.
        query: one query of the two ids that finds all those paths; None when there are none.
        score_queries: channel -> a query that recomputes in the run's database what the channel adds to the score, path
            by path (`kg.cypher.walk.score_query`); of the channels whose scores are sums over paths.
        parts: what each of several fused channels adds, largest first; empty for a single channel. A first hop that
            several of them count has the sum in `history` and `neighbours`.
        by_paths: the score as a sum over paths, which then are the reasons; None where it is no such sum. In a fusion
            it is with the parts.
        left_out: what a score that is not split loses without each item of the history (leave-one-out), largest first.
            They are no parts of the score. In a fusion they are with the parts.
        moves: which rules moved the item in the list (recall.control), "moved up 4 places: quota for new items"; ""
            where none did.
        in_graph: whether the user is one of the graph; otherwise `user` is somebody new, by the number in the request.
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
    score_queries: Mapping[str, CypherQuery] = field(default_factory=dict)
    parts: tuple[ChannelPart, ...] = ()
    by_paths: PathReasons | None = None
    left_out: tuple[Reason, ...] = ()
    moves: str = ""
    in_graph: bool = True

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
        """One line for each reason, largest first: paths that carry the score, or else shares of the user's side."""
        if self.path_reasons is not None:
            return tuple(reason.line for reason in self.path_reasons.lines)
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
    def path_reasons(self) -> PathReasons | None:
        """The paths that carry the score: all of it, or the largest part of a fusion that is a sum over paths."""
        if self.by_paths is not None:
            return self.by_paths
        return next((part.by_paths for part in self.parts if part.by_paths is not None), None)

    def shown(self, top: int) -> list[Reason | PathReason | ChannelPart]:
        """All whose share the text says."""
        shown: list[Reason | PathReason | ChannelPart] = list(self.parts)
        for part in self.parts if self.path_reasons is not None else ():
            shown += shown_of(part.by_paths, (part.history, part.neighbours), min(top, PART_TOP))
        if self.by_paths is not None or self.path_reasons is None:
            shown += shown_of(self.by_paths, (self.history, self.neighbours), top)
        return shown

    @property
    def heading(self) -> str:
        """`Alien (m1) for user u3`, or for somebody new."""
        name = self.item.title if self.item.title == self.item.id else f"{self.item.title} ({self.item.id})"
        return f"{name} for {f'user {self.user.title}' if self.in_graph else self.user.title}"

    @property
    def text(self) -> str:
        """All of it in English, on several lines; long lists are cut and the rest is summed up."""
        return self.render()

    def render(self, *, top: int = 5) -> str:
        """The text with at most `top` reasons on each side, and as many about paths that carry the score."""
        lines = [f"{self.heading}: score {self.score:.4g} from {self.source}"]
        lines += [f"In the list: {self.moves}."] if self.moves else []
        if self.by_paths is not None:
            lines += [*path_lines(self.by_paths, top), *self._note(top)]
        elif self.path_reasons is not None:
            lines.append("From the channels, the largest part first; the parts add up to the score:")
            for part in self.parts:
                lines += part_lines(part, top)
            lines += self._note(top)
        else:
            lines += self._render_sides(top)
        return "\n".join(lines)

    def _note(self, top: int) -> list[str]:
        note = negative_note(self.shown(top))
        return [note] if note else []

    def _render_sides(self, top: int) -> list[str]:
        """The reasons of a score that is no sum over paths, and the paths that connect the two."""
        lines = []
        if self.parts:
            lines.append("From the channels (their parts add up to the score):")
            for part in self.parts:
                lines.append(f"  - {part.line}")
                lines += left_out_lines(part.left_out, min(top, PART_TOP), indent="    ")
        if self.reason is not None:
            lines.append(f"No shares: {self.reason}.")
            lines += left_out_lines(self.left_out, top)
        else:
            lines.append("Because of, from the user's side (the shares add up to the score):")
            lines += side_lines(self.history, top)
            lines.append("Because of, from the item's side (the same score, split again):")
            lines += side_lines(self.neighbours, top)
        lines += self._note(top)
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
        return lines

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
            "moves": self.moves,
            "parts": _plain(self.parts),
            "shares": shares,
            "by_paths": _plain(self.by_paths),
            "left_out": _plain(self.left_out),
            "paths": _plain(self.paths),
            "paths_found": self.paths_found,
            "query": _plain(self.query),
            "score_queries": {channel: _plain(query) for channel, query in self.score_queries.items()},
            "text": self.text,
        }

    def __str__(self) -> str:
        return self.text


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries by field, tuples as lists."""
    if is_dataclass(value):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return dict(value) if isinstance(value, Mapping) else value
