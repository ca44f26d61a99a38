"""Fitted channels, a graph and its split."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from kg import KnowledgeGraph, Split, SplitConfig, split_interactions
from recall.channels import EASE, ItemKNN, RP3Beta
from recall.contracts import FitData
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline


class Stage(NamedTuple):
    """What is measured."""

    graph: KnowledgeGraph
    split: Split
    view: KnowledgeGraph
    pipeline: Pipeline


@pytest.fixture(scope="session")
def stage(movie_graph: Callable[..., KnowledgeGraph]) -> Stage:
    graph = movie_graph(users=60, movies=40, ratings=14, seed=5)
    split = split_interactions(graph, SplitConfig(kind="random", test=0.3, valid=0.1))
    view = split.view(graph, "train")
    data = FitData.of(view)
    channels = [EASE().fit(data), ItemKNN().fit(data), RP3Beta().fit(data)]
    weights = {"ease": 0.5, "item_knn": 0.3, "rp3beta": 0.2}
    return Stage(graph, split, view, Pipeline(channels, data.history, fusion=FusionConfig(weights=weights, depth=6)))
