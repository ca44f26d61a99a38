"""Two rankings in one list: people choose between them without knowing.

Team draft (Radlinski, Kurup and Joachims, CIKM 2008): in each round both rankings, in an order drawn anew, add their
best item that is not in the list yet; a click counts for the ranking that added the item. Balanced (Joachims 2002): one
coin decides who is first throughout, and of a click both rankings are credited that have the item early enough.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import binomtest

from kg.errors import InvalidDataError
from recall.index.top_k import check_k
from recall.quality.online.checks import check_share

Ranking = Sequence[Hashable]
Winner = Literal["first", "second", "tie"]


@dataclass(frozen=True, slots=True)
class Interleaved:
    """A list to be shown, and where its items are from.

    Attributes:
        items: best first, each once.
        first: the whole first ranking.
        second: the whole second ranking.
        teams: whose item each is, True for the first ranking; None of a balanced list, where an item may be of both.
    """

    items: tuple[Hashable, ...]
    first: tuple[Hashable, ...]
    second: tuple[Hashable, ...]
    teams: tuple[bool, ...] | None

    def winner(self, clicked: Iterable[Hashable]) -> Winner:
        """Which ranking the clicks on this list speak for.

        Args:
            clicked: items, in any order; repeated clicks on one count once.

        Raises:
            InvalidDataError: an item was not shown.
        """
        clicks = set(clicked)
        if strange := sorted(map(str, clicks - set(self.items))):
            raise InvalidDataError(f"{strange[0]!r:.80} was clicked, but is not in the list")
        if not clicks:
            return "tie"
        if self.teams is not None:
            own = [team for item, team in zip(self.items, self.teams, strict=True) if item in clicks]
            return _winner(sum(own), len(own) - sum(own))
        # Clicks among so many of each ranking that one of them covers the whole looked-at part of the list.
        lowest = max(self.items.index(item) for item in clicks)
        last = self.items[lowest]
        depth = min(self._depth(self.first, last), self._depth(self.second, last))
        return _winner(len(clicks & set(self.first[:depth])), len(clicks & set(self.second[:depth])))

    @staticmethod
    def _depth(ranking: tuple[Hashable, ...], item: Hashable) -> int:
        return ranking.index(item) + 1 if item in ranking else len(ranking)


def team_draft(first: Ranking, second: Ranking, *, k: int, random: np.random.Generator) -> Interleaved:
    """Mix two rankings so that each adds as many items, and neither is favoured.

    Args:
        first: item ids, best first.
        second: item ids, best first.
        k: items wanted; fewer come where both rankings end before.
        random: draws who comes first in each round; seed it from the request, so that a reload shows the same list.

    Raises:
        ConfigError: k is below 1.
        InvalidDataError: a ranking has an item twice.
    """
    ours, theirs = _checked(first, "first", k), _checked(second, "second", k)
    items: list[Hashable] = []
    teams: list[bool] = []
    shown: set[Hashable] = set()
    while len(items) < k:
        order = [(ours, True), (theirs, False)]
        if random.random() < 0.5:
            order.reverse()
        before = len(items)
        for ranking, team in order:
            best = next((item for item in ranking if item not in shown), None)
            if best is not None and len(items) < k:
                items.append(best)
                teams.append(team)
                shown.add(best)
        if len(items) == before:
            break
    return Interleaved(tuple(items), ours, theirs, tuple(teams))


def balanced(first: Ranking, second: Ranking, *, k: int, random: np.random.Generator) -> Interleaved:
    """Mix two rankings so that the best j of the list are the best of both, alike but for one item.

    Where one ranking is the other moved by a place, this method favours one of them; team draft does not.

    Args:
        first: see `team_draft`.
        second: see `team_draft`.
        k: see `team_draft`.
        random: draws who comes first.

    Raises:
        ConfigError, InvalidDataError: see `team_draft`.
    """
    ours, theirs = _checked(first, "first", k), _checked(second, "second", k)
    first_leads = random.random() < 0.5
    items: list[Hashable] = []
    at_first = at_second = 0
    while len(items) < k and (at_first < len(ours) or at_second < len(theirs)):
        of_first = at_first < at_second or (at_first == at_second and first_leads)
        if (of_first and at_first < len(ours)) or at_second >= len(theirs):
            item, at_first = ours[at_first], at_first + 1
        else:
            item, at_second = theirs[at_second], at_second + 1
        if item not in items:
            items.append(item)
    return Interleaved(tuple(items), ours, theirs, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """Which ranking people prefer.

    Attributes:
        first: lists, or people, for whom the first ranking won.
        second: for whom the second won.
        ties: for whom neither did; they say nothing.
        share: of the first among those that decided.
        interval: of that share (Wilson).
        p: of the exact binomial test that both are preferred alike, two-sided.
    """

    first: int
    second: int
    ties: int
    share: float
    interval: tuple[float, float]
    p: float


def preference(winners: Iterable[Winner], *, level: float = 0.95) -> Preference:
    """Test which ranking wins more often.

    Args:
        winners: one for each independent case. Lists shown to one person are not independent: decide for each person
            first, by most of the lists.
        level: of the interval.

    Raises:
        ConfigError: the level is no share.
        InvalidDataError: nobody decided for either, or a winner is another word.
    """
    check_share(level, "level")
    counts = {"first": 0, "second": 0, "tie": 0}
    for winner in winners:
        if winner not in counts:
            raise InvalidDataError(f"a winner is first, second or tie, not {winner!r:.80}")
        counts[winner] += 1
    decided = counts["first"] + counts["second"]
    if not decided:
        raise InvalidDataError(f"none of {counts['tie']} cases decided for a ranking: there is nothing to test")
    test = binomtest(counts["first"], decided, 0.5)
    low, high = test.proportion_ci(level, method="wilson")
    return Preference(
        first=counts["first"],
        second=counts["second"],
        ties=counts["tie"],
        share=counts["first"] / decided,
        interval=(float(low), float(high)),
        p=float(test.pvalue),
    )


def _winner(first: int, second: int) -> Winner:
    return "tie" if first == second else "first" if first > second else "second"


def _checked(ranking: Ranking, name: str, k: int) -> tuple[Hashable, ...]:
    check_k(k)
    items = tuple(ranking)
    if len(set(items)) < len(items):
        twice = next(item for item in items if items.count(item) > 1)
        raise InvalidDataError(f"the {name} ranking has {twice!r:.80} twice")
    return items
