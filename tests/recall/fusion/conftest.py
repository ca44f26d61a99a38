"""Channels of one graph, to be fused."""

from __future__ import annotations

import numpy as np
import pytest

from recall.channels import ItemKNN, ItemKNNConfig, LightGCNChannel, LightGCNChannelConfig, Spectral, SpectralConfig
from recall.contracts import FitData, Query
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from tests.recall.channels.making import TRAINING
from tests.recall.fusion.oracle import WEIGHTS


@pytest.fixture(scope="module")
def graph(movie_graph):
    return movie_graph(users=25, movies=60, ratings=10, seed=4)


@pytest.fixture(scope="module")
def data(graph):
    return FitData.of(graph, recipe={"steps": 4})


@pytest.fixture(scope="module")
def channels(data):
    return {
        "lightgcn": LightGCNChannel(LightGCNChannelConfig(dim=8, training=TRAINING)).fit(data),
        "spectral": Spectral(SpectralConfig(factors=5)).fit(data),
        "item_knn": ItemKNN(ItemKNNConfig(neighbours=6)).fit(data),
    }


@pytest.fixture(scope="module")
def everybody(graph):
    return Query.of_users(np.arange(len(graph.users)), graph.users)


@pytest.fixture(scope="module")
def fused(channels, data):
    """Makes a pipeline of the channels."""

    def make(weights=WEIGHTS, depth=200, kinds=channels):
        return Pipeline(kinds, data.history, fusion=FusionConfig(weights=weights or {}, depth=depth))

    return make
