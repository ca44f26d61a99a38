"""Watermarks: a property that grows with every change, and what lies at or above the highest one of the last reading.

A node or relationship without the property counts as changed. Values are compared where they are of one kind in the
whole label or type: numbers, texts, or one of Neo4j's kinds of dates and times; others tell nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kg.arrays import IntArray
from kg.stores.neo4j.read.catalog import Catalog, label_pattern, type_pattern
from kg.stores.neo4j.read.reader import Reader
from kg.stores.neo4j.read.snapshot import ReadPlan

_NUMBERS = {"Long", "Integer", "Double", "Float"}
# Equal moments in two zones have an order of their own in Cypher, so a little before the watermark is taken as well.
_VALUE = {
    "number": "$value",
    "String": "$value",
    "Date": "date($value)",
    "LocalDateTime": "localdatetime($value)",
    "DateTime": "(datetime($value) - duration({milliseconds: 1}))",
}
_PACKED = "WITH collect(id(x)) AS every UNWIND range(0, size(every), 10000) AS at RETURN every[at..at + 10000] AS ids"


def highest(reader: Reader, plan: ReadPlan, catalog: Catalog) -> dict[str, dict[str, Any]]:
    """The highest watermark of each label and type that the plan names one for.

    Returns:
        "labels" and "types" -> name -> `kind` and `value`, plain data; both None where the values are of several kinds
        or there are none.
    """
    return {
        "labels": {
            name: _highest(reader, label_pattern(name), name, key, catalog.labels[name].properties.get(key, ()))
            for name, key in plan.label_watermarks.items()
        },
        "types": {
            name: _highest(reader, type_pattern(name), name, key, catalog.types[name].properties.get(key, ()))
            for name, key in plan.type_watermarks.items()
        },
    }


def _highest(reader: Reader, pattern: str, name: str, key: str, types: Sequence[str]) -> dict[str, Any]:
    kind = "number" if types and set(types) <= _NUMBERS else types[0] if len(types) == 1 else None
    if kind not in _VALUE:
        return {"kind": None, "value": None}
    expression = "max(x[$key])" if kind in ("number", "String") else "toString(max(x[$key]))"
    value = reader.run(f"MATCH {pattern} RETURN {expression} AS value", {"name": name, "key": key})[0]["value"]
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return {"kind": None, "value": None}
    return {"kind": kind, "value": value}


def went_back(reader: Reader, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a highest watermark is below that of the last reading: rows were deleted, or a clock was turned back."""
    if before["kind"] is None or before["kind"] != now["kind"]:
        return before != now
    before_value, now_value = (_VALUE[now["kind"]].replace("$value", name) for name in ("$before", "$now"))
    rows = reader.run(f"RETURN {now_value} < {before_value} AS back", {"before": before["value"], "now": now["value"]})
    return bool(rows[0]["back"])


def is_comparable(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> bool:
    """Whether rows above an old watermark can be selected."""
    return before is not None and now is not None and before["kind"] is not None and before["kind"] == now["kind"]


def changed_ids(reader: Reader, pattern: str, name: str, key: str, before: Mapping[str, Any]) -> IntArray:
    """Internal ids of what lies at or above a watermark, or has none, ascending."""
    wanted = f"x[$key] >= {_VALUE[before['kind']]} OR x[$key] IS NULL"
    return _ids(reader, f"MATCH {pattern} WITH x WHERE {wanted} {_PACKED}", {"name": name, "key": key, **before})


def all_ids(reader: Reader, pattern: str, name: str) -> IntArray:
    """Internal ids of all nodes of a label, or relationships of a type, ascending."""
    return _ids(reader, f"MATCH {pattern} {_PACKED}", {"name": name})


def _ids(reader: Reader, query: str, parameters: Mapping[str, Any]) -> IntArray:
    parts = [np.array(row["ids"], np.int64) for row in reader.run(query, parameters)]
    return np.sort(np.concatenate([np.empty(0, np.int64), *parts]))
