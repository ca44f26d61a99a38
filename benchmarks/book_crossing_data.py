"""Book-Crossing with its knowledge graph, as in KGNN-LS and CKAN: labelled pairs, triples of bare numbers, no text.

Wang et al., "Knowledge-aware Graph Neural Networks with Label Smoothness Regularization for Recommender Systems",
KDD 2019; Wang et al., "CKAN: Collaborative Knowledge-aware Attentive Network for Recommender Systems", SIGIR 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kg import Event, KnowledgeGraph, NodeType, Relation, RelationKey, Schema, Split
from kg.arrays import IntArray, PairIndex
from kg.errors import InvalidDataError
from kg.io.files import checksum
from kg.splits import TEST, TRAIN, VALID

RATED = RelationKey("user", "rated", "item")
RATINGS, TRIPLES, INDEX = "ratings_final.txt", "kg_final.txt", "item_index2entity_id.txt"
FOLDER = "book-crossing"


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Labelled pairs: an item that a user rated (1), or one drawn at random from the others (0).

    Attributes:
        user, item: positions in the graph's tables, int64 (n,).
        label: bool (n,).
        part: TRAIN, VALID or TEST, int8 (n,).
    """

    user: IntArray
    item: IntArray
    label: npt.NDArray[np.bool_]
    part: npt.NDArray[np.int8]

    def select(self, rows: npt.NDArray[Any]) -> Pairs:
        """Some of the pairs, by mask or position."""
        return Pairs(user=self.user[rows], item=self.item[rows], label=self.label[rows], part=self.part[rows])

    def of(self, part: int) -> Pairs:
        """The pairs of one part."""
        return self.select(self.part == part)


@dataclass(frozen=True, kw_only=True)
class BookCrossing:
    """The data set.

    Attributes:
        graph: users, items (by ISBN) and the other entities; the positive pairs as interactions, a relation for each
            number in the triples and the node types it joins.
        user, item, label: the labelled pairs as positions, each once; a pair with both labels is a positive.
        repeated: lines of the ratings left out because an earlier one says the same or the other label is a positive.
    """

    graph: KnowledgeGraph
    user: IntArray
    item: IntArray
    label: npt.NDArray[np.bool_]
    repeated: int

    def split(self, *, valid: float = 0.2, test: float = 0.2, seed: int = 0) -> tuple[Split, Pairs]:
        """A random split of the labelled pairs, positives and negatives alike: 6:2:2 in CKAN.

        Returns:
            The part of every interaction of the graph, and all labelled pairs with theirs.
        """
        count = len(self.label)
        order = np.random.default_rng(seed).permutation(count)
        part = np.full(count, TRAIN, dtype=np.int8)
        part[order[: int(count * test)]] = TEST
        part[order[int(count * test) : int(count * test) + int(count * valid)]] = VALID
        liked = np.flatnonzero(self.label)
        index = PairIndex.of(self.user[liked], self.item[liked], len(self.graph.items))
        interactions = self.graph.interactions
        place = index.position(interactions.user, interactions.item)
        pairs = Pairs(user=self.user, item=self.item, label=self.label, part=part)
        return Split(part=part[liked][place]), pairs


def book_crossing(folder: Path) -> BookCrossing:
    """Read the three files.

    Args:
        folder: with ratings_final.txt (user, item, label), kg_final.txt (head, relation, tail) and
            item_index2entity_id.txt (ISBN, entity); the ratings name items by their entity.

    Raises:
        InvalidDataError: a file is not of that form, or an item of the ratings is not in the index.
    """
    isbn = _index(folder / INDEX)
    ratings, triples = _numbers(folder / RATINGS), _numbers(folder / TRIPLES)
    if not np.isin(ratings[:, 2], (0, 1)).all():
        raise InvalidDataError(f"{folder / RATINGS} has labels that are neither 0 nor 1")
    unknown = np.setdiff1d(ratings[:, 1], np.fromiter(isbn, dtype=np.int64))
    if len(unknown):
        raise InvalidDataError(f"{len(unknown)} items of {RATINGS} are not in {INDEX}, the first is {unknown[0]}")
    # Positives first, so that of two lines with one pair and both labels the positive stays.
    order = np.lexsort((np.arange(len(ratings)), -ratings[:, 2]))
    _, first = np.unique(ratings[order][:, :2], axis=0, return_index=True)
    pairs = ratings[np.sort(order[first])]
    graph = _graph(isbn, pairs, triples)
    users = graph.users.index(pa.array(pairs[:, 0].astype(str)))
    items = graph.items.index(pa.array([isbn[entity] for entity in pairs[:, 1].tolist()]))
    return BookCrossing(graph=graph, user=users, item=items, label=pairs[:, 2] == 1, repeated=len(ratings) - len(pairs))


