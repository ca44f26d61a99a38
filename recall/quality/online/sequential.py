"""An A/B test that may be read several times, and ended early.

Group-sequential tests with a spent alpha (Lan and DeMets, Biometrika 1983): of the allowed chance of a false finding a
part is spent at each look, by how much of the planned people has come. The bounds are quantiles of the joint normal
distribution of the looks (`scipy.stats.multivariate_normal`), whose correlation is the root of the ratio of their
people.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.stats import multivariate_normal, norm

from kg.errors import ConfigError, InvalidDataError
from recall.quality.online.checks import check_share

Spending = Literal["obrien-fleming", "pocock"]
MOST_LOOKS = 10
_FARTHEST = 12.0  # standard deviations: beyond lies nothing that a float can tell from 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """When a test is looked at, and how far apart the groups must be by then.

    Attributes:
        people: in both groups together at each look, ascending.
        spent: alpha that is spent up to each look.
        bounds: |z| from which on the test ends at each look.
    """

    people: tuple[int, ...]
    spent: tuple[float, ...]
    bounds: tuple[float, ...]

    def ends(self, look: int, z: float) -> bool:
        """Whether the groups differ at a look.

        Args:
            look: from 1.
            z: difference of the groups divided by its standard error.

        Raises:
            ConfigError: there is no such look.
            InvalidDataError: z is no number.
        """
        if not 1 <= look <= len(self.bounds):
            raise ConfigError(f"look {look} was not planned: there are {len(self.bounds)}")
        if math.isnan(z):
            raise InvalidDataError("z is no number: both groups need people, and some that differ")
        return abs(z) >= self.bounds[look - 1]


def plan_looks(people: Sequence[int], *, alpha: float = 0.05, spending: Spending = "obrien-fleming") -> Plan:
    """Plan the looks of a test, two-sided.

    Args:
        people: in both groups together at each look, ascending; the last is the end, whose number is that of a fixed
            test and a few percent more (a tenth more with "pocock").
        alpha: chance of a finding where there is none, over all looks.
        spending: "obrien-fleming" asks much at early looks, and at the last hardly more than a fixed test; "pocock"
            asks about the same at each.

    Raises:
        ConfigError: the looks do not ascend, there are none or more than ten, or alpha is no share.
    """
    check_share(alpha, "alpha")
    counts = np.asarray(people, dtype=np.float64)
    if not 1 <= len(counts) <= MOST_LOOKS or counts.ndim != 1:
        raise ConfigError(f"a test has 1 to {MOST_LOOKS} looks, not {len(counts)}")
    if counts[0] < 1 or (np.diff(counts) <= 0).any() or not np.isfinite(counts).all():
        raise ConfigError(f"people must ascend from look to look: {', '.join(f'{count:g}' for count in counts)}")
    fractions = counts / counts[-1]
    spent = [_spent(float(fraction), alpha, spending) for fraction in fractions]
    correlation = np.sqrt(np.minimum.outer(fractions, fractions) / np.maximum.outer(fractions, fractions))
    bounds: list[float] = []
    for look, total in enumerate(spent, 1):
        inner = correlation[:look, :look]

        def missing(bound: float, inner: np.ndarray = inner, total: float = total) -> float:
            upper = np.array([*bounds, bound])
            if len(upper) == 1:
                return float(norm.cdf(bound) - norm.cdf(-bound)) - (1 - total)
            # The seed makes the integral, which draws points, the same each time.
            looks = multivariate_normal(cov=inner, seed=0, maxpts=20_000 * len(upper), abseps=1e-7)
            within = looks.cdf(upper, lower_limit=-upper)
            return float(within) - (1 - total)

        bounds.append(float(brentq(missing, 0.0, _FARTHEST, xtol=1e-6)))
    return Plan(people=tuple(int(count) for count in counts), spent=tuple(spent), bounds=tuple(bounds))


def _spent(fraction: float, alpha: float, spending: Spending) -> float:
    """Alpha that may be spent when a share of the people has come."""
    if spending == "obrien-fleming":
        return float(4 * norm.sf(norm.isf(alpha / 4) / math.sqrt(fraction)))  # on each side half of alpha
    if spending == "pocock":
        return alpha * math.log(1 + (math.e - 1) * fraction)
    raise ConfigError(f"spending is obrien-fleming or pocock, not {spending!r}")
