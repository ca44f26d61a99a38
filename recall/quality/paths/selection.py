"""Which path is shown first for each candidate: the largest, or a recent, popular and different one that costs little.

One number, the dial, trades the two. The candidates stay as they are, and so does their order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recall.quality.paths.collection import PairPaths
from recall.quality.paths.linking import type_diversity

FloatArray = npt.NDArray[np.float64]

GOALS = ("lir", "sep", "etd")
_TIE = 1e-6  # of the share: below what makes a difference, above rounding


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
    types: int,
    dial: float,
    toward: Collection[str] = GOALS,
) -> Selected:
    """Choose a path for each candidate, in the order of the list.

    A path is worth (1 - dial) times its share beside the largest of the item, plus dial times the mean of LIR, SEP and
    whether its type is new in the list. Once every type has been shown, all are new again. Of paths that are worth the
    same the larger one is chosen.

    Args:
        candidates: the paths of each.
        recent: position of an item of the history -> LIR.
        popular: SEP of each node.
        first_item: node number of the first item.
        types: how many types of path there are.
        dial: 0 shows the largest share, 1 asks for nothing but LIR, SEP and ETD.
        toward: which of `GOALS` the dial goes to.
    """
    shown: set[str] = set()
    rows: list[tuple[str, float, float, float]] = []
    for paths in candidates:
        usable = np.flatnonzero((paths.value > 0) & (paths.start >= 0))
        if not len(usable) or paths.score <= 0:
            continue
        lir = np.array([recent.get(int(node) - first_item, 0.0) for node in paths.start[usable]])
        sep, share = popular[paths.last[usable]], paths.value[usable]
        new = np.array([name not in shown for name in paths.kinds])[paths.kind[usable]]
        parts = [part for name, part in zip(GOALS, (lir, sep, new), strict=True) if name in toward]
        worth = (1 - dial + _TIE) * share / share.max() + dial * np.mean(parts, axis=0)
        best = int(np.argmax(worth))
        kind = paths.kinds[paths.kind[usable[best]]]
        shown.add(kind)
        if len(shown) >= types:
            shown.clear()
        rows.append((kind, float(lir[best]), float(sep[best]), float(share[best] / paths.score)))
    kinds, *columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    lir, sep, share = (np.array(column, dtype=np.float64) for column in columns)
    return Selected(kind=tuple(kinds), lir=lir, sep=sep, share=share)
