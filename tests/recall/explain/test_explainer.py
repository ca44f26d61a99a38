"""What is explained where something is missing, and wrong requests."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gnn.graph.embeddings import Embeddings
from kg import KnowledgeGraph, RelationKey
from kg.errors import ConfigError, UnknownIdError
from recall.channels import LightGCNChannel, Popularity
from recall.contracts import FitData, LoadData, NoShares, Query
from recall.explain import Explainer
from recall.pipeline import Pipeline
from tests.movie_relations import HAS_TAG, RATED, TAGGED

Model = Callable[..., Embeddings]


def test_an_item_without_attributes_a_cold_item_and_an_empty_history(
    toy_graph: KnowledgeGraph, linear_model: Model
) -> None:
    bare, cold, quiet = 3, 4, 5

    def kept(key: RelationKey, table: Any) -> np.ndarray:
        source, target = np.asarray(table["src"]), np.asarray(table["dst"])
        keep = np.ones(len(source), dtype=bool)
        for end, kind in ((source, key.source), (target, key.target)):
            if kind == "movie":
                keep &= end != bare if key not in (RATED, TAGGED) else end != cold
            if kind == "user":
                keep &= end != quiet
        return keep

    graph = toy_graph.keep_edges({key: kept(key, table) for key, table in toy_graph.edges.items()})
    graph = graph.without_relations({HAS_TAG})
    data = LoadData.of(graph)
    pipeline = Pipeline([LightGCNChannel.of(linear_model(graph), data)], data.history)
    explain = Explainer(graph, pipeline).explain
    users, items = graph.users.ids.to_pylist(), graph.items.ids.to_pylist()

    (explanation,) = explain([(users[0], items[bare])])
    assert {reason.relation for reason in explanation.neighbours} <= {RATED, TAGGED, None}
    assert all(path.users for path in explanation.paths)
    assert "by" in explanation.text

    (explanation,) = explain([(users[0], items[cold])])
    assert not any(reason.users for reason in explanation.neighbours)
    assert not any(path.users for path in explanation.paths)
    assert any(path.share is not None for path in explanation.paths)

    (explanation,) = explain([(users[quiet], items[0])])
    assert explanation.reason == "nothing that the model can read places the person"
    assert explanation.score == 0.0  # what the channel scores the pair with, which has no candidates for this user
    assert explanation.paths == ()
    assert explanation.query is None
    assert "no path of the graph" in explanation.text


def test_channels_without_shares_give_the_reason_and_the_paths(toy_graph: KnowledgeGraph) -> None:
    popular = Popularity().fit(FitData.of(toy_graph))
    (reasonless,) = popular.attribute(Query.of_positions(np.array([3])), np.array([2]))
    (explanation,) = Explainer(toy_graph, Pipeline.of(toy_graph, [popular])).explain([("u3", "m2")])
    assert isinstance(reasonless, NoShares)
    assert explanation.reason
    assert explanation.history == explanation.neighbours == ()
    assert explanation.linked_fraction is None
    assert len(explanation.paths) > 5
    assert all(path.share is None and "%" not in path.line for path in explanation.paths)
    assert "No shares: " in explanation.text
    assert explanation.to_json()["shares"] is None


def test_limits(explainer: Explainer) -> None:
    (few,) = explainer.explain([("u3", "m2")], paths=2)
    assert [path.users > 0 for path in few.paths].count(False) == 2
    assert f"and {few.paths_found - 2} more paths" in few.text
    (none,) = explainer.explain([("u3", "m2")], paths=0)
    assert none.paths == ()
    assert none.paths_found == few.paths_found
    (near,) = explainer.explain([("u3", "m2")], max_hops=2)
    assert all(len(path.steps) <= 2 for path in near.paths)
    (far,) = explainer.explain([("u3", "m2")], max_hops=4)
    assert far.paths_found > few.paths_found
    assert explainer.explain([]) == []
    cut = few.render(top=1)
    assert re.search(r"- and \d+ more \(", cut)
    assert len(cut.splitlines()) < len(few.text.splitlines())


def test_wrong_requests(explainer: Explainer) -> None:
    with pytest.raises(UnknownIdError, match="unknown user id: 'u99'"):
        explainer.explain([("u99", "m2")])
    with pytest.raises(UnknownIdError, match="unknown movie id: 'film'"):
        explainer.explain([("u3", "film")])
    with pytest.raises(ConfigError, match="max_hops = 9"):
        explainer.explain([("u3", "m2")], max_hops=9)
    with pytest.raises(ConfigError, match="paths = -1"):
        explainer.explain([("u3", "m2")], paths=-1)
