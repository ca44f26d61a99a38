"""The graph that the tests of channels share."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from kg import KnowledgeGraph
from recall.contracts import Query
from tests.movie_relations import RATED
from tests.recall.channels.making import with_countries


@pytest.fixture(scope="module")
def graph(movie_graph):
    made = movie_graph()
    # The last user has interactions, but no positives.
    table = made.edges[RATED]
    rating = table["rating"].to_numpy().copy()
    rating[table["src"].to_numpy() == len(made.users) - 1] = 1.0
    table = table.set_column(table.column_names.index("rating"), "rating", pa.array(rating))
    return with_countries(KnowledgeGraph(made.schema, made.nodes, {**made.edges, RATED: table}))


@pytest.fixture(scope="module")
def everybody(graph):
    return Query.of_users(np.arange(len(graph.users)), graph.users)
