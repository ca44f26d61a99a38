"""The population stability index: how far the proportions of classes have moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from recall.quality.monitor.report import Moved, Part, Stability

Masses = npt.NDArray[np.float64]

SOME, LARGE = 0.1, 0.25
MOST_CLASSES = 20  # of a name; the lighter ones are one class together, for many small classes add up to noise
SHOWN = 3
OTHERS = "others"


def population_stability(before: Masses, now: Masses) -> float:
    """PSI = sum over classes of (q - p) ln(q / p), with p the shares before and q those now.

    It is the symmetric Kullback-Leibler divergence (Jeffreys, "An invariant form for the prior probability in
    estimation problems", 1946) under the name it has in credit scoring (Siddiqi, "Credit Risk Scorecards", 2006). By
    the convention of that field below 0.1 nothing has moved, from 0.25 on much has; by chance alone independent counts
    of n and m come to about (classes - 1)(1/n + 1/m) (Yurdakul and Naranjo, "Statistical properties of the population
    stability index", 2020). Half a count is added to every class, so that an empty one is no infinity.

    Args:
        before: counts by class, at least 0, float64 (classes,).
        now: the same classes.

    Returns:
        At least 0; 0 where one side is empty, of which nothing can be said.
    """
    if not before.sum() or not now.sum():
        return 0.0
    p, q = (counts + 0.5 for counts in (before, now))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def stability(part: Part, name: str, sides: Sequence[Masses], label: Callable[[int], str]) -> Stability:
    """The index of one distribution, and the classes that have moved most.

    Args:
        part: of the drift.
        name: what the classes are of.
        sides: counts by class, before and now, float64 (classes,) each; those beyond the heaviest are taken together.
        label: name of a class, by its number.
    """
    order = np.argsort(-sum(map(_shares, sides), np.zeros(len(sides[0]))), kind="stable")
    heavy, light = order[:MOST_CLASSES], order[MOST_CLASSES:]
    names = [label(number) for number in heavy.tolist()]
    before, now = (counts[heavy] for counts in sides)
    if len(light):
        names.append(OTHERS)
        before, now = (np.append(counts[heavy], counts[light].sum()) for counts in sides)
    index = population_stability(before, now)
    return Stability(part=part, name=name, index=round(index, 5), moved=_moved(names, _shares(before), _shares(now)))


def _shares(counts: Masses) -> Masses:
    """Counts as shares of their sum, 0 where it is 0."""
    shares: Masses = counts / (counts.sum() or 1)
    return shares


def _moved(names: Sequence[str], before: Masses, now: Masses) -> tuple[Moved, ...]:
    """The classes whose shares differ most."""
    largest = np.argsort(-np.abs(now - before), kind="stable")[:SHOWN]
    return tuple(
        Moved(label=names[at], before=round(float(before[at]), 5), now=round(float(now[at]), 5))
        for at in largest.tolist()
        if before[at] != now[at]
    )
