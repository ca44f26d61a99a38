"""Small graphs of items with genres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from kg import KnowledgeGraph, RelationKey, Schema
from kg.schema import NodeType, Relation


def graph_of(
    items: dict[str, list[Any]], genres: Sequence[tuple[str, str]], names: Sequence[str], *, item: str = "item"
) -> KnowledgeGraph:
    """One user who likes the first item.

    Args:
        items: columns of the items.
        genres: ids of an item and a genre.
        names: ids of the genres, whose titles are the same in capitals.
        item: the items' node type.
    """
    likes, genre = RelationKey("user", "likes", item), RelationKey(item, "genre", "genre")
    schema = Schema(
        node_types={name: NodeType(name=name) for name in ("user", item, "genre")},
        relations={likes: Relation(key=likes), genre: Relation(key=genre)},
        item_type=item,
        interaction=likes,
    )
    nodes = {
        "user": pa.table({"id": ["u"]}),
        item: pa.table(items),
        "genre": pa.table({"id": list(names), "name": [name.upper() for name in names]}),
    }
    ends = pa.table(
        {end: pa.array([pair[at] for pair in genres], pa.string()) for at, end in enumerate(("src", "dst"))}
    )
    edges = {likes: pa.table({"src": ["u"], "dst": [items["id"][0]]}), genre: ends}
    return KnowledgeGraph.build(schema, nodes, edges)
