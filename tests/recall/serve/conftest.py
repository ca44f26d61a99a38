"""A small graph, a model of it, and the two as a Recommender and as a run."""

from __future__ import annotations

import pyarrow as pa
import pytest

from gnn.graph.embeddings import Embeddings
from kg import KnowledgeGraph
from recall.serve.recommender import Recommender
from tests.recall.serve.making import RATED, pipeline_of, write_run


@pytest.fixture(scope="module")
def graph(movie_graph):
    """The toy graph; user u9 likes nothing."""
    made = movie_graph()
    table = made.edges[RATED]
    rating = table["rating"].to_numpy().copy()
    (bored,) = made.users.index(["u9"])
    rating[table["src"].to_numpy() == bored] = 1.0
    table = table.set_column(table.column_names.index("rating"), "rating", pa.array(rating))
    return KnowledgeGraph(made.schema, made.nodes, {**made.edges, RATED: table})


@pytest.fixture(scope="module")
def embeddings(graph, linear_model) -> Embeddings:
    return linear_model(graph, seed=3)


@pytest.fixture(scope="module")
def recommender(graph, embeddings):
    return Recommender(graph, pipeline_of(graph, embeddings))


@pytest.fixture
def run(graph, embeddings, tmp_path):
    """A run as a refresh publishes it, as far as serving reads it."""
    return write_run(graph, embeddings, tmp_path / "runs" / "20260131T235959123Z-1a2b3c4d")
