"""One explainer of the random movie graph, and explanations of many pairs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gnn.graph.embeddings import Embeddings
from kg import KnowledgeGraph
from recall.channels import LightGCNChannel
from recall.contracts import LoadData
from recall.explain import Explainer, Explanation
from recall.pipeline import Pipeline

Model = Callable[..., Embeddings]


@pytest.fixture(scope="session")
def channel(toy_graph: KnowledgeGraph, linear_model: Model) -> LightGCNChannel:
    return LightGCNChannel.of(linear_model(toy_graph), LoadData.of(toy_graph))


@pytest.fixture(scope="session")
def explainer(toy_graph: KnowledgeGraph, channel: LightGCNChannel) -> Explainer:
    return Explainer(toy_graph, Pipeline.of(toy_graph, [channel]))


@pytest.fixture(scope="session")
def every(explainer: Explainer) -> list[Explanation]:
    """Many pairs, with more paths than there are."""
    return explainer.explain([(f"u{user}", f"m{item}") for user in range(0, 30, 5) for item in range(40)], paths=500)
