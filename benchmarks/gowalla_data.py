"""The gowalla check-ins of the LightGCN paper as a graph, with the published split and a validation part of our own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from kg import Event, KnowledgeGraph, NodeType, Relation, RelationKey, Schema, Split, SplitConfig, split_interactions
from kg.files import checksum
from kg.splits import TEST, TRAIN, VALID

VISITED = RelationKey("user", "visited", "item")
FILES = ("train.txt", "test.txt")
VALID_SHARE = 0.2
RANDOM_TAIL = 0.11
FEWEST = 5
RANDOM = SplitConfig(kind="files", valid=0.1, seed=0)


def load(folder: Path) -> KnowledgeGraph:
    """All check-ins; the columns `part` ("train" or "test") and `place` say where in the files each stood.

    Args:
        folder: with train.txt and test.txt, a line a user: the user's number, then those of the items.
    """
    users, items, parts, places = [], [], [], []
    for part in FILES:
        for line in (folder / part).read_text(encoding="ascii").splitlines():
            user, *visited = line.split()
            users += [user] * len(visited)
            items += visited
            parts += [part.removesuffix(".txt")] * len(visited)
            places += range(len(visited))
    schema = Schema(
        node_types={"user": NodeType(name="user"), "item": NodeType(name="item")},
        relations={VISITED: Relation(key=VISITED, phrase="visited", event=Event())},
        user_type="user",
        item_type="item",
        interaction=VISITED,
    )
    return KnowledgeGraph.build(
        schema,
        {"user": pa.table({"id": sorted(set(users))}), "item": pa.table({"id": sorted(set(items))})},
        {VISITED: pa.table({"src": users, "dst": items, "part": parts, "place": places})},
    )


def split(graph: KnowledgeGraph, share: float = VALID_SHARE) -> Split:
    """The published split; validation is the first part of each user's training line, a fifth if nothing else is said.

    The lines of train.txt are newest first, and the test part is the fifth that is newer still; the last ninth of each
    line was appended in random order. So this part lies to training as the test part does. On a random part other
    models win: there RP3beta is ahead of GF-CF, on test it is behind.
    """
    table = graph.edges[VISITED]
    test = np.array(table["part"].to_pylist()) == "test"
    user, place = table["src"].to_numpy(), table["place"].to_numpy()
    size = np.bincount(user[~test], minlength=len(graph.users))
    in_order = size - np.rint(size * RANDOM_TAIL).astype(np.int64)
    wanted = np.maximum((size * share).astype(np.int64), 1)
    held = np.where(size >= FEWEST, np.minimum(wanted, in_order), 0)
    part = np.where(test, TEST, np.where(place < held[user], VALID, TRAIN))
    return Split(part=part.astype(np.int8))


def random_split(graph: KnowledgeGraph) -> Split:
    """The published split; validation is a seeded random tenth of the training part."""
    return split_interactions(graph, RANDOM)


def checksums(folder: Path) -> dict[str, str]:
    """File name -> sha256."""
    return {f"gowalla/{name}": checksum(folder / name) for name in FILES}
