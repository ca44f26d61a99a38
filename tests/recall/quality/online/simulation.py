"""How often something happens that should happen with a given chance."""

from __future__ import annotations

from scipy.stats import binomtest


def is_plausible(count: int, draws: int, chance: float) -> bool:
    """Whether a count is what a chance gives; a sound one is refused once in ten thousand times."""
    return bool(binomtest(count, draws, chance).pvalue > 1e-4)
