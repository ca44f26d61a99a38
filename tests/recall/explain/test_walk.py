"""Explanations of the typed walk, whose scores are sums over paths."""

from __future__ import annotations

import numpy as np
import pytest

from kg.topology.paths import Path, Step, path_exists
from recall.channels.walk import Walk, WalkConfig
from recall.contracts import PathShares, Query
from recall.explain import Explainer
from recall.pipeline import Pipeline
from recall.serve.recommender import Recommender
from tests.recall.channels.making import fit_data

WEIGHTS = {"through_users": 1.0, "what_followed": 0.4, "genre": 0.3, "director": 0.6, "similar_text": 0.2}


@pytest.fixture(scope="module", params=["given weights", "default weights"])
def explainer(request, toy_graph):
    config = WalkConfig(weights=WEIGHTS) if request.param == "given weights" else WalkConfig()
    return Explainer(toy_graph, Pipeline.of(toy_graph, [Walk(config).fit(fit_data(toy_graph))]))


def test_what_is_shown_adds_up_to_what_is_served(explainer) -> None:
    graph = explainer.graph
    recommender = Recommender(graph, explainer.pipeline)
    answer = recommender.recommend(graph.users.ids.to_pylist()[:12], k=4)
    kinds = set()
    for row in answer:
        (explanation,) = explainer.explain([(row["user_id"], row["item_id"])])
        split = explanation.by_paths
        assert explanation.score == pytest.approx(row["score"], rel=1e-4)
        assert sum(reason.share for reason in split.rows) == pytest.approx(explanation.score, rel=1e-9)
        assert len(split.lines) <= 5
        kinds |= {line.step for line in split.lines}
        assert explanation.text.count("\n") <= 2 + 5 + 2
    assert "through_users" in kinds
    assert len(kinds) >= 3


def test_its_paths_are_in_the_graph(explainer) -> None:
    graph = explainer.graph
    (attribution,) = explainer.pipeline.attribute(Query.of_positions(np.array([3])), np.array([20]))
    assert isinstance(attribution.shares, PathShares)
    checked = 0
    for step in attribution.shares.steps:
        for nodes in step.nodes.tolist() if step.shape else ():
            hops = zip(nodes, nodes[1:], step.shape, strict=False)
            path = Path(tuple(Step(near, far, key, forward) for near, far, (key, forward) in hops))
            assert len(path) == len(step.shape)
            assert path_exists(graph, path), step.name
            checked += 1
    assert checked > 5


@pytest.mark.parametrize(
    "person",
    [
        {"history": ["m1", "m7"]},
        {"text": "winter train"},
        {"attributes": {"director": ["p3"]}},
        {"history": ["m1"], "text": "winter train", "attributes": {"genre": ["drama"]}},
    ],
)
def test_somebody_new_is_explained_by_what_the_request_says(explainer, person) -> None:
    recommender = Recommender(explainer.graph, explainer.pipeline)
    answer = recommender.recommend_for(**person, k=5)
    assert len(answer)
    for row, explanation in zip(
        answer, recommender.explain_for([row["item_id"] for row in answer], **person, paths=9), strict=True
    ):
        assert explanation.source == "walk"
        assert explanation.score == pytest.approx(row["score"], rel=1e-4)
        assert sum(reason.share for reason in explanation.by_paths.rows) == pytest.approx(explanation.score, rel=1e-9)
        starts = {node.id for line in explanation.by_paths.lines for node in line.starts}
        named = {*person.get("history", []), *(name for ids in person.get("attributes", {}).values() for name in ids)}
        assert starts <= {*named, ""}
