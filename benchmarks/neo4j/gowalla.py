"""The gowalla check-ins of the LightGCN paper as a graph, with the published split and a validation part of our own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from kg import Event, KnowledgeGraph, NodeType, Relation, RelationKey, Schema, Split, SplitConfig, split_interactions
from kg.files import checksum

VISITED = RelationKey("user", "visited", "item")
FILES = ("train.txt", "test.txt")
SPLIT = SplitConfig(kind="files", valid=0.1, seed=0)


def gowalla(folder: Path) -> tuple[KnowledgeGraph, Split]:
    """All check-ins, and which of them are train, valid (a seeded tenth of the published training part) and test.

    Args:
        folder: with train.txt and test.txt, a line a user: the user's number, then those of the items.
    """
    users, items, parts = [], [], []
    for part in FILES:
        for line in (folder / part).read_text(encoding="ascii").splitlines():
            user, *visited = line.split()
            users += [user] * len(visited)
            items += visited
            parts += [part.removesuffix(".txt")] * len(visited)
    schema = Schema(
        node_types={"user": NodeType(name="user"), "item": NodeType(name="item")},
        relations={VISITED: Relation(key=VISITED, phrase="visited", event=Event())},
        user_type="user",
        item_type="item",
        interaction=VISITED,
    )
    graph = KnowledgeGraph.build(
        schema,
        {"user": pa.table({"id": sorted(set(users))}), "item": pa.table({"id": sorted(set(items))})},
        {VISITED: pa.table({"src": users, "dst": items, "part": parts})},
    )
    return graph, split_interactions(graph, SPLIT)


def known_part(graph: KnowledgeGraph, split: Split) -> KnowledgeGraph:
    """What goes into the database: train and valid, the latter marked by the number `held` of each relationship."""
    kept = split.mask("train", "valid")
    table = graph.edges[VISITED].filter(pa.array(kept)).drop_columns("part")
    held = split.mask("valid")[kept].astype(np.int64)
    return KnowledgeGraph(graph.schema, graph.nodes, {VISITED: table.append_column("held", pa.array(held))})


def checksums(folder: Path) -> dict[str, str]:
    """File name -> sha256."""
    return {f"gowalla/{name}": checksum(folder / name) for name in FILES}
