"""What a feedback log says of users by now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from recall.feedback.events import FeedbackEvent, Kind


class Opinion(NamedTuple):
    """What a user said last of an item.

    Attributes:
        time: UTC seconds.
        place: of the event in the log; of two events of one time the later one counts.
        liked: whether it was a like; otherwise a dislike.
    """

    time: float
    place: int
    liked: bool


@dataclass(frozen=True, slots=True)
class UserFeedback:
    """What the log says of one user; nothing in it changes.

    Attributes:
        opinions: item id -> the last opinion.
        impressions: item id -> how often it was shown.
    """

    opinions: Mapping[str, Opinion] = field(default_factory=lambda: MappingProxyType({}))
    impressions: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def items(self, *, liked: bool) -> list[str]:
        """Ids of the items that the user likes, or does not like, the oldest opinion first."""
        chosen = [(opinion, item) for item, opinion in self.opinions.items() if opinion.liked == liked]
        return [item for _, item in sorted(chosen)]

    def shown(self, times: int) -> list[str]:
        """Ids of the items that were shown at least so often."""
        return [item for item, count in self.impressions.items() if count >= times]

    def after(self, events: Iterable[tuple[int, FeedbackEvent]]) -> UserFeedback:
        """The same with further events of this user, each with its place in the log."""
        opinions, impressions = dict(self.opinions), dict(self.impressions)
        for place, event in events:
            if event.kind is Kind.IMPRESSION:
                impressions[event.item_id] = impressions.get(event.item_id, 0) + 1
                continue
            said = Opinion(event.time, place, event.kind is Kind.LIKE)
            opinions[event.item_id] = max(said, opinions.get(event.item_id, said))
        return UserFeedback(MappingProxyType(opinions), MappingProxyType(impressions))


NOTHING = UserFeedback()


@dataclass(frozen=True, slots=True)
class FeedbackState:
    """What a log said of everybody at one moment.

    Attributes:
        users: user id -> what the log says of that user.
        events: how many events count.
        damaged: lines that are not as they were written; they do not count.
    """

    users: Mapping[str, UserFeedback] = field(default_factory=dict)
    events: int = 0
    damaged: int = 0

    def of(self, user_id: str) -> UserFeedback:
        """What the log says of a user; nothing of one whom it does not name."""
        return self.users.get(user_id, NOTHING)

    def after(self, events: Sequence[FeedbackEvent], *, damaged: int = 0) -> FeedbackState:
        """The state after further lines of the log."""
        by_user: dict[str, list[tuple[int, FeedbackEvent]]] = {}
        for place, event in enumerate(events, self.events):
            by_user.setdefault(event.user_id, []).append((place, event))
        users = dict(self.users)
        for user, new in by_user.items():
            users[user] = self.of(user).after(new)
        return FeedbackState(users, self.events + len(events), self.damaged + damaged)
