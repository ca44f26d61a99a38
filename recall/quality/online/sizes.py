"""How many people an A/B test needs to see a difference."""

from __future__ import annotations

import math

from kg.errors import ConfigError
from recall.quality.online.checks import check_share, statsmodels


def people_for_shares(
    before: float, after: float, *, power: float = 0.8, alpha: float = 0.05, ratio: float = 1.0
) -> tuple[int, int]:
    """People in each group so that a change of a share, such as that of people who click, is seen.

    By the normal approximation for the arcsine of a share (statsmodels' `NormalIndPower`), two-sided.

    Args:
        before: the share in the group as it is.
        after: the share that would be worth knowing of.
        power: how likely a change of that size is seen.
        alpha: how likely one is seen where there is none.
        ratio: people in the new group for one in the other.

    Returns:
        People in the group as it is, and in the new one.

    Raises:
        ConfigError: a share lies outside 0 to 1, both shares are equal, or the ratio is not above 0.
    """
    check_share(before, "before")
    check_share(after, "after")
    effect = statsmodels("stats.proportion").proportion_effectsize(after, before)
    return _solved("NormalIndPower", effect, power, alpha, ratio)


def people_for_means(
    change: float, deviation: float, *, power: float = 0.8, alpha: float = 0.05, ratio: float = 1.0
) -> tuple[int, int]:
    """People in each group so that a change of a mean, such as clicks a person, is seen (t-test, two-sided).

    Args:
        change: of the mean that would be worth knowing of, in either direction.
        deviation: standard deviation between people, above 0.
        power: see `people_for_shares`.
        alpha: see `people_for_shares`.
        ratio: see `people_for_shares`.

    Raises:
        ConfigError: see `people_for_shares`; or the deviation is not above 0.
    """
    if not deviation > 0 or not math.isfinite(deviation):
        raise ConfigError(f"deviation = {deviation} must be above 0")
    return _solved("TTestIndPower", change / deviation, power, alpha, ratio)


def _solved(method: str, effect: float, power: float, alpha: float, ratio: float) -> tuple[int, int]:
    check_share(power, "power")
    check_share(alpha, "alpha")
    if not effect or not math.isfinite(effect):
        raise ConfigError("there is no change to be seen: before and after are the same")
    if not ratio > 0 or not math.isfinite(ratio):
        raise ConfigError(f"ratio = {ratio} must be above 0")
    if power <= alpha:
        raise ConfigError(f"power = {power} must be above alpha = {alpha}: chance alone reaches it")
    solver = getattr(statsmodels("stats.power"), method)()
    size = solver.solve_power(abs(effect), power=power, alpha=alpha, ratio=ratio, alternative="two-sided")
    count = math.ceil(float(size))
    return count, math.ceil(count * ratio)
