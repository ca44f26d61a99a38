"""200 explained pairs of the bundled movies: what was enumerated in memory is what the stores hold, caps off."""

from __future__ import annotations

import threading
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gnn.settings import TrainingConfig
from gnn.training.context import RunContext
from ingest import DataSettings, build_graph, validate
from kg import KnowledgeGraph
from kg.cypher.query import path_query
from kg.stores.base import Store
from kg.stores.embedded.build import write_store
from kg.stores.embedded.store import EmbeddedStore
from kg.topology.adjacency import Adjacency
from kg.topology.search import PathFinder
from kg.topology.shared_users import shared_users
from recall.channels import LightGCNChannel, LightGCNChannelConfig
from recall.contracts import FitData, Query
from recall.explain import Explainer, Explanation
from recall.pipeline import Pipeline

if TYPE_CHECKING:
    pass

MOVIES = Path(__file__).resolve().parents[3] / "examples" / "movies"
USERS, ITEMS = 40, 5
SAMPLE = 3  # further paths of each pair, beside those that the explanation shows


@pytest.fixture(scope="module")
def graph() -> KnowledgeGraph:
    config = tomllib.loads((MOVIES / "demo.toml").read_text(encoding="utf-8"))
    sections = {name: config[name] for name in ("graph", "sources", "quality")}
    movies, _ = build_graph(validate(DataSettings, sections), base=MOVIES)
    return movies


@pytest.fixture(scope="module")
def adjacency(graph: KnowledgeGraph) -> Adjacency:
    return Adjacency.of(graph)


@pytest.fixture(scope="module")
def explanations(graph: KnowledgeGraph, adjacency: Adjacency) -> list[Explanation]:
    channel = LightGCNChannel(LightGCNChannelConfig(dim=16, layers=2, training=TrainingConfig(max_steps=3)))
    data = FitData.of(graph, recipe={"steps": 3}, context=RunContext(device="cpu"))
    pipeline = Pipeline([channel.fit(data)], data.history)
    users = np.unique(graph.interactions.user)[np.linspace(0, 600, USERS).astype(np.int64)]
    queries = Query.of_users(users, graph.users)
    rows = pipeline.recommend(queries, k=ITEMS).to_arrow(queries.key, graph.items).to_pylist()
    assert len(rows) == USERS * ITEMS
    explainer = Explainer(graph, pipeline, adjacency=adjacency, hub_limit=None)
    return explainer.explain([(row["user_id"], row["item_id"]) for row in rows], max_hops=3, paths=3)


def by_shape(rows: list[tuple[Any, tuple[str, ...]]]) -> Counter[frozenset[tuple[str, ...]]]:
    """The paths of each shape, whatever the shapes are called."""
    shapes: dict[Any, set[tuple[str, ...]]] = {}
    for shape, ids in rows:
        shapes.setdefault(shape, set()).add(ids)
    return Counter(map(frozenset, shapes.values()))


def test_what_is_enumerated_is_what_the_store_holds(
    graph: KnowledgeGraph, adjacency: Adjacency, explanations: list[Explanation], store: Store
) -> None:
    """Each path's query finds that path alone, each pair's the whole set, each line about others their number."""
    finder = PathFinder(adjacency, max_hops=3, hub_limit=None, excluded=(graph.schema.user_type,))
    numbering = adjacency.numbering
    random = np.random.default_rng(0)
    ids = {name: graph.vocabulary(name).ids.to_pylist() for name in graph.nodes}
    seen: Counter[str] = Counter()
    for explanation in explanations:
        user = numbering.span("user").start + int(graph.users.index([explanation.user_id])[0])
        item = numbering.span("movie").start + int(graph.items.index([explanation.item_id])[0])
        paths = finder.between(user, item)
        along = [[ids[name][at] for name, at in map(numbering.locate, path.nodes)] for path in paths]

        if explanation.query is None:
            assert paths == []
        else:
            expected = by_shape([(path.shape, tuple(names)) for path, names in zip(paths, along, strict=True)])
            # Ladybug loses rows now and then when it is given a timeout.
            rows = [(row["shape"], tuple(row["ids"])) for row in store.query(explanation.query)]
            assert len(rows) == len(set(rows)) == explanation.paths_found == len(paths)
            assert by_shape(rows) == expected
            seen["pairs"] += 1

        for connection in explanation.paths:
            rows = store.query(connection.cypher)
            if not connection.users:
                assert rows == [{"ids": [node.id for node in connection.nodes]}]
                assert rows[0]["ids"] in along
                seen["shown"] += 1
            else:
                assert rows == [{"history_id": connection.nodes[1].id, "users": connection.users}]
                counts = shared_users(adjacency, user, item, graph.schema.interaction_key)
                at = numbering.span("movie").start + int(graph.items.index([connection.nodes[1].id])[0])
                assert connection.users == int(counts.counts[counts.history == at][0])
                seen["others"] += 1
        for number in random.choice(len(paths), size=min(SAMPLE, len(paths)), replace=False):
            assert store.query(path_query(graph, paths[number])) == [{"ids": along[number]}]
            seen["sampled"] += 1
        seen["paths"] += len(paths)
    assert len(explanations) == 200
    assert seen["pairs"] > 180
    assert seen["paths"] > 5_000
    assert min(seen["shown"], seen["sampled"], seen["others"]) > 300, seen


def test_threads_that_share_an_embedded_store_get_whole_answers(
    graph: KnowledgeGraph, explanations: list[Explanation], tmp_path: Path
) -> None:
    """Ladybug itself gives one thread the rows of another, now and then, when both ask at once."""
    write_store(graph, tmp_path / "g")
    wrong: list[tuple[int, int]] = []

    def ask(store: Store, first: int) -> None:
        for explanation in explanations[first::3]:
            if (
                explanation.query is not None
                and (rows := len(store.query(explanation.query))) != explanation.paths_found
            ):
                wrong.append((rows, explanation.paths_found))

    with EmbeddedStore(tmp_path / "g") as store:
        threads = [threading.Thread(target=ask, args=(store, number)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
