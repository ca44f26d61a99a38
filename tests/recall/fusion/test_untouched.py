"""Items that nobody likes in a fusion: the factor of their scores, and how it is found."""

from __future__ import annotations

import numpy as np
import pytest

from gnn.evaluation.metrics import per_user_metrics
from kg import hide_items
from kg.arrays import RaggedArray
from recall.channels import AttributeKNN, ItemKNN
from recall.contracts import FitData, Query
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline

WEIGHTS = {"attribute_knn": 0.4, "item_knn": 0.6}


@pytest.fixture(scope="module")
def hidden(movie_graph):
    made = movie_graph(users=40, movies=60, ratings=12, seed=9)
    return made, hide_items(made, fraction=0.3, seed=1)


@pytest.fixture(scope="module")
def data(hidden):
    made, split = hidden
    return FitData.of(split.view(made, "train"))


@pytest.fixture(scope="module")
def fused(data):
    channels = [AttributeKNN().fit(data), ItemKNN().fit(data)]

    def make(factor=1.0):
        return Pipeline(channels, data.history, fusion=FusionConfig(weights=WEIGHTS, untouched=factor))

    return make


@pytest.fixture(scope="module")
def queries(data):
    return Query.of_users(np.arange(len(data.graph.users)), data.graph.users)


def test_their_scores_alone_are_multiplied(fused, data, queries):
    untouched = np.bincount(data.history.liked.values, minlength=len(data.graph.items)) == 0
    assert 0 < untouched.sum() < len(untouched)
    everything = np.tile(np.arange(len(untouched)), (len(queries), 1))
    plain, raised = (fused(factor).score(queries).at(everything) for factor in (1.0, 3.0))
    assert plain[:, untouched].any()
    np.testing.assert_allclose(raised, plain * np.where(untouched, 3, 1), rtol=1e-6)


def test_lists_are_ranked_by_these_scores_and_reasons_add_up_to_them(fused, data, queries):
    pipeline = fused(3.0)
    batch = pipeline.recommend(queries, k=60)
    scores = pipeline.score(queries).at(np.tile(np.arange(len(data.graph.items)), (len(queries), 1)))
    np.testing.assert_allclose(batch.score, scores[batch.row, batch.item], rtol=1e-6)
    same_user = batch.row[1:] == batch.row[:-1]
    assert (batch.score[1:] <= batch.score[:-1])[same_user].all()
    places = np.flatnonzero(~np.isin(batch.item, data.history.liked.values))[:20]
    assert len(places)
    split = pipeline.attribute(queries.take(batch.row[places]), batch.item[places])
    np.testing.assert_allclose([answer.shares.score for answer in split], batch.score[places], rtol=1e-5)


@pytest.mark.parametrize("cost", [0.0, 0.05, 0.3, 1.0])
def test_it_is_the_largest_factor_that_costs_no_more(fused, data, queries, cost):
    random = np.random.default_rng(4)
    warm = np.unique(data.history.liked.values)
    rows = np.repeat(np.arange(len(queries)), 3)
    truth = RaggedArray.from_pairs(rows, random.choice(warm, len(rows)), num_rows=len(queries))

    def recall(pipeline, only=None):
        batch = pipeline.recommend(queries, k=10, candidates=only)
        ranked = np.full((len(queries), 10), -1)
        ranked[batch.row, batch.rank - 1] = batch.item
        return per_user_metrics(ranked, truth, 10)["recall"].mean()

    fusion = fused().fit_fusion(queries, truth, k=10, weights=WEIGHTS, cold_cost=cost)
    assert fusion.weights == WEIGHTS
    least = (1 - cost) * recall(fused(), only=warm)
    able = [factor for factor in np.round(1.1 ** np.arange(31), 3).tolist() if recall(fused(factor)) >= least]
    assert fusion.untouched == max(able, default=1.0)
