"""Nodes of a snapshot: their ids, and their properties as attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.report import MAX_EXAMPLES, QualityReport
from ingest.sources.neo4j.attributes import attribute_columns
from ingest.sources.neo4j.plan import key_property
from ingest.sources.neo4j.tables import PREFIX, Neo4jTables, Nodes, SnapshotReading, shown_node
from ingest.sources.tables import to_ids
from kg.arrays import IntArray
from kg.errors import InvalidDataError


def map_nodes(reading: SnapshotReading, type_of: Mapping[str, str], result: Neo4jTables) -> Nodes:
    """Find the id of every node, and add the attributes of each node type to the result.

    Args:
        reading: what is mapped.
        type_of: label -> node type; the other labels are those of nodes in between.
        result: gets attributes and names.

    Raises:
        ConfigError: nodes have no key.
        InvalidDataError: too many nodes have no id.
    """
    kinds: list[str] = []
    between: dict[str, Any] = {}
    internal, kind_of, ids, rows = [], [], [], []
    for label in reading.snapshot.plan.labels:
        table = reading.snapshot.nodes(label)
        if not table.num_rows:
            continue
        if label in type_of:
            kinds.append(type_of[label])
            label_ids = _label_table(reading, label, type_of[label], table, result)
            kind = np.where(label_ids.is_valid().to_numpy(zero_copy_only=False), len(kinds) - 1, -1)
        else:
            kinds.append(label)
            between[label] = table
            label_ids = pa.nulls(table.num_rows, pa.string())
            kind = np.full(table.num_rows, len(kinds) - 1)
        internal.append(table["node"].to_numpy().astype(np.int64))
        kind_of.append(kind)
        ids.append(label_ids)
        rows.append(np.arange(table.num_rows))
    everything = _joined(internal)
    order = np.argsort(everything, kind="stable")
    return Nodes(
        internal=everything[order],
        kinds=kinds,
        kind=_joined(kind_of)[order],
        row=_joined(rows)[order],
        id=pa.chunked_array(ids, type=pa.string()).combine_chunks().take(pa.array(order)),
        between=between,
    )


def _joined(parts: list[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def _label_table(reading: SnapshotReading, label: str, name: str, table: Any, result: Neo4jTables) -> Any:
    """Ids of the nodes of a label, null where they have none; their attributes go into the result."""
    key = key_property(label, name, reading.snapshot.catalog, reading.graph)
    account = reading.account(f"(:{label})")
    account.read += table.num_rows
    column = PREFIX + key
    values = table[column].combine_chunks() if column in table.column_names else pa.nulls(table.num_rows)
    try:
        ids = to_ids(values)
    except InvalidDataError as error:
        raise InvalidDataError(f"the property {key} of {label} nodes: {error}; see graph.nodes.{name}.key") from error
    missing = np.flatnonzero(ids.is_null().to_numpy(zero_copy_only=False))
    if len(missing):
        reading.context.report.set_aside(
            account,
            "missing ids",
            len(missing),
            f"nodes without {key}, which is their id; set aside with their relationships",
            [shown_node(label, table, int(row)) for row in missing[:MAX_EXAMPLES]],
        )
    reading.context.check(account)
    number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    result.names.labels[name] = label
    result.names.keys[name] = (key, "integer" if number else "string")
    columns = {"id": ids, **attribute_columns(label, table, key, reading.context.report)}
    kept = pa.table(columns).filter(ids.is_valid())
    result.attributes[name] = _one_row_each(kept, name, reading.context.report)
    return ids


def _one_row_each(table: Any, name: str, report: QualityReport) -> Any:
    """Rows of equal ids: the one whose attributes sort first stays."""
    counts = pc.value_counts(table["id"].combine_chunks())
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if not len(repeated):
        return table
    again = pc.is_in(table["id"], value_set=repeated).to_numpy()
    rows = np.flatnonzero(again)
    described = [
        (row["id"], repr(row), at) for at, row in zip(rows, table.take(pa.array(rows)).to_pylist(), strict=True)
    ]
    kept = ~again
    seen: set[str] = set()
    for id, _, at in sorted(described):
        kept[at] = id not in seen
        seen.add(id)
    report.add(
        "nodes with the same id",
        len(rows) - len(seen),
        "taken as one node, with the attributes that sort first and the relationships of all",
        [f"{name} {id}" for id in sorted(seen)[:MAX_EXAMPLES]],
        severity="warning",
    )
    return table.filter(pa.array(kept))
