"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest

from kg.times import utc_seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (60, 60.0),
        (np.int64(60), 60.0),
        (-1.5, -1.5),
        (date(1970, 1, 2), 86400.0),
        (datetime(1970, 1, 1, 0, 1), 60.0),
        (datetime(1970, 1, 1, 0, 1, tzinfo=UTC), 60.0),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0.0),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01", 0.0),
    ],
)
def test_a_time_is_seconds(written, seconds):
    assert utc_seconds(written) == seconds


@pytest.mark.parametrize("written", ["yesterday", "", True, float("nan"), float("inf"), None, [1]])
def test_what_is_no_time_is_refused(written):
    with pytest.raises(ValueError):  # noqa: PT011 (callers say what it was)
        utc_seconds(written)
