"""What the tests of the Recommender share."""

from __future__ import annotations

from pathlib import Path

from gnn.graph.embeddings import Embeddings
from kg import KnowledgeGraph, RelationKey
from kg.history import InteractionHistory
from kg.io.files import write_json, write_manifest
from kg.io.graph_folder import save_graph
from recall.channels import LightGCNChannel
from recall.contracts import LoadData
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from recall.runs.layout import RunLayout
from recall.serve.loading import saved_pipeline

RATED = RelationKey("user", "rated", "movie")


def pipeline_of(graph, embeddings):
    return Pipeline.of(graph, [LightGCNChannel.of(embeddings, LoadData.of(graph))])


def seen(graph, user):
    (position,) = graph.users.index([user])
    interactions = graph.interactions
    return set(graph.items.take(interactions.item[interactions.user == position]).to_pylist())


def items(answer):
    return answer.table["item_id"].to_pylist()


def write_run(graph: KnowledgeGraph, embeddings: Embeddings, folder: Path) -> Path:
    """A run as a refresh publishes it, as far as serving reads it."""
    folder.mkdir(parents=True)
    save_graph(graph, folder / "graph")
    layout = RunLayout(folder)
    LightGCNChannel.of(embeddings, LoadData.of(graph)).save(layout.artifact("models", "lightgcn"))
    InteractionHistory.of(graph).save(layout.history())
    saved_pipeline(["lightgcn"], FusionConfig(), {}).save(layout)
    write_json(folder / "config.json", {"text": {}})
    write_manifest(folder, {"created": "2026-01-31"})
    return folder
