"""Texts of nodes, made by the templates of their types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.report import QualityReport
from kg.errors import ConfigError
from kg.schema import NodeType, RelationKey, Schema, render_text


def with_text(
    node_type: NodeType,
    nodes: Mapping[str, Any],
    edges: Mapping[RelationKey, Any],
    schema: Schema,
    report: QualityReport,
) -> Any:
    """The node table of a type with its `text`; relations of the template stand for the titles of their targets.

    Raises:
        ConfigError: the template names what is not there, or what users did.
    """
    template = node_type.text or ""
    events = schema.events()
    table = nodes[node_type.name]
    shown = table
    for name in dict.fromkeys(re.findall(r"\{(\w+)\}", template)):
        if name in table.column_names:
            continue
        keys = [key for key in edges if key.source == node_type.name and key.name == name]
        if any(key in events for key in keys):
            raise ConfigError(
                f"graph.nodes.{node_type.name}.text names {name!r}, which is what users did: a text made of it "
                "would show held-out interactions to the model; leave it out"
            )
        if not keys:
            relations = sorted({k.name for k in edges if k.source == node_type.name and k not in events})
            raise ConfigError(
                f"graph.nodes.{node_type.name}.text names {name!r}; the attributes there are "
                f"{', '.join(table.column_names)}, the relations {', '.join(relations) or 'none'}"
            )
        shown = shown.append_column(name, _titles_of_targets(keys, nodes, edges, schema))
    texts = render_text(template, shown)
    empty = pc.equal(texts, "")
    report.add(
        "empty texts",
        int(pc.sum(empty).as_py() or 0),
        f"{node_type.name} nodes whose text template renders empty",
        [f"{node_type.name} {entry}" for entry in table["id"].filter(empty)[:5].to_pylist()],
    )
    return table.append_column("text", texts)


def _titles_of_targets(
    keys: list[RelationKey], nodes: Mapping[str, Any], edges: Mapping[RelationKey, Any], schema: Schema
) -> Any:
    """The titles of the targets of relations as one list for each source, in the order of the titles."""
    rows, titles = [], []
    for key in keys:
        of_targets = _titles(nodes[key.target], schema.node_types[key.target].title)
        titles.append(of_targets.take(edges[key]["dst"].combine_chunks()))
        rows.append(edges[key]["src"].to_numpy())
    row, title = np.concatenate(rows), pa.concat_arrays(titles)
    order = np.lexsort((pc.rank(title, tiebreaker="dense").to_numpy(), row))
    counts = np.bincount(row, minlength=nodes[keys[0].source].num_rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), title.take(pa.array(order)))


def _titles(table: Any, title: str | None) -> Any:
    """The title of each node, its id where it has none."""
    ids = table["id"].combine_chunks()
    if title is None:
        return ids
    column = table[title].combine_chunks()
    if pa.types.is_list(column.type):
        column = pc.list_element(pc.if_else(pc.equal(pc.list_value_length(column), 0), None, column), 0)
    return pc.coalesce(column.cast(pa.string()), ids)
