"""Amazon Beauty and Toys (5-core, the files of S3-Rec) as graphs: sequences, attributes and short texts of the items.

Zhou et al., "S3-Rec: Self-Supervised Learning for Sequential Recommendation with Mutual Information Maximization",
CIKM 2020. Leave-one-out: the last item of each user is the test part, the one before it the validation part.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa

from kg import Event, KnowledgeGraph, NodeType, Relation, RelationKey, Schema, Split
from kg.errors import InvalidDataError
from kg.io.files import checksum
from kg.splits import TEST, TRAIN, VALID

FOLDER = "sequences"
FILES = {"beauty": "Beauty", "toys": "Toys_and_Games"}
REVIEWED = RelationKey("user", "reviewed", "item")
# Column of the item table -> name of the relation; "Unknown" is no brand.
ATTRIBUTES = {"brand": "has_brand", "categories": "in_category", "attributes": "has_attribute"}


def load(folder: Path, name: str) -> KnowledgeGraph:
    """The graph of one data set; the edges of the users keep the order of the file.

    Args:
        folder: with `NAME.txt`, a line a user: the user's number, then those of the items, oldest first; and
            `NAME_items.csv` with item, text and the columns of `ATTRIBUTES` that there are.
        name: "beauty" or "toys".

    Raises:
        InvalidDataError: the item table lacks an item of the sequences.
    """
    users: list[str] = []
    items: list[str] = []
    places: list[int] = []
    for line in (folder / f"{FILES[name]}.txt").read_text(encoding="ascii").splitlines():
        user, *bought = line.split()
        users += [user] * len(bought)
        items += bought
        places += range(len(bought))
    path = folder / f"{FILES[name]}_items.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    if missing := sorted(set(items) - {row["item"] for row in table}):
        raise InvalidDataError(f"{path} lacks {len(missing)} items of the sequences, the first is {missing[0]}")
    nodes = {
        "user": pa.table({"id": sorted(set(users))}),
        "item": pa.table({"id": [row["item"] for row in table], "text": [row["text"] for row in table]}),
    }
    edges = {REVIEWED: pa.table({"src": users, "dst": items, "order": places})}
    for column, relation in ATTRIBUTES.items():
        pairs = [
            (row["item"], value)
            for row in table
            for value in row.get(column, "").split("|")
            if value and value != "Unknown"
        ]
        if pairs:
            nodes[column] = pa.table({"id": sorted({value for _, value in pairs})})
            ends = {"src": [item for item, _ in pairs], "dst": [value for _, value in pairs]}
            edges[RelationKey("item", relation, column)] = pa.table(ends)
    schema = Schema(
        node_types={node: NodeType(name=node, text="{text}" if node == "item" else None) for node in nodes},
        relations={
            key: Relation(key=key, phrase=key.name.replace("_", " "), event=Event() if key == REVIEWED else None)
            for key in edges
        },
        user_type="user",
        item_type="item",
        interaction=REVIEWED,
    )
    return KnowledgeGraph.build(schema, nodes, edges)


def leave_one_out(graph: KnowledgeGraph) -> Split:
    """The last item of each user to test, the one before it to validation."""
    interactions = graph.interactions
    newest = np.lexsort((-interactions.order, interactions.user))
    counts = np.bincount(interactions.user)
    from_end = np.empty(len(interactions), dtype=np.int64)
    from_end[newest] = np.arange(len(newest)) - np.repeat(np.cumsum(counts) - counts, counts)
    return Split(part=np.select([from_end == 0, from_end == 1], [TEST, VALID], TRAIN).astype(np.int8), temporal="user")


def checksums(folder: Path, name: str) -> dict[str, str]:
    """File name -> sha256."""
    return {f"{FOLDER}/{file}": checksum(folder / file) for file in (f"{FILES[name]}.txt", f"{FILES[name]}_items.csv")}
