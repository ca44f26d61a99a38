"""The combination of channels against double loops: scores, lists, sources."""

from __future__ import annotations

import math

import numpy as np
import pytest

import recall.channels.scores
import recall.index.item_index
import recall.pipeline
from kg.arrays import RaggedArray
from kg.errors import ConfigError
from recall.channels import AttributeKNN, Popularity
from recall.contracts import CANDIDATE_SCHEMA, Candidates, Query
from recall.fusion import FusionConfig, spread
from recall.pipeline import Pipeline
from tests.recall.channels.making import ask, pair_queries
from tests.recall.fusion.oracle import WEIGHTS, answers, naive


class TestScores:
    @pytest.mark.parametrize(
        ("depth", "k", "options"),
        [
            (60, 60, {}),
            (7, 5, {}),
            (7, 20, {}),
            (200, 10, {}),
            (2, 1, {}),
            (9, 9, {"exclude_seen": False}),
            (6, 4, {"candidates": np.array([50, 3, 3, 17, 29, 31, 8])}),
            (6, 12, {"candidates": np.arange(0, 60, 2), "exclude_seen": False}),
        ],
    )
    def test_lists_scores_and_sources_are_those_of_the_definition(
        self, channels, fused, graph, everybody, depth, k, options
    ):
        fusion = fused(depth=depth)
        found = answers(fusion, graph, everybody, k=k, **options)
        named = {**options, "candidates": set(options["candidates"].tolist())} if "candidates" in options else options
        expected = naive(channels, WEIGHTS, graph, everybody, depth=depth, k=k, **named)
        for ours, theirs in zip(found, expected, strict=True):
            assert [item for item, _, _ in ours] == [item for item, _, _ in theirs]
            assert [names for _, _, names in ours] == [names for _, _, names in theirs]
            np.testing.assert_allclose([s for _, s, _ in ours], [s for _, s, _ in theirs], rtol=1e-5, atol=1e-6)

    def test_an_item_has_one_score_whatever_k_and_filters(self, fused, graph, everybody):
        fusion = fused(depth=8)
        scores = {}
        for options in (
            {"k": 3},
            {"k": 40},
            {"k": 8, "exclude_seen": False},
            {"k": 5, "candidates": np.arange(20)},
        ):
            for key, rows in zip(everybody.key, answers(fusion, graph, everybody, **options), strict=True):
                for item, score, _ in rows:
                    assert scores.setdefault((key, item), score) == pytest.approx(score, rel=1e-6, abs=1e-6)

    @pytest.mark.parametrize("name", ["lightgcn", "spectral", "item_knn"])
    def test_one_channel_alone_serves_its_own_scores(self, channels, data, everybody, name):
        pipeline = Pipeline([channels[name]], data.history, fusion=FusionConfig(weights={name: 0.3}, depth=10))
        scores = channels[name].score(everybody)
        for k in (4, 10, 60):
            batch = pipeline.recommend(everybody, k=k)
            top = scores.top(k, exclude=data.history.seen)
            row, place = np.nonzero(top.items >= 0)
            assert batch.item.tolist() == top.items[row, place].tolist()
            np.testing.assert_allclose(batch.score, top.scores[row, place], rtol=1e-6)
            assert set(batch.source().to_pylist()) == {name}

    @pytest.mark.parametrize("name", ["lightgcn", "spectral", "item_knn"])
    def test_where_the_others_weigh_nothing_one_ranks_as_it_does_itself(self, channels, data, fused, everybody, name):
        weights = {other: float(other == name) for other in channels}
        for k in (4, 10, 60):
            ours = ask(fused(weights, 10), everybody, k=k).table
            theirs = ask(Pipeline([channels[name]], data.history), everybody, k=k).table
            assert ours.drop(["score", "source"]).equals(theirs.drop(["score", "source"]))

    def test_the_columns_of_the_channels_add_up_to_the_score(self, channels, data, fused, everybody):
        batch = fused(depth=9).recommend(everybody, k=6)
        assert batch.channels == tuple(WEIGHTS)
        for column, name in enumerate(batch.channels):
            scores = channels[name].score(everybody)
            items = np.full((len(everybody), 6), -1)
            items[batch.row, batch.rank - 1] = batch.item
            expected = scores.at(items)[batch.row, batch.rank - 1]
            np.testing.assert_allclose(batch.channel_scores[:, column], expected, rtol=1e-6)
            listed = scores.top(9, exclude=data.history.seen).items
            assert batch.listed[:, column].tolist() == [
                item in listed[row] for row, item in zip(batch.row, batch.item, strict=True)
            ]

    def test_titles_and_channel_scores_are_columns_on_demand(self, graph, fused, everybody):
        batch = fused().recommend(everybody, k=3)
        keys, items = everybody.key, graph.items
        assert batch.to_arrow(keys, items).schema == CANDIDATE_SCHEMA
        titles = [f"title {item}" for item in range(60)]
        table = batch.to_arrow(
            keys, items, titles=lambda positions: [titles[at] for at in positions], channel_scores=True
        )
        assert table.column_names == [*CANDIDATE_SCHEMA.names, "title", *WEIGHTS]
        assert table["title"].to_pylist() == [titles[at] for at in batch.item]
        assert Candidates(table).table.equals(table)

    def test_scaling_all_weights_changes_no_rank(self, fused, everybody):
        plain = fused()
        scaled = plain.with_weights({name: 8 * weight for name, weight in WEIGHTS.items()})
        left, right = (ask(pipeline, everybody, k=10).table for pipeline in (plain, scaled))
        assert left.drop(["score"]).equals(right.drop(["score"]))
        np.testing.assert_allclose(right["score"].to_numpy(), 8 * left["score"].to_numpy(), rtol=1e-6)

    def test_a_channel_of_weight_0_is_not_asked(self, channels, fused, everybody):
        class Never(Popularity):
            name = "never"

            def score(self, queries):
                raise AssertionError("it was asked")

        with_it = fused({**WEIGHTS, "never": 0.0}, kinds={**channels, "never": Never()})
        assert ask(with_it, everybody, k=9).table.equals(ask(fused(), everybody, k=9).table)
        ((_, split, _),) = with_it.attribute(*pair_queries([(0, 1)]))
        assert len(split.parts) == 3

    def test_without_weights_all_channels_weigh_the_same(self, channels, fused, everybody):
        same = fused(dict.fromkeys(channels, 1.0))
        assert ask(fused(None), everybody, k=9).table.equals(ask(same, everybody, k=9).table)

    def test_k_beyond_what_there_is_gives_what_there_is(self, channels, fused, everybody):
        twice = fused(None, 3, {"item_knn": channels["item_knn"], "again": channels["item_knn"]})
        answer = ask(twice, everybody, k=1000).table
        assert answer.equals(ask(twice, everybody, k=60).table)
        assert len(answer) < 60 * len(everybody)

    def test_ties_go_by_position(self, graph, data, fused, everybody):
        popular = Popularity().fit(data)
        fusion = fused(None, 60, {"popularity": popular, "again": popular})
        for rows in answers(fusion, graph, everybody, k=60):
            assert rows == sorted(rows, key=lambda row: (-row[1], row[0]))
            assert len({score for _, score, _ in rows}) < len(rows)

    def test_a_request_that_one_channel_cannot_answer_is_left_to_the_others(self, channels, data, fused):
        popular = Popularity().fit(data)
        fusion = fused(
            {"item_knn": 1.0, "popularity": 0.1}, kinds={"item_knn": channels["item_knn"], "popularity": popular}
        )
        queries = Query(key=["new"], user=np.array([-1]), history=RaggedArray.empty(1))
        expected = ask(Pipeline([popular], data.history), queries, k=10).table
        answer = ask(fusion, queries, k=10).table
        assert answer["item_id"].equals(expected["item_id"])
        assert set(answer["source"].to_pylist()) == {"fusion(popularity)"}
        assert np.isfinite(answer["score"].to_numpy()).all()

    def test_attributes_reach_the_channels_that_read_them(self, channels, graph, data, fused):
        attribute_knn = AttributeKNN().fit(data)
        fusion = fused(None, kinds={"item_knn": channels["item_knn"], "attribute_knn": attribute_knn})
        key = next(key for key in graph.edges if key.name == "genre")
        queries = Query(
            key=["new"], user=np.array([-1]), history=RaggedArray.empty(1), attributes=[{key: np.array([1])}]
        )
        assert set(ask(fusion, queries, k=5).table["source"].to_pylist()) == {"fusion(attribute_knn)"}

    def test_requests_that_nobody_answers_get_what_is_popular(self, channels, graph, data):
        pipeline = Pipeline.of(graph, channels, fusion=FusionConfig(weights=WEIGHTS))
        queries = Query(key=["new", "u3"], user=np.array([-1, 3]), history=RaggedArray.empty(2))
        answer = ask(pipeline, queries, k=4)
        popular = ask(Pipeline([Popularity().fit(data)], data.history), queries, k=4)
        assert answer.of("new") == popular.of("new")
        assert {row["source"].partition("(")[0] for row in answer.of("u3")} == {"fusion"}
        assert [row["user_id"] for row in answer] == ["new"] * 4 + ["u3"] * 4
        batch = pipeline.recommend(queries, k=4)
        assert batch.fallback.tolist() == [True] * 4 + [False] * 4
        assert not batch.channel_scores[:4].any()
        assert len(ask(Pipeline(channels, data.history), queries.take(np.array([0])), k=4)) == 0

    def test_blocks_are_not_seen_from_outside(self, fused, everybody, monkeypatch):
        fusion, pairs = fused(depth=10), [(user, 3) for user in range(25)]
        whole, split = ask(fusion, everybody, k=10).table, fusion.attribute(*pair_queries(pairs))
        monkeypatch.setattr(recall.pipeline, "BLOCK_SCORES", 400)
        assert ask(fusion, everybody, k=10).table.drop(["score"]).equals(whole.drop(["score"]))
        again = fusion.attribute(*pair_queries(pairs))
        np.testing.assert_allclose(
            [entry.shares.score for entry in again], [entry.shares.score for entry in split], rtol=1e-5
        )


