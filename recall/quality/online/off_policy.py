"""What a ranking that was not shown would have earned, from impressions of one that was.

Each impression has the probability with which the ranking that was shown chose it, and that with which the other one
would have. Estimates (Dudik, Langford and Li, ICML 2011; Swaminathan and Joachims, NIPS 2015), w = target / logged:

    IPS     mean of w r                   unbiased; a few large w make it vary
    SNIPS   sum of w r / sum of w         biased a little, varies much less
    DR      mean of v + w (r - q)         q what a model expects of the impression, v of the other ranking there;
                                          right where the model or the probabilities are, and varies least

Each is the constant of a regression, so that interval and standard error are those of statsmodels: robust, or
clustered by user, for impressions of one user are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gnn.evaluation.metrics import Values
from kg.errors import ConfigError, InvalidDataError
from recall.quality.online.checks import check_share, check_values, statsmodels

_STRANGE = 4.0  # standard errors of the mean weight from 1
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Impressions:
    """What was shown, and what came of it.

    Attributes:
        reward: of each impression, such as 1 for a click, float64 (n,).
        logged: probability with which it was chosen, above 0, float64 (n,).
        target: probability with which the other ranking would have chosen it, float64 (n,).
        user: of each impression, any ids, (n,); None: impressions are independent.
        expected: what a model expects of the impression, float64 (n,); None without a model.
        value: what the model expects of the other ranking's choice there, float64 (n,); None without a model.
    """

    reward: Values
    logged: Values
    target: Values
    user: npt.NDArray[np.int64] | None = None
    expected: Values | None = None
    value: Values | None = None

    @classmethod
    def of(
        cls,
        reward: npt.ArrayLike,
        logged: npt.ArrayLike,
        target: npt.ArrayLike,
        *,
        user: Sequence[Any] | None = None,
        expected: npt.ArrayLike | None = None,
        value: npt.ArrayLike | None = None,
    ) -> Self:
        """Check impressions; see the class.

        Raises:
            InvalidDataError: lists have different lengths, numbers are missing, or probabilities lie outside 0 to 1.
        """
        rewards, chances = check_values(reward, "reward"), check_values(logged, "logged")
        wanted = check_values(target, "target")
        parts: dict[str, Values | None] = {"logged": chances, "target": wanted}
        for name, given in (("expected", expected), ("value", value)):
            parts[name] = None if given is None else check_values(given, name)
        for name, values in parts.items():
            if values is not None and len(values) != len(rewards):
                raise InvalidDataError(f"{name} has {len(values)} values for {len(rewards)} impressions")
        if bad := int(((chances <= 0) | (chances > 1)).sum()):
            raise InvalidDataError(
                f"{bad} impressions have a logged probability that is not above 0 and at most 1: what was shown had a "
                "chance to be; log it when the list is made"
            )
        if bad := int(((wanted < 0) | (wanted > 1)).sum()):
            raise InvalidDataError(f"{bad} impressions have a target probability outside 0 to 1")
        if (expected is None) != (value is None):
            raise InvalidDataError("a model gives both expected and value, or neither")
        clusters = None
        if user is not None:
            clusters = np.unique(np.asarray(user), return_inverse=True)[1].astype(np.int64)
            if len(clusters) != len(rewards):
                raise InvalidDataError(f"user has {len(clusters)} values for {len(rewards)} impressions")
        return cls(
            reward=rewards,
            logged=chances,
            target=wanted,
            user=clusters,
            expected=parts["expected"],
            value=parts["value"],
        )

    @classmethod
    def of_table(cls, table: Any) -> Self:
        """From a table with the columns `reward`, `logged`, `target`, and perhaps `user`, `expected` and `value`.

        Args:
            table: of Arrow, pandas or Polars, or a mapping of names to lists.

        Raises:
            InvalidDataError: a column is missing; see `of`.
        """
        columns = table if isinstance(table, pa.Table) else pa.table(table)
        if missing := [name for name in ("reward", "logged", "target") if name not in columns.column_names]:
            raise InvalidDataError(
                f"the impressions have no column {missing[0]!r}, only {', '.join(columns.column_names)}"
            )
        given = {
            name: columns[name].to_pylist()
            for name in ("reward", "logged", "target", "user", "expected", "value")
            if name in columns.column_names
        }
        return cls.of(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The value of the other ranking.

    Attributes:
        value: reward an impression.
        interval: of it.
        effective: impressions of equal weight that would say as much, (sum of w)^2 / sum of w^2.
        mean_weight: near 1 where the probabilities are right and cover what the other ranking shows.
        warning: what speaks against the estimate; None: nothing.
    """

    value: float
    interval: tuple[float, float]
    effective: float
    mean_weight: float
    warning: str | None


