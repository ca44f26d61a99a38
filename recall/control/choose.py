"""Which of its candidates a request gets, in which order, and which rule moved which item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """What one quota counts.

    Attributes:
        name: of the quota.
        of_item: the kinds that each candidate is of, any hashable things, (n,) tuples.
        at_least: see `Quota`.
        at_most: see `Quota`.
    """

    name: str
    of_item: Sequence[tuple[object, ...]]
    at_least: int | None
    at_most: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The candidates of one request, as the rules see them.

    Attributes:
        score: of the pipeline, float64 (n,).
        round: that brought each, from 1, int64 (n,).
        boosts: name -> what it adds to each, in parts of the range of the scores, float64 (n,).
        rarity: 0 for the most liked item of all, 1 for one that nobody likes, float64 (n,); None: no such rule.
        long_tail: how far rare ones come forward.
        vectors: unit vectors to compare by, float32 (n, dim); None: no such rule.
        diversity: what the likeness to those before takes away.
        quotas: in their order.
    """

    score: Values
    round: IntArray
    boosts: dict[str, Values] = field(default_factory=dict)
    rarity: Values | None = None
    long_tail: float = 0.0
    vectors: npt.NDArray[np.float32] | None = None
    diversity: float = 0.0
    quotas: Sequence[Kinds] = ()


def choose(candidates: Candidates, k: int) -> tuple[list[int], dict[int, list[str]]]:
    """The k candidates of a request.

    Earlier rounds come before later ones. Within a round candidates go by score, boosts and rarity, then by what they
    add to those before them; equal ones stay in the order of their scores.

    Args:
        candidates: in the order of their scores within each round.
        k: candidates wanted.

    Returns:
        Places in the candidates, best first, and what moved each: place -> "moved up 4 places: added lately".
    """
    count = len(candidates.score)
    order = list(range(count))
    moves: dict[int, list[str]] = {}
    worth = _part_of_range(candidates.score)
    for name, added in candidates.boosts.items():
        worth = worth + added
        order = _moved(order, _sorted(worth, candidates.round), f"boost for {name}", moves, np.flatnonzero(added))
    if candidates.rarity is not None and candidates.long_tail:
        worth = (1 - candidates.long_tail) * worth + candidates.long_tail * candidates.rarity
        order = _moved(order, _sorted(worth, candidates.round), "long tail", moves, np.arange(count))
    if candidates.vectors is not None and candidates.diversity:
        diverse = _diverse(order, worth, candidates, k)
        order = _moved(order, diverse, "diversity", moves, np.arange(count))
    chosen = _within_quotas(order, candidates.quotas, k, moves)
    return chosen, {place: moves[place] for place in chosen if place in moves}


def _part_of_range(score: Values) -> Values:
    spread = float(np.ptp(score)) if len(score) else 0.0
    return (score - score.min()) / spread if spread > 0 else np.zeros(len(score))


def _sorted(worth: Values, rounds: IntArray) -> list[int]:
    order: list[int] = np.lexsort((np.arange(len(worth)), -worth, rounds)).tolist()
    return order


def _moved(
    before: list[int], after: list[int], rule: str, moves: dict[int, list[str]], acted_on: IntArray
) -> list[int]:
    """Note which items a rule moved that acts on them; those that only make room are not named."""
    place = {item: at for at, item in enumerate(before)}
    acts = set(acted_on.tolist())
    for at, item in enumerate(after):
        if item in acts and place[item] != at:
            moves.setdefault(item, []).append(_words(place[item] - at, rule))
    return after


def _words(places: int, rule: str) -> str:
    count = f"{abs(places)} place" if abs(places) == 1 else f"{abs(places)} places"
    return f"moved {'up' if places > 0 else 'down'} {count}: {rule}"


def _diverse(order: list[int], worth: Values, candidates: Candidates, k: int) -> list[int]:
    """The first k by maximal marginal relevance, then the others; round after round."""
    vectors = candidates.vectors
    taken: list[int] = []
    assert vectors is not None  # noqa: S101 (the caller asked)
    likeness = np.zeros(len(worth))
    left = np.array(order, dtype=np.int64)
    while len(left) and len(taken) < k:
        now = left[candidates.round[left] == candidates.round[left[0]]]
        value = (1 - candidates.diversity) * worth[now] - candidates.diversity * likeness[now]
        best = now[int(np.argmax(value))]
        taken.append(int(best))
        left = left[left != best]
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return [*taken, *left.tolist()]


def _within_quotas(order: list[int], quotas: Sequence[Kinds], k: int, moves: dict[int, list[str]]) -> list[int]:
    """The first k that no upper bound forbids, and in place of the last ones what lower bounds still want."""
    chosen: list[int] = []
    used: list[dict[object, int]] = [{} for _ in quotas]

    def fits(item: int) -> bool:
        return all(
            quota.at_most is None or all(counts.get(kind, 0) < quota.at_most for kind in quota.of_item[item])
            for quota, counts in zip(quotas, used, strict=True)
        )

    def count(item: int, step: int) -> None:
        for quota, counts in zip(quotas, used, strict=True):
            for kind in quota.of_item[item]:
                counts[kind] = counts.get(kind, 0) + step

    held: dict[int, str] = {}
    for quota in quotas:
        if quota.at_least is None:
            continue
        for item in [item for item in order if quota.of_item[item]]:
            if sum(bool(quota.of_item[place]) for place in held) >= min(quota.at_least, k):
                break
            if item not in held and len(held) < k and fits(item):
                held[item] = quota.name
                count(item, 1)
    free = k - len(held)
    for item in order:
        if item in held:
            chosen.append(item)
        elif free and fits(item):
            chosen.append(item)
            count(item, 1)
            free -= 1
    # Held ones that stand behind the k-th place come forward to the end of the list.
    place = {item: at for at, item in enumerate(order)}
    for at, item in enumerate(chosen):
        if item in held and place[item] >= k:
            moves.setdefault(item, []).append(_words(place[item] - at, f"quota for {held[item]}"))
        elif item not in held and place[item] != at and place[item] >= k:
            names = [quota.name for quota in quotas if quota.at_most is not None]
            moves.setdefault(item, []).append(_words(place[item] - at, f"quota for {', '.join(names)}"))
    return chosen
