"""The gowalla check-ins of the LightGCN paper as a graph, with the published split and a validation part of our own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from kg import Event, KnowledgeGraph, NodeType, Relation, RelationKey, Schema, Split, SplitConfig, split_interactions
from kg.io.files import checksum
from kg.splits import TEST, TRAIN, VALID

VISITED = RelationKey("user", "visited", "item")
FILES = ("train.txt", "test.txt")
VALID_SHARE = 0.2
RANDOM_TAIL = 0.11
FEWEST = 5
LONG = 20
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
    """The published split; validation is the end of the ordered part of each user's training line, a fifth by default.

    The lines of train.txt keep the order of the check-ins, but for their last ninth, which was appended in random
    order. The test part is what comes next: its items share visitors with the items at the end of the ordered part more
    than with those at its start (`nearness`: mean cosine .037 in the last tenth, .028 in the first, .030 in the random
    ninth). So this part lies to training as the test part does. On a random part, or on the other end of the lines,
    other models win: there RP3beta is ahead of GF-CF and ChebyCF, on test it is behind.
    """
    table = graph.edges[VISITED]
    test = np.array(table["part"].to_pylist()) == "test"
    user, place = table["src"].to_numpy(), table["place"].to_numpy()
    size = np.bincount(user[~test], minlength=len(graph.users))
    in_order = size - np.rint(size * RANDOM_TAIL).astype(np.int64)
    wanted = np.maximum((size * share).astype(np.int64), 1)
    held = np.where(size >= FEWEST, np.minimum(wanted, in_order), 0)
    valid = (place >= (in_order - held)[user]) & (place < in_order[user])
    part = np.where(test, TEST, np.where(valid, VALID, TRAIN))
    return Split(part=part.astype(np.int8))


def nearness(graph: KnowledgeGraph, *, users: int = 3_000, seed: int = 0) -> list[float]:
    """How near the test part is to each tenth of the ordered part of the training lines and, last, to the random ninth.

    The mean cosine of the visitors of a test item and of those of a training item of the same user, that user left
    out, over a seeded sample of users with at least `LONG` items.
    """
    table = graph.edges[VISITED]
    test = np.array(table["part"].to_pylist()) == "test"
    user, item, place = (table[name].to_numpy() for name in ("src", "dst", "place"))
    shape = (len(graph.users), len(graph.items))
    visits = csr_matrix((np.ones((~test).sum()), (user[~test], item[~test])), shape=shape)
    together, visitors = (visits.T @ visits).tocsr(), visits.getnnz(axis=0)
    size = visits.getnnz(axis=1)
    chosen = np.random.default_rng(seed).permutation(np.flatnonzero(size >= LONG))[:users]
    sums, counts = np.zeros(11), np.zeros(11)
    for one in chosen:
        mine = user == one
        later, line = item[mine & test], item[mine & ~test][np.argsort(place[mine & ~test])]
        in_order = size[one] - round(size[one] * RANDOM_TAIL)
        tenth = np.minimum(np.arange(len(line)) * 10 // in_order, 9)
        tenth[in_order:] = 10
        others = visitors[line] - 1
        cosine = together[later][:, line].toarray() / np.sqrt(np.outer(visitors[later], np.maximum(others, 1)))
        np.add.at(sums, tenth, cosine.sum(axis=0))
        np.add.at(counts, tenth, len(later))
    means: list[float] = (sums / np.maximum(counts, 1)).tolist()
    return means


def random_split(graph: KnowledgeGraph) -> Split:
    """The published split; validation is a seeded random tenth of the training part."""
    return split_interactions(graph, RANDOM)


def checksums(folder: Path) -> dict[str, str]:
    """File name -> sha256."""
    return {f"gowalla/{name}": checksum(folder / name) for name in FILES}
