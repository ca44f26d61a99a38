"""Processes that tests look at."""

from __future__ import annotations

from pathlib import Path


def is_there(number: int) -> bool:
    """Whether a process runs: one that nobody has waited for yet does not."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # gone, or gone between opening and reading
        return False
    return state not in ("Z", "X")
