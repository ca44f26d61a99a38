"""The data that a training is validated on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kg import RaggedArray

VALIDATION_K = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The data of early stopping.

    Attributes:
        truth: items each user liked in the validation part, (users,) lists.
        seen: items left out of each user's ranking, (users,) lists.
    """

    truth: RaggedArray
    seen: RaggedArray


def largest_factor(
    recall: Callable[[float], float], factors: Iterable[float], *, without: float, cost: float
) -> tuple[float, float]:
    """The largest factor of some items' scores that costs at most a share of the recall without these items.

    Args:
        recall: with a factor.
        factors: ascending.
        without: recall without these items.
        cost: the share.

    Returns:
        The factor, the smallest one where even that costs more, and the recall with it.
    """
    reached = [(factor, recall(factor)) for factor in factors]
    return next((pair for pair in reversed(reached) if pair[1] >= (1 - cost) * without), reached[0])
