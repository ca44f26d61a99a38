"""The types of bodies."""

from __future__ import annotations

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"


def media_type(header: str) -> str:
    """The type that a header names, without its parameters."""
    return header.partition(";")[0].strip().lower()


def wants_arrow(accept: str) -> bool:
    """Whether a client that accepts these types is to get an Arrow IPC stream."""
    return ARROW in [media_type(entry) for entry in accept.split(",")]
