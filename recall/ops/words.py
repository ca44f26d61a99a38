"""Sizes, durations, ages and times as text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def age(seconds: float) -> str:
    """`40 s`, `12 min`, `5.2 h`, `3.1 days`."""
    for unit, length, longest in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if seconds < longest * length:
            return f"{seconds / length:.{int(unit == 'h')}f} {unit}"
    return f"{seconds / 86_400:.1f} days"


def size(count: int) -> str:
    """Bytes with a unit: `812 B`, `3.4 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def users_asked(users: int, drawn_from: int | None) -> str:
    """`812 users`, or of a sample `sample of 10,000 of 300,000 users`."""
    return f"{users:,} users" if drawn_from is None else f"sample of {users:,} of {drawn_from:,} users"


def moment(text: Any, shape: str = "%Y-%m-%d %H:%M UTC") -> str:
    """A time in ISO 8601 as UTC in another format; what is no time, as it is."""
    try:
        return f"{datetime.fromisoformat(str(text)).astimezone(UTC):{shape}}"
    except ValueError:
        return str(text or "")
