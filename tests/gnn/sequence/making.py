"""Small graphs of histories for the tests of sequence models."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from gnn.evaluation.validation import Validation
from gnn.sequence.fit import fit
from gnn.sequence.model import SequenceModel
from gnn.sequence.settings import (
    BERT4RecConfig,
    GRU4RecConfig,
    NARMConfig,
    SASRecConfig,
    SequenceConfig,
    SequenceTraining,
)
from gnn.text.features import TextFeatures
from gnn.training.context import RunContext
from kg import Event, KnowledgeGraph, NodeType, RaggedArray, Relation, RelationKey, Schema
from kg.history import InteractionHistory
from kg.topology.adjacency import Numbering

BOUGHT = RelationKey("user", "bought", "item")
BRAND = RelationKey("item", "of_brand", "brand")
MADE_IN = RelationKey("item", "made_in", "place")
CPU = RunContext(device="cpu")
CONFIGS: dict[str, SequenceConfig] = {
    "sasrec": SASRecConfig(dim=8, max_length=6, dropout=0.0, item_parts=("id",)),
    "bert4rec": BERT4RecConfig(dim=8, max_length=7, dropout=0.0, item_parts=("id",)),
    "narm": NARMConfig(dim=8, max_length=6, dropout=0.0, item_parts=("id",), init_scale=0.3),
    "gru4rec": GRU4RecConfig(dim=8, max_length=6, dropout=0.0, item_parts=("id",), init_scale=0.3),
}
TRAINING = SequenceTraining(max_steps=20, eval_every=5, batch_size=8, negatives=0)


def history_graph(histories: list[list[int]], *, items: int = 12, before: tuple[str, ...] = ()) -> KnowledgeGraph:
    """A graph of users with ordered histories, and items with brands and places.

    Args:
        histories: items of each user by number, oldest first.
        items: how many there are.
        before: ids of more items, which nothing is joined to; "a" stands before all others.
    """
    numbers = list(range(items))
    ids = [f"i{number:02d}" for number in numbers]
    events = [(user, number, place) for user, row in enumerate(histories) for place, number in enumerate(row)]
    bought = pa.table(
        {
            "src": [f"u{user:03d}" for user, _, _ in events],
            "dst": [ids[number] for _, number, _ in events],
            "order": pa.array([place for _, _, place in events], type=pa.int64()),
        }
    )
    nodes = {
        "user": pa.table({"id": [f"u{user:03d}" for user in range(len(histories))]}),
        "item": pa.table({"id": [*before, *ids]}),
        "brand": pa.table({"id": ["b0", "b1", "b2"]}),
        "place": pa.table({"id": ["p0", "p1"]}),
    }
    edges = {
        BOUGHT: bought,
        # The last item has no brand, and every third comes from both places.
        BRAND: pa.table({"src": ids[:-1], "dst": [f"b{number % 3}" for number in numbers[:-1]]}),
        MADE_IN: pa.table(
            {
                "src": [name for number, name in zip(numbers, ids, strict=True) for _ in range(1 + (number % 3 == 0))],
                "dst": [f"p{n}" for number in numbers for n in ([0, 1] if number % 3 == 0 else [number % 2])],
            }
        ),
    }
    keys = (BOUGHT, BRAND, MADE_IN)
    relations = {key: Relation(key=key, phrase=key.name, event=Event() if key == BOUGHT else None) for key in keys}
    schema = Schema(
        node_types={name: NodeType(name=name) for name in nodes},
        relations=relations,
        user_type="user",
        item_type="item",
        interaction=BOUGHT,
    )
    return KnowledgeGraph.build(schema, nodes, edges)


def rounds(users: int = 24, items: int = 12, length: int = 7) -> list[list[int]]:
    """Histories in which the item after number n is always number n + 1."""
    return [[(user * 5 + place) % items for place in range(length)] for user in range(users)]


def text_features(graph: KnowledgeGraph, *, dim: int = 5, without: tuple[int, ...] = ()) -> TextFeatures:
    """Random text vectors of the items but some positions."""
    span = Numbering.of(graph).span("item")
    nodes = np.array([node for node in range(span.start, span.stop) if node - span.start not in without])
    vectors = np.random.default_rng(3).normal(size=(len(nodes), dim)).astype(np.float32)
    return TextFeatures(nodes=nodes, vectors=vectors, model="random")


def validation_of(graph: KnowledgeGraph, next_items: list[list[int]]) -> Validation:
    """What each user is to be answered with; nothing is left out of the ranking."""
    return Validation(truth=RaggedArray.from_lists(next_items), seen=RaggedArray.empty(len(graph.users)))


def train(
    graph: KnowledgeGraph,
    config: SequenceConfig,
    training: SequenceTraining = TRAINING,
    *,
    context: RunContext = CPU,
    **more: object,
) -> SequenceModel:
    """A model trained on all of a graph."""
    return fit(graph, InteractionHistory.of(graph), config, training, context=context, **more)  # type: ignore[arg-type]
