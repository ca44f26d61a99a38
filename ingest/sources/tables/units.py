"""What numbers that stand for times count: seconds, milliseconds, microseconds or nanoseconds since 1970."""

from __future__ import annotations

import numpy as np

from kg.arrays import IntArray

TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
EARLIEST = 315_532_800  # 1980: whoever keeps what people click has no older times, and guesses stay apart


def guess_unit(numbers: IntArray, *, now: int) -> str:
    """The unit in which most of the numbers lie between 1980 and now; seconds where none fits.

    The units are a factor of 1000 apart, and 1980 to now less than a factor of 6: at most one fits.

    Args:
        numbers: as they stand in the table, int64 (n,).
        now: UTC seconds.
    """
    if not len(numbers):
        return "s"
    middle = float(np.median(numbers))
    return next((unit for unit, ticks in TICKS.items() if EARLIEST <= middle / ticks <= now), "s")
