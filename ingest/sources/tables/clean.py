"""Raw tables as clean facts: interactions and events, attributes, edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.context import ReadingContext
from ingest.report import QualityReport
from ingest.settings import EdgeColumns, InteractionColumns
from ingest.sources.tables.cleaner import Cleaner
from ingest.sources.tables.rows import Rows, pick
from ingest.sources.tables.spread import is_list, split_cells, spread
from ingest.sources.tables.values import infer_type
from kg.errors import ConfigError

RESERVED_ATTRIBUTES = {"id", "text", "types"}


def clean_events(
    rows: Rows,
    names: InteractionColumns,
    context: ReadingContext,
    *,
    kind: str,
    value: str | None = None,
    unit: str | None = None,
) -> tuple[Any, Any | None]:
    """What users did to items; a cell with a list of items is one row for each.

    Args:
        rows: a raw table.
        names: of its columns.
        context: report and limits.
        kind: of the account in the report, "interactions" or "events".
        value: column whose values become nodes.
        unit: what numbers that are times count: "s", "ms", "us" or "ns"; None: it is guessed.

    Returns:
        A table of `user` and `item` (ids), perhaps `rating`, `timestamp`, `weight` and `order`; and the values in lower
        case with single blanks, or None.

    Raises:
        InvalidDataError: a column is missing, or too many rows cannot be used.
    """
    required = {
        "user": names.user,
        "item": names.item,
        "value": value,
        "rating": names.rating,
        "timestamp": names.timestamp,
        "weight": names.weight,
    }
    optional = {role: role for role in ("rating", "timestamp", "weight")}
    table = pick(rows, required, optional)
    if is_list(table["item"]):
        rows, table = spread(rows, table, "item", None)
    table = _clean(rows, table, context, kind=kind, ids=("user", "item", "value"), unit=unit)
    if rows.ordered:
        table = table.append_column("order", pa.array(np.arange(table.num_rows)))
    if value is None:
        return table, None
    values = pc.replace_substring_regex(pc.utf8_lower(table["value"]), r"\s+", " ")
    return table.drop_columns(["value"]), values


def clean_edges(
    rows: Rows, names: EdgeColumns, context: ReadingContext, *, split: str | None = None, unit: str | None = None
) -> Any:
    """Knowledge edges: a table of `src` and `dst` (ids), perhaps `relation`, `weight` and `timestamp`.

    Args:
        rows: a raw table.
        names: of its columns.
        context: report and limits.
        split: separator of several targets in one cell; cells without any are no bad rows then.
        unit: what numbers that are times count: "s", "ms", "us" or "ns"; None: it is guessed.

    Raises:
        InvalidDataError: a column is missing, or too many rows cannot be used.
    """
    columns = ("source", "target", "relation", "weight", "timestamp")
    table = pick(rows, {column: getattr(names, column) for column in columns})
    if split is not None or is_list(table["target"]):
        rows, table = spread(rows, table, "target", split)
    table = _clean(rows, table, context, kind="edges", ids=("source", "target", "relation"), unit=unit)
    ends = {"source": "src", "target": "dst"}
    return table.rename_columns([ends.get(column, column) for column in table.column_names])


def clean_attributes(
    rows: Rows,
    context: ReadingContext,
    *,
    node: str,
    id: str,
    columns: Mapping[str, str] | None,
    lists: Mapping[str, str] | None,
) -> Any:
    """Attributes of nodes: a table of `id` and attributes, one row a node.

    Args:
        rows: a raw table.
        context: report and limits.
        node: node type.
        id: column of the ids.
        columns: attribute -> column; default: all others under their own names.
        lists: attribute -> separator of the values in a cell.

    Raises:
        ConfigError: an attribute has a reserved name.
        InvalidDataError: a column is missing, or too many rows cannot be used.
    """
    others = {column: column for column in rows.table.column_names if column != id}
    column_of = dict(others if columns is None else columns)
    if reserved := sorted(RESERVED_ATTRIBUTES & set(column_of)):
        raise ConfigError(
            f"attributes of {node} cannot be called {', '.join(reserved)}: give the column another name in `columns`"
        )
    account = context.report.source(rows.name, "attributes")
    cleaner = Cleaner(rows, pick(rows, {"id": id, **column_of}), context.report, account)
    cleaner.ids("id")
    context.check(account)
    table = cleaner.result()
    arrays = {"id": table["id"].combine_chunks()}
    for attribute, column in column_of.items():
        if lists and attribute in lists and not is_list(table[attribute]):
            arrays[attribute] = split_cells(table[attribute], lists[attribute])
            continue
        values = infer_type(table[attribute])
        if values is not None:
            arrays[attribute] = values
            continue
        context.report.add(
            "columns left out",
            1,
            "attributes are text, numbers, booleans, dates, times, and lists of these",
            [f"{rows.name}: {column} is of type {table[attribute].type}"],
            severity="warning",
        )
    return _one_row_a_node(pa.table(arrays), node, context.report)


def _clean(
    rows: Rows, table: Any, context: ReadingContext, *, kind: str, ids: tuple[str, ...], unit: str | None
) -> Any:
    """The rows of a table that can be used: `ids` are columns of ids, `timestamp` one of times, the others numbers."""
    account = context.report.source(rows.name, kind)
    cleaner = Cleaner(rows, table, context.report, account)
    for column in table.column_names:
        if column in ids:
            cleaner.ids(column)
        elif column == "timestamp":
            cleaner.seconds(column, now=context.now, unit=unit)
        else:
            cleaner.numbers(column)
    context.check(account)
    return cleaner.result()


def _one_row_a_node(table: Any, node: str, report: QualityReport) -> Any:
    """Of rows with equal ids the one that sorts first stays, whatever the order of the file."""
    plain = [f.name for f in table.schema if not pa.types.is_nested(f.type) and f.name != "id"]
    table = table.sort_by([(name, "ascending") for name in ["id", *plain]])
    ids = table["id"].combine_chunks()
    if len(ids) < 2:
        return table
    again = pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    report.add(
        "repeated attribute rows",
        int(again.sum()),
        "several rows for one node: the one that sorts first is kept",
        [f"{node} {ids[int(i) + 1].as_py()}" for i in np.flatnonzero(again)[:5]],
        severity="warning",
    )
    return table.filter(pa.array(np.concatenate([[True], ~again])))
