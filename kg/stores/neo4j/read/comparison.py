"""The comparison of all keys and watermarks of a database with a snapshot: it finds what a watermark cannot show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kg.arrays import IntArray
from kg.stores.neo4j.read.catalog import count, label_pattern, type_pattern
from kg.stores.neo4j.read.changes import Changes, Side
from kg.stores.neo4j.read.page_tables import Keys, as_text, pieces_of, table_of
from kg.stores.neo4j.read.pages import Pages, bounds
from kg.stores.neo4j.read.snapshot import PROPERTY, among, flat
from kg.stores.neo4j.read.watermarks import went_back

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore


def why_compare(changes: Changes, store: Neo4jStore) -> str:
    """Why the watermarks missed something: one went back, or the numbers differ from the server's; "" if neither."""
    old, now, plan = changes.old.watermarks, changes.start.watermarks, changes.plan
    for side in ("labels", "types"):
        for name, mark in now[side].items():
            if went_back(changes.reader, old[side][name], mark):
                return f"the highest watermark of {name} went back"
    server = count(store, plan.labels, plan.types)
    labels: Counter[str] = Counter()
    for _, table in changes.rows(changes.nodes, ["labels"]):
        counts = pc.value_counts(flat(table["labels"]).flatten())
        labels.update(dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)))
    types: Counter[str] = Counter()
    for name, table in changes.rows(changes.relationships, []):
        types[name] += len(table)
    for ours, theirs in ((labels, server.labels), (types, server.types)):
        for name, number in theirs.items():
            if ours[name] != number:
                return f"{ours[name]} {name} are known, and {number} are there"
    return ""


def read_differing(changes: Changes) -> None:
    """Read what is there and not known, or known with another key or watermark; drop what is not there."""
    plan, catalog = changes.plan, changes.catalog
    compared: dict[str, dict[str, Any]] = {}
    for name in plan.labels:
        properties = catalog.labels[name].properties
        keys = {of[name] for of in (changes.identities, changes.nodes.watermarks) if name in of}
        compared[name] = {key: properties[key] for key in sorted(keys) if key in properties}
    differing = _differing(changes, changes.nodes, label_pattern, compared, ["labels"])
    for _ in changes.fetch(changes.nodes, differing):
        pass
    compared = {}
    for name in plan.types:
        properties = catalog.types[name].properties
        watermark = changes.relationships.watermarks.get(name)
        compared[name] = {key: kinds for key, kinds in properties.items() if key == watermark}
    differing = _differing(changes, changes.relationships, type_pattern, compared, ["source", "target"])
    differing = np.union1d(differing, changes.ids_at_replaced_nodes(np.empty(0, np.int64)))
    for _ in changes.fetch(changes.relationships, differing):
        pass


def _differing(
    changes: Changes,
    side: Side,
    pattern: Callable[[str], str],
    compared: Mapping[str, Mapping[str, Any]],
    fixed: Sequence[str],
) -> IntArray:
    """Ids that are on one side only, or whose compared columns differ.

    Args:
        changes: what was read so far.
        side: nodes or relationships.
        pattern: matches those of a name.
        compared: name -> the properties that are compared, with their types.
        fixed: other columns that are.
    """
    keys = Keys.of(compared)
    low, end = bounds(changes.reader, [(pattern(name), {"name": name}) for name in side.names])
    first = next(iter(side.parameters))
    parameters = {first: side.parameters[first], **keys.parameters()}
    total = sum(group["rows"] for group in changes.groups[side.element])
    server: dict[str, list[tuple[Any, Any]]] = {}
    pages = Pages(changes.readers, side.query, parameters, low=low, end=end, limit=changes.plan.page, total=total)
    for page in pages:
        for name, piece in pieces_of(page, keys).items():
            table = table_of(piece, keys.kinds[name], sort=False)
            texts = _signature(table, fixed, compared[name])
            server.setdefault(name, []).append((table[side.id_column].to_numpy(), texts))
    ours: dict[str, list[tuple[Any, Any]]] = {}
    columns = [PROPERTY + key for key in {key for properties in compared.values() for key in properties}]
    for name, table in changes.rows(side, [*fixed, *columns]):
        ours.setdefault(name, []).append((table[side.id_column].to_numpy(), _signature(table, fixed, compared[name])))
    differing = [np.empty(0, np.int64)]
    for name in side.names:
        ids, texts = _by_id(server.get(name, []))
        our_ids, our_texts = _by_id(ours.get(name, []))
        differing += [ids[~among(ids, our_ids)], our_ids[~among(our_ids, ids)]]
        both = among(ids, our_ids)
        ours_of_both = our_texts.take(pa.array(np.searchsorted(our_ids, ids[both])))
        unequal = pc.not_equal(texts.filter(pa.array(both)), ours_of_both).to_numpy(zero_copy_only=False)
        differing.append(ids[both][unequal])
    return np.unique(np.concatenate(differing))


def _signature(table: Any, fixed: Sequence[str], keys: Mapping[str, Any]) -> Any:
    """One text a row of what is compared."""
    parts = []
    for column in [*fixed, *(PROPERTY + key for key in keys)]:
        values = flat(table[column]) if column == "labels" else as_text(table, column)
        parts.append(pc.binary_join(values, "\x1f") if column == "labels" else values)
    if not parts:
        return pa.repeat("", len(table))
    return pc.binary_join_element_wise(*parts, "\x1e", null_handling="replace", null_replacement="\x00")


def _by_id(parts: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Ids, ascending, and the text of each."""
    ids = np.concatenate([np.empty(0, np.int64), *(some for some, _ in parts)])
    texts = pa.concat_arrays([pa.array([], pa.string()), *(flat(text) for _, text in parts)])
    order = np.argsort(ids, kind="stable")
    return ids[order], texts.take(pa.array(order))