def checksums(folder: Path) -> dict[str, str]:
    """File name -> sha256."""
    return {f"{FOLDER}/{name}": checksum(folder / name) for name in (RATINGS, TRIPLES, INDEX)}


def around_items(graph: KnowledgeGraph) -> KnowledgeGraph:
    """The relations that touch items, and the entities at their other ends.

    Three quarters of the triples join entities that are no items; no path of two steps between items uses them.
    """
    far = {key for key in graph.edges if graph.schema.item_type not in (key.source, key.target)}
    near = graph.without_relations(far)
    return near.keep_nodes({"entity": near.connected()["entity"]})


def _graph(isbn: dict[int, str], pairs: IntArray, triples: IntArray) -> KnowledgeGraph:
    entities = np.setdiff1d(triples[:, [0, 2]], np.fromiter(isbn, dtype=np.int64))
    name = {**isbn, **{entity: str(entity) for entity in entities.tolist()}}
    edges: dict[RelationKey, Any] = {}
    kinds = [np.where(np.isin(triples[:, end], list(isbn)), "item", "entity") for end in (0, 2)]
    for number in np.unique(triples[:, 1]).tolist():
        for source in ("item", "entity"):
            for target in ("item", "entity"):
                chosen = triples[(triples[:, 1] == number) & (kinds[0] == source) & (kinds[1] == target)]
                if len(chosen):
                    ends = {end: [name[e] for e in chosen[:, at].tolist()] for end, at in (("src", 0), ("dst", 2))}
                    edges[RelationKey(source, f"r{number}", target)] = pa.table(ends)
    liked = pairs[pairs[:, 2] == 1]
    edges[RATED] = pa.table({"src": liked[:, 0].astype(str), "dst": [isbn[entity] for entity in liked[:, 1].tolist()]})
    schema = Schema(
        node_types={kind: NodeType(name=kind) for kind in ("user", "item", "entity")},
        relations={key: Relation(key=key, event=Event() if key == RATED else None) for key in edges},
        user_type="user",
        item_type="item",
        interaction=RATED,
    )
    nodes = {
        "user": pa.table({"id": np.unique(pairs[:, 0]).astype(str)}),
        "item": pa.table({"id": list(isbn.values())}),
        "entity": pa.table({"id": pa.array(entities.astype(str), type=pa.string())}),
    }
    return KnowledgeGraph.build(schema, nodes, edges)


def _index(path: Path) -> dict[int, str]:
    """Entity -> ISBN."""
    result: dict[int, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        isbn, _, entity = line.partition("\t")
        if not entity.strip().isdecimal():
            raise InvalidDataError(f"{path}:{number} is not an ISBN and an entity: {line!r}")
        result[int(entity)] = isbn
    return result


def _numbers(path: Path) -> IntArray:
    """A file of three whole numbers a line, int64 (lines, 3)."""
    try:
        rows: IntArray = np.loadtxt(path, dtype=np.int64, delimiter="\t", ndmin=2)
    except ValueError as error:
        raise InvalidDataError(f"{path} is not a table of whole numbers: {error}") from error
    if rows.shape[1] != 3:
        raise InvalidDataError(f"{path} has {rows.shape[1]} columns, not 3")
    return rows
