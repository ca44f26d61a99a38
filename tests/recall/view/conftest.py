"""A recommender in memory whose titles are as bad as titles get, and a Chromium."""

from __future__ import annotations

import pyarrow as pa
import pytest

from kg import KnowledgeGraph
from recall.channels import ItemKNN, LightGCNChannel
from recall.contracts import FitData, LoadData
from recall.pipeline import Pipeline
from recall.serve.recommender import Recommender
from tests.recall.service.page.conftest import browser, complaints  # noqa: F401 (fixtures)
from tests.recall.service.page.making import TITLES


@pytest.fixture(scope="session")
def recommender(movie_graph, linear_model) -> Recommender:
    made = movie_graph()
    movies = made.nodes["movie"]
    titles = [TITLES.get(row, f"The river of the [garden] {row}") for row in range(movies.num_rows)]
    if "title" in movies.column_names:
        movies = movies.drop_columns(["title"])
    graph = KnowledgeGraph(
        made.schema, {**made.nodes, "movie": movies.append_column("title", pa.array(titles))}, made.edges
    )
    data = FitData.of(graph)
    trained = LightGCNChannel.of(linear_model(graph, seed=3), LoadData.of(graph))
    return Recommender(graph, Pipeline.of(graph, [trained, ItemKNN().fit(data)]))
