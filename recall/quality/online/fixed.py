"""An A/B test that is read once, when the people that were planned for have come.

To look earlier, and to stop when it looks good, makes chance findings many times as likely: see `sequential`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt
from scipy.stats import ttest_ind

from kg.errors import InvalidDataError
from recall.quality.online.checks import check_share, check_values, statsmodels


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a change did.

    Attributes:
        before: share or mean of the group as it is.
        after: of the group with the change.
        difference: after less before.
        interval: of the difference.
        p: of the test that there is none, two-sided.
    """

    before: float
    after: float
    difference: float
    interval: tuple[float, float]
    p: float


def compare_shares(before: tuple[int, int], after: tuple[int, int], *, level: float = 0.95) -> Effect:
    """Compare shares of people, such as those who clicked (statsmodels; score test, Newcombe's interval).

    Args:
        before: people who did, and people, of the group as it is.
        after: the same of the group with the change.
        level: of the interval.

    Raises:
        InvalidDataError: a group is empty, or more did than there are.
        ConfigError: the level is no share.
    """
    check_share(level, "level")
    for name, (did, people) in (("before", before), ("after", after)):
        if people < 1 or not 0 <= did <= people:
            raise InvalidDataError(f"{did} of {people} people in the group {name!r} is no share")
    (did_before, people_before), (did_after, people_after) = before, after
    first, second = did_before / people_before, did_after / people_after
    proportion = statsmodels("stats.proportion")
    low, high = proportion.confint_proportions_2indep(
        did_after, people_after, did_before, people_before, compare="diff", method="newcomb", alpha=1 - level
    )
    if did_before + did_after in (0, people_before + people_after):
        p = 1.0  # all are alike: the test would divide by a variance of 0
    else:
        test = proportion.test_proportions_2indep(
            did_after, people_after, did_before, people_before, compare="diff", method="score"
        )
        p = float(test.pvalue)
    return Effect(before=first, after=second, difference=second - first, interval=(float(low), float(high)), p=p)


def compare_means(before: npt.ArrayLike, after: npt.ArrayLike, *, level: float = 0.95) -> Effect:
    """Compare means over people, such as clicks or the time spent (Welch's t-test, SciPy).

    Args:
        before: a number for each person of the group as it is, 0 for those who did nothing.
        after: of the group with the change.
        level: of the interval.

    Raises:
        InvalidDataError: a group has fewer than two people, or numbers that are missing.
        ConfigError: the level is no share.
    """
    check_share(level, "level")
    first, second = check_values(before, "before"), check_values(after, "after")
    difference = float(second.mean() - first.mean())
    if first.std() == 0 and second.std() == 0:
        return Effect(
            before=float(first.mean()),
            after=float(second.mean()),
            difference=difference,
            interval=(difference, difference),
            p=1.0 if difference == 0 else 0.0,
        )
    test = ttest_ind(second, first, equal_var=False)
    low, high = test.confidence_interval(level)
    return Effect(
        before=float(first.mean()),
        after=float(second.mean()),
        difference=difference,
        interval=(float(low), float(high)),
        p=float(test.pvalue),
    )
