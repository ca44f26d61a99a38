"""The search of weights."""

from __future__ import annotations

import numpy as np
import pytest

from gnn.evaluation.metrics import per_user_metrics
from kg import SplitConfig, split_interactions
from kg.arrays import RaggedArray
from kg.errors import InvalidDataError
from recall.channels import Popularity, RP3Beta, Spectral, SpectralConfig
from recall.channels.scores import DenseScores
from recall.contracts import Capabilities, FitData, Query
from recall.pipeline import Pipeline
from tests.recall.fusion.oracle import answers


@pytest.fixture(scope="module")
def held(movie_graph):
    made = movie_graph(users=60, movies=50, ratings=14, seed=8)
    split = split_interactions(made, SplitConfig(kind="per_user_time", valid=0.3, test=0.0))
    view = split.view(made, "train")
    truth, seen = split.positives(made, "valid"), split.seen(made, "train")
    users = np.flatnonzero(truth.counts)
    queries = Query.of_users(users, made.users, seen=seen.take(users))
    kinds = {"spectral": Spectral(SpectralConfig(factors=5)), "rp3beta": RP3Beta(), "popularity": Popularity()}
    data = FitData.of(view)
    channels = {name: channel.fit(data) for name, channel in kinds.items()}
    return made, Pipeline(channels, data.history), queries, truth.take(users)


class TestWeights:
    def ndcg(self, fusion, graph, queries, truth, k):
        found = answers(fusion, graph, queries, k=k)
        ranked = np.full((len(queries), k), -1, dtype=np.int64)
        for row, items in enumerate(found):
            ranked[row, : len(items)] = [item for item, _, _ in items]
        return per_user_metrics(ranked, truth, k)["ndcg"].mean()

    def test_no_single_channel_and_no_change_of_one_weight_is_better(self, held):
        graph, fusion, queries, truth = held
        weights = fusion.fit_fusion(queries, truth, k=5).weights
        assert set(weights) == set(fusion.channels)
        assert sum(weights.values()) == pytest.approx(1, abs=1e-3)
        best = self.ndcg(fusion.with_weights(weights), graph, queries, truth, 5)
        tried = [dict.fromkeys(weights, 1.0)]
        tried += [{name: float(name == chosen) for name in weights} for chosen in weights]
        tried += [{**weights, name: weights[name] * factor} for name in weights for factor in (0.5, 2.0)]
        for other in tried:
            assert self.ndcg(fusion.with_weights(other), graph, queries, truth, 5) <= best + 1e-3

    def test_it_is_the_same_twice(self, held):
        _, fusion, queries, truth = held
        assert fusion.fit_fusion(queries, truth, k=5) == fusion.fit_fusion(queries, truth, k=5)

    def test_its_own_weights_do_not_count(self, held):
        _, fusion, queries, truth = held
        other = fusion.with_weights({"spectral": 0.0, "rp3beta": 0.0, "popularity": 7.0})
        assert other.fit_fusion(queries, truth, k=5).weights == fusion.fit_fusion(queries, truth, k=5).weights

    def test_a_channel_that_adds_nothing_is_left_out(self, held):
        _, fusion, queries, truth = held
        twins = {"spectral": fusion.channels["spectral"], "twin": fusion.channels["spectral"]}
        doubled = Pipeline(twins, fusion.history)
        assert sorted(doubled.fit_fusion(queries, truth, k=5).weights.values()) == [0.0, 1.0]

    def test_a_channel_whose_score_is_paths_carries_what_costs_no_ranking(self, held):
        graph, fusion, queries, truth = held
        plain = fusion.fit_fusion(queries, truth, k=5).weights

        class Explained(RP3Beta):
            capabilities = Capabilities(paths=True)

        walked = Explained().fit(FitData(graph=graph, history=fusion.history))
        other = Pipeline({**fusion.channels, "rp3beta": walked}, fusion.history)
        weights = other.fit_fusion(queries, truth, k=5).weights
        assert plain["rp3beta"] > 0
        assert weights["rp3beta"] >= plain["rp3beta"]
        reached, best = (
            self.ndcg(fusion.with_weights(chosen), graph, queries, truth, 5) for chosen in (weights, plain)
        )
        assert reached >= best * 0.997

    def test_noise_is_not_worth_asking_a_channel_for(self, held):
        _, fusion, queries, _ = held
        best = Pipeline([fusion.channels["spectral"]], fusion.history).recommend(queries, k=3)
        truth = RaggedArray.from_pairs(best.row, best.item, num_rows=len(queries))

        class Noise(Popularity):
            def score(self, queries):
                scores = np.random.default_rng(3).normal(size=(len(queries), fusion.history.num_items))
                return DenseScores(scores.astype(np.float32), np.arange(len(queries)), len(queries))

        noisy = Pipeline({"spectral": fusion.channels["spectral"], "noise": Noise()}, fusion.history)
        assert noisy.fit_fusion(queries, truth, k=5).weights == {"spectral": 1.0, "noise": 0.0}

    def test_without_anything_to_find_it_says_so(self, held):
        _, fusion, queries, truth = held
        nobody = np.zeros(0, dtype=np.int64)
        with pytest.raises(InvalidDataError, match="validation part"):
            fusion.fit_fusion(queries.take(nobody), truth.take(nobody))
        with pytest.raises(InvalidDataError, match="truths"):
            fusion.fit_fusion(queries, truth.take(nobody))
