"""What exists on held-out edges alone changes no vector of a model, and so no number of an evaluation."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gnn.graph.embeddings import Embeddings
from gnn.graph.fit import fit
from gnn.graph.lightgcn import LightGCNConfig
from gnn.settings import TrainingConfig
from kg import KnowledgeGraph, RelationKey, split_interactions
from kg.splits import Split, SplitConfig

RATED = RelationKey("user", "rated", "movie")
HAS_TAG = RelationKey("movie", "has_tag", "tag")


def marked(graph: KnowledgeGraph, split: Split) -> KnowledgeGraph:
    """The graph with an attribute that tells the held-out edges, and a tag of its user on each of their movies."""
    held, interactions = ~split.mask("train"), graph.interactions
    tags = graph.edges[HAS_TAG]
    canary = pa.table(
        {
            "src": interactions.item[held],
            "dst": np.zeros(int(held.sum()), dtype=np.int64),
            "user": interactions.user[held],
            "timestamp": interactions.timestamp[held],
        }
    )
    edges = {
        **graph.edges,
        RATED: graph.edges[RATED].append_column("canary", pa.array(held)),
        HAS_TAG: pa.concat_tables([tags, canary.select(tags.column_names).cast(tags.schema)]),
    }
    return KnowledgeGraph(graph.schema, graph.nodes, edges)


def train(graph: KnowledgeGraph) -> Embeddings:
    training = TrainingConfig(max_steps=3, eval_every=3, batch_size=64, negatives=16)
    return fit(graph, LightGCNConfig(dim=8), training)


@pytest.mark.parametrize("kind", ["per_user_time", "global_time", "leave_last_out", "random"])
def test_a_canary_on_held_out_edges_changes_no_model(toy_graph: KnowledgeGraph, kind: str) -> None:
    split = split_interactions(toy_graph, SplitConfig(kind=kind))  # type: ignore[arg-type]
    other = marked(toy_graph, split)
    assert np.array_equal(train(split.view(toy_graph, "train")).final, train(split.view(other, "train")).final)


def test_the_canary_would_be_heard(toy_graph: KnowledgeGraph) -> None:
    split = split_interactions(toy_graph, SplitConfig())
    whole = marked(toy_graph, split)
    leaking = whole.keep_edges({RATED: split.mask("train")})  # the tags of held-out movies left in: the leak
    assert not np.array_equal(train(split.view(toy_graph, "train")).final, train(leaking).final)
