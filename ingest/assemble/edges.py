"""Edge tables: ends as positions, one edge for each pair, and nodes between users and items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.assemble.ids import positions
from ingest.assemble.relations import Relations
from ingest.facts import Facts
from ingest.report import QualityReport
from ingest.settings import GraphSettings
from kg.arrays import IntArray, places
from kg.graph import sort_edges
from kg.schema import RelationKey

PARTS = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges of all sources by position.

    Attributes:
        tables: relation -> `src`, `dst` (perhaps `user`) and attributes, in canonical order.
        repeats: what users did to the same items before, in tables of the same columns.
    """

    tables: dict[RelationKey, Any]
    repeats: dict[RelationKey, Any]


def edge_tables(
    facts: Facts, relations: Relations, ids: Mapping[str, Any], settings: GraphSettings, report: QualityReport
) -> Edges:
    """Edges by position, repeated ones removed, in canonical order.

    Args:
        facts: of all sources; of these only RDF is read here.
        relations: the edges of the others.
        ids: node type -> ids.
        settings: roles.
        report: findings.
    """
    row_of = {name: positions(nodes.table["id"], ids[name]) for name, nodes in facts.mapped.nodes.items()}
    parts: dict[RelationKey, list[Any]] = {}
    for key, edges in facts.mapped.edges.items():
        columns: dict[str, Any] = {"src": row_of[key.source][edges.src], "dst": row_of[key.target][edges.dst]}
        if edges.graph is not None:
            columns["graph"] = edges.graph
        parts.setdefault(key, []).append(pa.table(columns))
    for key, tables in relations.named.items():
        ends = {"src": key.source, "dst": key.target, "user": settings.user}
        for table in tables:
            for column, node_type in ends.items():
                if column in table.column_names:
                    place = table.column_names.index(column)
                    table = table.set_column(place, column, pa.array(positions(table[column], ids[node_type])))
            parts.setdefault(key, []).append(table)
    result = Edges({}, {})
    for key, tables in parts.items():
        table = pa.concat_tables(tables, promote_options="default").combine_chunks()
        _keep_one_each(key, table, result, relations, ids, settings, report)
    return result


def _in_order(table: Any) -> Any:
    """Rows of sources that list a user's items in order: `order` becomes the place among the user's rows."""
    rows = np.flatnonzero(pc.is_valid(table["order"]).to_numpy())
    user = table["src"].to_numpy()[rows]
    by_user = np.argsort(user, kind="stable")
    order = np.full(table.num_rows, -1, dtype=np.int64)
    order[rows[by_user]] = places(user[by_user])
    return table.set_column(table.column_names.index("order"), "order", pa.array(order, mask=order < 0))


def _keep_one_each(
    key: RelationKey,
    table: Any,
    edges: Edges,
    relations: Relations,
    ids: Mapping[str, Any],
    settings: GraphSettings,
    report: QualityReport,
) -> None:
    """Keep one edge a pair (or a pair and user, value or graph): the latest, then train first, then the highest.

    What users did to the same items before goes to `edges.repeats`.
    """
    if "order" in table.column_names:
        table = _in_order(table)
    identity = [table["src"].to_numpy(), table["dst"].to_numpy()]
    columns = table.column_names
    identity += [_codes(table[name]) for name in ("user", "value", "graph") if name in columns]
    preference: list[npt.NDArray[Any]] = [
        -table[name].fill_null(-np.inf).to_numpy() for name in ("weight", "rating") if name in columns
    ]
    if "part" in table.column_names:
        preference.append(pc.index_in(table["part"], value_set=pa.array(PARTS)).to_numpy())
    if "timestamp" in table.column_names:
        preference.append(-table["timestamp"].fill_null(np.iinfo(np.int64).min + 1).to_numpy())
    order = np.lexsort([*preference, *reversed(identity)])
    again = np.zeros(len(order), dtype=bool)
    if len(order) > 1:
        again[1:] = np.logical_and.reduce([c[order][1:] == c[order][:-1] for c in identity])
    if again.any():
        kind = "duplicate interactions" if key in relations.events else "repeated edges"
        ends = (settings.user, settings.item)
        rows = order[again][:5]
        examples = [
            f"{key.source} {ids[key.source][int(identity[0][i])].as_py()} {key.name} "
            f"{key.target} {ids[key.target][int(identity[1][i])].as_py()}"
            for i in rows
        ]
        report.add(
            kind,
            int(again.sum()),
            "the latest stands for the pair" if (key.source, key.target) == ends else "the latest is kept",
            examples,
            severity="warning" if key in relations.events else "info",
        )
        if key in relations.events and (key.source, key.target) == ends and "value" not in columns:
            edges.repeats[key] = sort_edges(table.take(pa.array(order[again])))
        table = table.take(pa.array(order[~again]))
    if key in relations.events and "value" in table.column_names:
        table = table.drop_columns(["value"])
    edges.tables[key] = sort_edges(table)


def _codes(column: Any) -> IntArray:
    if pa.types.is_integer(column.type):
        result: IntArray = column.fill_null(-1).to_numpy().astype(np.int64)
        return result
    codes: IntArray = (
        pc.dictionary_encode(column.combine_chunks(), null_encoding="encode").indices.to_numpy().astype(np.int64)
    )
    return codes
