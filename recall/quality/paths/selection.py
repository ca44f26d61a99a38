"""Which path is shown first for each candidate: the largest, or a recent, popular and different one that costs little.

One number, the dial, trades the two. The candidates stay as they are, and so does their order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from recall.quality.paths.collection import PairPaths
from recall.quality.paths.linking import type_diversity

FloatArray = npt.NDArray[np.float64]

GOALS = ("lir", "sep", "etd")
_TIE = 1e-6  # of the share: below what makes a difference, above rounding
_NEVER = 1e6


@dataclass(frozen=True, kw_only=True)
class Selected:
    """The path that is shown for each of a user's candidates, those with paths.

    Attributes:
        kind: names of the types of step, (n,).
        lir: (n,).
        sep: (n,).
        share: part of the score on the path, (n,).
    """

    kind: tuple[str, ...]
    lir: FloatArray
    sep: FloatArray
    share: FloatArray

    def diversity(self, types: int) -> float:
        """ETD, see `recall.quality.paths.linking`."""
        _, numbers = np.unique(np.array(self.kind, dtype=object).astype(str), return_inverse=True)
        return type_diversity(numbers, types)


def select(
    candidates: Sequence[PairPaths],
    recent: Mapping[int, float],
    popular: FloatArray,
    *,
    first_item: int,
    dial: float,
    toward: Collection[str] = GOALS,
) -> Selected:
    """Choose a path for each candidate of a list.

    A path is worth (1 - dial) times its share beside the largest of the item, plus dial times the mean of LIR, SEP and
    whether its type is shown once more or for the first time. What the list is worth in all is as large as it can be,
    an assignment of candidates to types; of paths that are worth the same the larger one is chosen.

    Args:
        candidates: the paths of each.
        recent: position of an item of the history -> LIR.
        popular: SEP of each node.
        first_item: node number of the first item.
        dial: 0 shows the largest share, 1 asks for nothing but LIR, SEP and ETD.
        toward: which of `GOALS` the dial goes to.
    """
    goals = tuple(name for name in GOALS if name in toward)
    offers: list[dict[str, _Offer]] = []
    for paths in candidates:
        usable = np.flatnonzero((paths.value > 0) & (paths.start >= 0))
        if not len(usable) or paths.score <= 0:
            continue
        lir = np.array([recent.get(int(node) - first_item, 0.0) for node in paths.start[usable]])
        sep, share = popular[paths.last[usable]], paths.value[usable]
        parts = {"lir": lir, "sep": sep}
        worth = (1 - dial + _TIE) * share / share.max()
        for name in goals:
            worth = worth + dial / len(goals) * parts.get(name, 0.0)
        best: dict[str, _Offer] = {}
        for number in np.unique(paths.kind[usable]).tolist():
            here = np.flatnonzero(paths.kind[usable] == number)
            at = here[np.argmax(worth[here])]
            best[paths.kinds[number]] = _Offer(
                float(worth[at]), float(lir[at]), float(sep[at]), float(share[at] / paths.score)
            )
        offers.append(best)
    new = dial / len(goals) if "etd" in goals else 0.0
    chosen = [(kind, offer[kind]) for kind, offer in zip(_assigned(offers, new), offers, strict=True)]
    return Selected(
        kind=tuple(kind for kind, _ in chosen),
        lir=np.array([offer.lir for _, offer in chosen]),
        sep=np.array([offer.sep for _, offer in chosen]),
        share=np.array([offer.share for _, offer in chosen]),
    )


class _Offer(NamedTuple):
    """The best path of one type for one candidate."""

    worth: float
    lir: float
    sep: float
    share: float


def _assigned(offers: Sequence[Mapping[str, _Offer]], new: float) -> list[str]:
    """A type for each candidate, so that the sum of the worths, and of `new` for every type that is shown, is largest.

    Each candidate either is the one that shows a type first, or has a place of its own where nothing is added.
    """
    if not offers:
        return []
    kinds = sorted({kind for offer in offers for kind in offer})
    free = [max(offer.items(), key=lambda entry: entry[1].worth)[0] for offer in offers]
    worths = np.full((len(offers), len(kinds) + len(offers)), -_NEVER)
    for row, offer in enumerate(offers):
        for kind, path in offer.items():
            worths[row, kinds.index(kind)] = path.worth + new
        worths[row, len(kinds) + row] = offer[free[row]].worth
    rows, places = linear_sum_assignment(worths, maximize=True)
    by_row = dict(zip(rows.tolist(), places.tolist(), strict=True))
    return [kinds[by_row[row]] if by_row[row] < len(kinds) else free[row] for row in range(len(offers))]
