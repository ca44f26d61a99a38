"""What the tests of the Recommender share."""

from __future__ import annotations

from kg import RelationKey
from recall.channels import LightGCNChannel
from recall.contracts import LoadData
from recall.pipeline import Pipeline

RATED = RelationKey("user", "rated", "movie")


def pipeline_of(graph, embeddings):
    return Pipeline.of(graph, [LightGCNChannel.of(embeddings, LoadData.of(graph))])


def seen(graph, user):
    (position,) = graph.users.index([user])
    interactions = graph.interactions
    return set(graph.items.take(interactions.item[interactions.user == position]).to_pylist())


def items(answer):
    return answer.table["item_id"].to_pylist()
