"""A channel whose searches ask PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kg import KnowledgeGraph
from kg.errors import ArtifactError
from recall.channels import LightGCNChannel
from recall.contracts import FitData, Query
from recall.pipeline import Pipeline
from tests.recall.channels.making import TRAINING

pytest.importorskip("psycopg")
pytest.importorskip("pgvector")

from recall.index.postgres.index import PostgresIndex
from recall.index.postgres.settings import PostgresConfig


def test_it_recommends_what_its_own_index_recommends(
    movie_graph: Callable[..., KnowledgeGraph], database: PostgresConfig
) -> None:
    graph = movie_graph()
    data = FitData.of(graph, recipe={"steps": 4})
    channel = LightGCNChannel(LightGCNChannel.config_type(dim=8, training=TRAINING)).fit(data)
    index = PostgresIndex.create(database, "channel", channel.index.vectors)
    there = channel.searched_by(PostgresIndex.open(database, "channel", fingerprint=channel.index.fingerprint))
    queries = Query.of_users(np.arange(len(graph.users)), graph.users)
    ours, theirs = (Pipeline([each], data.history).recommend(queries, k=9) for each in (channel, there))
    assert theirs.item.tolist() == ours.item.tolist()
    assert theirs.score.tolist() == ours.score.tolist()
    index.replace(np.array([0]), np.ones((1, index.dim), dtype=np.float32))
    with pytest.raises(ArtifactError, match="are not the 40 of"):
        channel.searched_by(index)
    with pytest.raises(ArtifactError, match="is of other vectors"):
        PostgresIndex.open(database, "channel", fingerprint=channel.index.fingerprint)
    index.drop()
