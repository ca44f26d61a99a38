"""Values between Neo4j's driver and plain Python, so that answers can be read without the driver."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from neo4j.graph import Node, Path, Relationship
from neo4j.spatial import Point
from neo4j.time import Date, DateTime, Duration, Time


def size_of(value: Any) -> int:
    """About how many bytes a value takes that `plain` gave."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(key) + size_of(inner) for key, inner in value.items())
    return sum(map(size_of, value)) if isinstance(value, list) else 8


def plain(value: Any) -> Any:
    """A value of a record as Python's own types.

    A node is its sorted labels and its properties, a relationship its type and properties, a path its nodes and
    relationships in order. Times are Python's, to the microsecond; a duration that counts in months, whose length is
    no number of seconds, is its ISO 8601 text. A point is `{"srid": ..., "coordinates": [...]}`, a vector a list.

    Raises:
        ValueError: Python has no such value, or the driver does not know it.
    """
    match value:
        case None | bool() | int() | float() | str() | bytes():
            return value
        case bytearray():
            return bytes(value)
        case Node():
            return {"labels": sorted(value.labels), "properties": _properties(value)}
        case Relationship():
            return {"type": value.type, "properties": _properties(value)}
        case Path():
            return {
                "nodes": [plain(node) for node in value.nodes],
                "relationships": [plain(relationship) for relationship in value.relationships],
            }
        case Date() | DateTime() | Time():
            return value.to_native()
        case Duration():
            return _duration(value)
        case Point():
            return {"srid": value.srid, "coordinates": list(value)}
        case Mapping():
            return {key: plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
    if type(value).__name__ == "Vector":  # since driver 6
        return list(value.to_native())
    raise ValueError(f"a value of type {type(value).__name__}")


def sendable(value: Any) -> Any:
    """A parameter that the driver can send without harm; lists and mappings are copied only where something changes.

    The driver asks the zone of a time with objects of its own, and CPython's `ZoneInfo` reads memory that those do not
    have: the interpreter may die of it. Zones of pytz, which the driver brings, are the same without that.
    """
    kind = type(value)
    if kind is str or kind is int or kind is float or value is None or kind is bool:
        return value
    if kind is list or kind is tuple:
        changed = [sendable(inner) for inner in value]
        return value if all(new is old for new, old in zip(changed, value, strict=True)) else changed
    if isinstance(value, Mapping):
        made = {key: sendable(inner) for key, inner in value.items()}
        return value if all(made[key] is inner for key, inner in value.items()) else made
    if isinstance(value, datetime) and isinstance(value.tzinfo, ZoneInfo):
        import pytz  # type: ignore[import-untyped]

        name = value.tzinfo.key
        if name is None or name not in pytz.all_timezones_set:
            raise ValueError("a time in a zone without a name: give it in UTC")
        return value.astimezone(pytz.timezone(name))
    return value


def _properties(entity: Node | Relationship) -> dict[str, Any]:
    return {key: plain(entity[key]) for key in sorted(entity)}


def _duration(value: Duration) -> timedelta | str:
    if value.months:
        return value.iso_format()
    return timedelta(days=value.days, seconds=value.seconds, microseconds=value.nanoseconds / 1000)
