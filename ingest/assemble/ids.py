"""The ids of the nodes of each type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.assemble.relations import Relations
from ingest.facts import Facts
from ingest.report import QualityReport
from ingest.settings import GraphSettings
from kg.arrays import IntArray
from kg.errors import InvalidDataError


def collect_ids(
    facts: Facts, relations: Relations, settings: GraphSettings, report: QualityReport, *, strict: bool
) -> dict[str, Any]:
    """The ids of every node type, sorted; those that only edges name are counted.

    Args:
        facts: of all sources.
        relations: their edges.
        settings: roles.
        report: findings.
        strict: refuse items that no source describes.

    Returns:
        Node type -> ids as Arrow strings, users and items first.

    Raises:
        InvalidDataError: there are no items, or (strict) some that nothing describes.
    """
    user, item = settings.user, settings.item
    described: dict[str, list[Any]] = {}
    for name, nodes in facts.mapped.nodes.items():
        described.setdefault(name, []).append(nodes.table["id"].combine_chunks())
    for name, tables in facts.attributes.items():
        described.setdefault(name, []).extend(table["id"].combine_chunks() for table in tables)
    mentioned: dict[str, list[tuple[bool, Any]]] = {}
    for key, tables in relations.named.items():
        is_event = key in relations.events
        for table in tables:
            mentioned.setdefault(key.source, []).append((is_event, table["src"]))
            mentioned.setdefault(key.target, []).append((is_event, table["dst"]))
            if "user" in table.column_names:
                mentioned.setdefault(user, []).append((is_event, table["user"]))
    names = dict.fromkeys(
        [
            user,
            item,
            *[name for name in settings.nodes if name in described or name in mentioned],
            *sorted({*described, *mentioned}),
        ]
    )
    result = {}
    for name in names:
        ids = _unique(described.get(name, []))
        for by_events in (True, False):
            others = _unique([column for is_event, column in mentioned.get(name, []) if is_event == by_events])
            # Where tables are all there is, items that only interactions name are no surprise.
            if len(ids) or (name == item and facts.mapped.nodes):
                others = others.filter(pc.invert(pc.is_in(others, value_set=ids)))
                if len(others):
                    _count_undescribed(name, others, by_events, settings, report, strict=strict)
            ids = _unique([ids, others])
        result[name] = ids.take(pc.sort_indices(ids))
    if not len(result[item]):
        types = ", ".join(name for name, ids in result.items() if len(ids)) or "none"
        raise InvalidDataError(f"graph.item = {item!r}, but no source has such nodes; the types there are {types}")
    return result


def positions(values: Any, ids: Any) -> IntArray:
    """Positions of values in `ids`, int64 (n,); all of them are there."""
    result: IntArray = pc.index_in(values, value_set=ids).to_numpy().astype("int64")
    return result


def _count_undescribed(
    name: str, ids: Any, by_events: bool, settings: GraphSettings, report: QualityReport, *, strict: bool
) -> None:
    """Count nodes that edges name and no source describes."""
    examples = [f"{name} {entry}" for entry in ids.take(pc.sort_indices(ids))[:5].to_pylist()]
    if by_events and name == settings.item:
        if strict:
            raise InvalidDataError(
                f"{len(ids)} items of the interactions are in no other source and quality.strict is on: "
                f"{', '.join(examples)}. Check graph.nodes.{name}.key"
            )
        report.add("items the graph lacks", len(ids), "kept as nodes with only their id", examples, severity="warning")
    elif by_events and name == settings.user:
        report.add("users the graph lacks", len(ids), "kept as nodes with only their id", examples)
    else:
        report.add(
            "dangling references",
            len(ids),
            "nodes that are named but never described; kept with the type of their predicate's other objects",
            examples,
            severity="warning",
        )


def _unique(arrays: Sequence[Any]) -> Any:
    if not arrays:
        return pa.array([], type=pa.string())
    flat = [chunk for a in arrays for chunk in (a.chunks if isinstance(a, pa.ChunkedArray) else [a])]
    return pc.unique(pa.chunked_array(flat, type=pa.string()))
