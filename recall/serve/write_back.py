"""The candidates and vectors of a run into the Neo4j database that its graph is from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gnn.graph.embeddings import Embeddings
from kg import Schema
from kg.errors import ConfigError
from kg.progress import SILENT, Progress
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.write.write_back import Results, WriteBackFacts, finished, write_back
from recall.config.sections import WriteBackSettings
from recall.runs.config import read_section
from recall.runs.layout import RunLayout
from recall.serve.loading import vector_models
from recall.serve.recommender import Recommender
from recall.serve.vectors import inner_product_vectors

K, VECTORS = 100, ("items", "users")


def configured(run: RunLayout) -> tuple[int, tuple[str, ...]]:
    """How many candidates a user, and whose vectors, a run's configuration wants in its database."""
    settings = read_section(run, "write_back", WriteBackSettings) or WriteBackSettings()
    return settings.k, settings.vectors


def results_of(
    run: RunLayout, *, k: int = K, vectors: Sequence[str] = VECTORS, progress: Progress = SILENT
) -> tuple[Schema, Results]:
    """Everybody's candidates, and the vectors, of a run, and how the database calls users and items."""
    recommender = Recommender.load(run.path)
    graph = recommender.graph
    every = _vectors(run, recommender)
    if not every and vectors:
        raise ConfigError(
            f"no channel of {run.name} has vectors of users and items: write its candidates alone, with "
            "write_back.vectors = []"
        )
    candidates = recommender.recommend_all(k=k, progress=progress).table
    results = Results(run=run.name, k=k, candidates=candidates, vectors={role: every[role] for role in vectors})
    return graph.schema, results


def _vectors(run: RunLayout, recommender: Recommender) -> dict[str, tuple[Any, npt.NDArray[np.float32]]]:
    """Ids and vectors of users and items: of a graph model where there is one, else of an inner product."""
    if (model := next(iter(vector_models(run).values()), None)) is not None:
        graph, embeddings = recommender.graph, Embeddings.load(model)
        return {"items": (graph.items.ids, embeddings.items), "users": (graph.users.ids, embeddings.users)}
    found = inner_product_vectors(recommender) or {}
    return {role: (of_role.ids, of_role.matrix) for role, of_role in found.items()}


def write_back_run(
    run: RunLayout,
    store: Neo4jStore,
    *,
    k: int = K,
    vectors: Sequence[str] = VECTORS,
    progress: Progress = SILENT,
) -> WriteBackFacts:
    """Write the results of a run into a database and let them serve there; at once when they do.

    Args:
        run: a published run.
        store: the database that holds the run's graph.
        k: candidates a user.
        vectors: whose: "items", "users" or both.
        progress: listener.

    Raises:
        StoreError: see `kg.stores.neo4j.write.write_back.write_back`.
        ArtifactError: the run is damaged.
    """
    if (facts := finished(store, run=run.name, k=k, roles=vectors)) is not None:
        return facts
    schema, results = results_of(run, k=k, vectors=vectors, progress=progress)
    return write_back(store, schema, results, progress=progress)
