"""An explanation brings the query that recomputes, in a store, the part of the score that is a sum over paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gnn.graph.embeddings import Embeddings
from kg import KnowledgeGraph
from kg.errors import ConfigError
from kg.stores.embedded.build import write_store
from kg.stores.embedded.store import EmbeddedStore
from recall.channels import LightGCNChannel, Walk, WalkConfig
from recall.contracts import FitData, LoadData
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from recall.serve.recommender import Recommender


@pytest.fixture(scope="module")
def store(toy_graph: KnowledgeGraph, tmp_path_factory: pytest.TempPathFactory) -> EmbeddedStore:
    file = tmp_path_factory.mktemp("store") / "graph.lbug"
    write_store(toy_graph, file)
    return EmbeddedStore(file)


@pytest.fixture(scope="module")
def walk(toy_graph: KnowledgeGraph) -> Walk:
    return Walk(WalkConfig(age_decay=0.8, neighbours=15)).fit(FitData.of(toy_graph))


def test_of_a_walk_alone(toy_graph: KnowledgeGraph, walk: Walk, store: EmbeddedStore) -> None:
    recommender = Recommender(toy_graph, Pipeline.of(toy_graph, [walk]), store=store)
    for explanation in recommender.explain([("u3", "m7"), ("u5", "m1")]):
        rows = recommender.cypher(explanation.score_queries["walk"])
        assert sum(row["share"] for row in rows) == pytest.approx(explanation.score, rel=1e-6)
        plain = explanation.to_json()["score_queries"]["walk"]
        assert len(store.query(plain["text"], plain["parameters"])) == len(rows) > 10


def test_of_a_fusion_it_is_the_part_of_the_walk(
    toy_graph: KnowledgeGraph, walk: Walk, store: EmbeddedStore, linear_model: Callable[..., Embeddings]
) -> None:
    model = LightGCNChannel.of(linear_model(toy_graph), LoadData.of(toy_graph))
    fusion = FusionConfig(weights={"lightgcn": 0.7, "walk": 0.3})
    recommender = Recommender(toy_graph, Pipeline.of(toy_graph, [model, walk], fusion=fusion), store=store)
    for explanation in recommender.explain([("u3", "m7"), ("u5", "m1")]):
        assert set(explanation.score_queries) == {"walk"}
        (part,) = (part for part in explanation.parts if part.channel == "walk")
        rows = recommender.cypher(explanation.score_queries["walk"])
        assert sum(row["share"] for row in rows) == pytest.approx(part.share, rel=1e-6)
        assert part.share != pytest.approx(explanation.score, rel=0.01)


def test_who_is_reached_comes_in_the_order_of_recommend(
    toy_graph: KnowledgeGraph, walk: Walk, store: EmbeddedStore
) -> None:
    everything = Walk(walk.config.changed(neighbours=len(toy_graph.items))).fit(FitData.of(toy_graph))
    recommender = Recommender(toy_graph, Pipeline.of(toy_graph, [everything]), store=store)
    (queries,) = recommender.reached_queries(["u4"], k=5)
    assert queries is not None
    scores: dict[str, float] = {}
    for row in recommender.cypher(queries.parts):
        scores[row["item_id"]] = scores.get(row["item_id"], 0.0) + row["share"]
    wanted = recommender.recommend(["u4"], k=5).table["item_id"].to_pylist()
    assert sorted(scores, key=lambda item: -scores[item])[:5] == wanted
    assert "LIMIT $k" in queries.ranked.text


def test_without_a_walk_there_is_nothing_to_rank_by(
    toy_graph: KnowledgeGraph, linear_model: Callable[..., Embeddings], tmp_path: Path
) -> None:
    model = LightGCNChannel.of(linear_model(toy_graph), LoadData.of(toy_graph))
    recommender = Recommender(toy_graph, Pipeline.of(toy_graph, [model]))
    assert recommender.explain([("u3", "m7")])[0].score_queries == {}
    with pytest.raises(ConfigError, match=r"\[channels\.walk\]"):
        recommender.reached_queries(["u3"])