def ips(impressions: Impressions, *, most: float | None = None, level: float = 0.95) -> Estimate:
    """Inverse propensity scores.

    Args:
        impressions: logged ones.
        most: larger weights are cut to this, which varies less and is biased; None: none are.
        level: of the interval.

    Raises:
        ConfigError: `most` is not above 0, or the level is no share.
        InvalidDataError: the other ranking would have shown none of the impressions.
    """
    weights = _weights(impressions, most)
    return _estimate(weights * impressions.reward, None, weights, impressions, level)


def snips(impressions: Impressions, *, most: float | None = None, level: float = 0.95) -> Estimate:
    """Self-normalised inverse propensity scores; see `ips`."""
    weights = _weights(impressions, most)
    return _estimate(impressions.reward, weights, weights, impressions, level)


def doubly_robust(impressions: Impressions, *, most: float | None = None, level: float = 0.95) -> Estimate:
    """A model's expectation, corrected by what came; see `ips`.

    Raises:
        InvalidDataError: the impressions have no expectations of a model.
        ConfigError: see `ips`.
    """
    if impressions.expected is None or impressions.value is None:
        raise InvalidDataError("doubly robust estimates need expected and value, what a model expects: see Impressions")
    weights = _weights(impressions, most)
    corrected = impressions.value + weights * (impressions.reward - impressions.expected)
    return _estimate(corrected, None, weights, impressions, level)


def _weights(impressions: Impressions, most: float | None) -> Values:
    if most is not None and not most > 0:
        raise ConfigError(f"most = {most} must be above 0")
    weights = impressions.target / impressions.logged
    if not weights.any():
        raise InvalidDataError("the other ranking would have shown none of these impressions: they say nothing of it")
    return weights if most is None else np.minimum(weights, most)


def _estimate(
    outcome: Values, of_weights: Values | None, weights: Values, impressions: Impressions, level: float
) -> Estimate:
    """The constant of a regression on nothing else."""
    check_share(level, "level")
    regression = statsmodels("regression.linear_model")
    constant = np.ones((len(outcome), 1))
    if of_weights is None:
        model = regression.OLS(outcome, constant)
    else:
        model = regression.WLS(outcome, constant, weights=of_weights)
    if impressions.user is None:
        fit = model.fit(cov_type="HC1")
    else:
        fit = model.fit(cov_type="cluster", cov_kwds={"groups": impressions.user})
    ((low, high),) = fit.conf_int(alpha=1 - level)
    raw = impressions.target / impressions.logged
    mean, error = float(raw.mean()), float(raw.std(ddof=1) / np.sqrt(len(raw)))
    warning = None
    if abs(mean - 1) > _STRANGE * error + _ROUNDING:
        warning = (
            f"the weights have the mean {mean:.3f}, not 1: the probabilities are not those that the lists were drawn "
            "with, or the other ranking shows what was never logged"
        )
    return Estimate(
        value=float(fit.params[0]),
        interval=(float(low), float(high)),
        effective=float(weights.sum() ** 2 / (weights**2).sum()),
        mean_weight=mean,
        warning=warning,
    )