class TestSpread:
    def test_it_is_the_standard_deviation_with_empty_places_as_0(self):
        scores = np.array([[4.0, 2.0, -np.inf, -np.inf], [1.0, -1.0, -3.0, -np.inf]], dtype=np.float32)
        np.testing.assert_allclose(spread(scores), [np.std([4, 2, 0, 0]), np.std([1, -1, -3, 0])])

    def test_equal_scores_spread_as_far_as_they_are_large(self):
        noise = np.float32(3) * np.array([1, 1 + 1e-7, 1 - 1e-7], dtype=np.float32)
        np.testing.assert_allclose(
            spread(np.array([[3, 3, 3], noise, [-2, -2, -2]], dtype=np.float32)), [3, 3, 2], 1e-6
        )

    def test_without_evidence_it_is_infinite(self):
        assert spread(np.array([[-np.inf, -np.inf], [0.0, 0.0]], dtype=np.float32)).tolist() == [np.inf, np.inf]


class TestConfig:
    @pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf, -math.inf])
    def test_a_weight_that_is_no_weight_is_refused(self, weight):
        with pytest.raises(ConfigError, match=r"fusion\.weights\.spectral"):
            FusionConfig(weights={"lightgcn": 1.0, "spectral": weight})

    def test_weights_that_are_all_0_are_refused(self):
        with pytest.raises(ConfigError, match="all 0"):
            FusionConfig(weights={"lightgcn": 0.0, "spectral": 0.0})

    @pytest.mark.parametrize("depth", [1, 0, -5])
    def test_a_depth_without_a_spread_is_refused(self, depth):
        with pytest.raises(ConfigError, match="depth"):
            FusionConfig(depth=depth)

    def test_weights_name_the_channels(self, channels, fused):
        one = {"item_knn": channels["item_knn"]}
        with pytest.raises(ConfigError, match=r"'spektral'.*item_knn"):
            fused({"item_knn": 1.0, "spektral": 1.0}, kinds=one)
        with pytest.raises(ConfigError, match="nothing for the channel 'spectral'"):
            fused({"item_knn": 1.0}, kinds={**one, "spectral": channels["spectral"]})

    def test_no_channels_are_no_pipeline(self, fused):
        with pytest.raises(ConfigError, match="at least one"):
            fused(None, kinds={})

    def test_two_channels_of_one_kind_need_names(self, channels, data):
        with pytest.raises(ConfigError, match="two channels 'item_knn'"):
            Pipeline([channels["item_knn"], channels["item_knn"]], data.history)

    @pytest.mark.parametrize("name", ["../elsewhere", "", "a/b", ".", "a b"])
    def test_a_name_that_is_no_folder_is_refused(self, channels, fused, name):
        with pytest.raises(ConfigError, match="folder"):
            fused(None, kinds={name: channels["item_knn"]})
