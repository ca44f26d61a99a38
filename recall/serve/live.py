"""What users did since a run was made, in their requests: the feedback log beside the runs."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kg import KnowledgeGraph, RaggedArray, Vocabulary
from kg.arrays import IntArray
from kg.history import InteractionHistory
from recall.contracts import Query
from recall.feedback import FeedbackEvent, FeedbackLog, FeedbackSettings, FeedbackState
from recall.feedback.events import check_events
from recall.runs.config import read_section
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackAdded:
    """What became of events that were sent.

    Attributes:
        accepted: that are in the log now and were not before.
        repeated: whose id the log had already, or that came twice.
        unknown_users: ids of users whom the graph does not hold; their likes count as those of new people.
        unknown_items: ids of items that the graph does not hold; they count as soon as a run has them.
    """

    accepted: int
    repeated: int
    unknown_users: tuple[str, ...]
    unknown_items: tuple[str, ...]


class LiveFeedback:
    """Brings what a feedback log says of users into their requests, at the moment of each request.

    What they like enters their history as its newest part. What they do not like counts against what it is like, and is
    left out, as are items that they were shown often enough. Opinions that the graph has already change nothing.
    """

    def __init__(self, log: FeedbackLog, *, exclude_after: int | None = None) -> None:
        """From a log.

        Args:
            log: it need not be there yet.
            exclude_after: impressions after which an item is left out for a user; None: never.
        """
        self.log = log
        self.exclude_after = exclude_after

    @classmethod
    def beside(cls, run: RunLayout) -> LiveFeedback:
        """The log beside the runs that a run lies among; its configuration says what impressions come to.

        Raises:
            ArtifactError: the configuration is damaged.
        """
        settings = read_section(run, "feedback", FeedbackSettings) or FeedbackSettings()
        return cls(FeedbackLog(RunsFolder.of(run).feedback_root), exclude_after=settings.exclude_after)

    def add(self, events: Iterable[FeedbackEvent | Mapping[str, Any]], graph: KnowledgeGraph) -> FeedbackAdded:
        """Write down what users did; see `Recommender.add_feedback`."""
        checked = check_events(events, now=time.time())
        done = self.log.append(checked)
        users, items = (
            list(dict.fromkeys(getattr(event, name) for event in checked)) for name in ("user_id", "item_id")
        )
        return FeedbackAdded(
            accepted=done.accepted,
            repeated=done.repeated,
            unknown_users=_absent(users, graph.users),
            unknown_items=_absent(items, graph.items),
        )

    def users(self) -> Collection[str]:
        """Ids of the users whom the log names, whether the graph has them or not."""
        return self.log.state().users.keys()

    def apply(self, queries: Query, items: Vocabulary, history: InteractionHistory) -> Query:
        """Requests with what the log says of their users, who are known by `Query.key`.

        Args:
            queries: of users.
            items: of the graph.
            history: what its users did.
        """
        state = self.log.state()
        named = [row for row, key in enumerate(queries.key) if key in state.users]
        if not named:
            return queries
        return _Applied(state, items, history, self.exclude_after).to(queries, named)


class _Applied:
    """The lists of one batch of requests."""

    def __init__(
        self, state: FeedbackState, items: Vocabulary, history: InteractionHistory, exclude_after: int | None
    ) -> None:
        self.state, self.items, self.history, self.exclude_after = state, items, history, exclude_after

    def to(self, queries: Query, named: Sequence[int]) -> Query:
        users = {row: self.state.of(queries.key[row]) for row in named}
        liked = self._lists(len(queries), {row: user.items(liked=True) for row, user in users.items()})
        disliked = self._lists(len(queries), {row: user.items(liked=False) for row, user in users.items()})
        # What a run was made with has its place in the history already.
        liked = liked.without(self.history.liked.take(queries.user))
        left_out = disliked
        if self.exclude_after is not None:
            often = self.exclude_after
            left_out = left_out.union(self._lists(len(queries), {row: u.shown(often) for row, u in users.items()}))
        # What the request itself says comes last.
        if queries.disliked is not None:
            liked = liked.without(queries.disliked)
        liked, disliked = liked.without(queries.history), disliked.without(queries.history)
        return replace(
            queries,
            history=_joined(liked, queries.history),
            disliked=_merged(queries.disliked, disliked),
            exclude=_merged(queries.exclude, left_out),
        )

    def _lists(self, rows: int, ids: dict[int, list[str]]) -> RaggedArray:
        """Positions of the items of some rows, in their order; items that the graph lacks are left out."""
        row = np.repeat(np.array(list(ids), dtype=np.int64), [len(names) for names in ids.values()])
        position = self.items.index([name for names in ids.values() for name in names], missing="negative")
        return RaggedArray.from_grouped(row[position >= 0], position[position >= 0], num_rows=rows)


def _absent(ids: Sequence[str], vocabulary: Vocabulary) -> tuple[str, ...]:
    positions = vocabulary.index(ids, missing="negative").tolist()
    return tuple(id for id, position in zip(ids, positions, strict=True) if position < 0)


def _joined(first: RaggedArray, second: RaggedArray) -> RaggedArray:
    """The rows of both, one after the other."""
    rows: IntArray = np.concatenate([first.rows(), second.rows()])
    return RaggedArray.from_grouped(rows, np.concatenate([first.values, second.values]), num_rows=len(first))


def _merged(given: RaggedArray | None, more: RaggedArray) -> RaggedArray | None:
    """The values of both as sets; None where there are none."""
    if not len(more.values):
        return given
    return more.union(RaggedArray.empty(len(more))) if given is None else given.union(more)
