"""Times as people write them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np


def utc_seconds(value: Any) -> float:
    """A time as UTC seconds since 1970.

    Args:
        value: a number of seconds, a date, a datetime, or either of these as an ISO text; without a zone it is UTC.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime.combine(value, time())
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ValueError(f"{value!r:.80} is neither a number of seconds nor a date")
    if not math.isfinite(value):
        raise ValueError(f"{value} is no time")
    return float(value)
