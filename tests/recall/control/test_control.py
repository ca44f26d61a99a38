"""Rounds, prefetches and rules over a pipeline on a small graph."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from kg import KnowledgeGraph, RaggedArray
from kg.errors import ConfigError
from recall.channels import EASE, ItemKNN, LightGCNChannel, Popularity
from recall.config.deployment import load_config
from recall.config.sections import PipelineSettings
from recall.contracts import FALLBACK, FitData, LoadData, Query
from recall.control.control import Control
from recall.control.settings import ControlSettings
from recall.jobs.refresh import refresh
from recall.pipeline import Pipeline
from recall.quality.rules import rules_cost
from recall.serve.recommender import Recommender


@pytest.fixture(scope="module")
def graph(movie_graph):
    """Movies with a brand, a date and whether they are in stock."""
    made = movie_graph()
    movies, count = made.nodes["movie"], len(made.items)
    dates = [datetime(2024, 1, 1) + timedelta(days=7 * number) for number in range(count)]
    for name, values in (
        ("brand", pa.array([f"b{number % 4}" for number in range(count)])),
        ("stock", pa.array([number % 3 != 0 for number in range(count)])),
        ("added", pa.array(dates)),
    ):
        movies = movies.append_column(name, values)
    return KnowledgeGraph(made.schema, {**made.nodes, "movie": movies}, made.edges)


@pytest.fixture(scope="module")
def pipeline(graph):
    data = FitData.of(graph)
    return Pipeline.of(graph, [ItemKNN().fit(data), EASE().fit(data), Popularity().fit(data)])


@pytest.fixture(scope="module")
def queries(graph):
    return Query.of_users(np.arange(len(graph.users)), graph.users)


def control(graph, pipeline, **settings):
    return Control(ControlSettings(**settings), graph, pipeline)


def lists(batch, rows):
    return [batch.item[batch.row == row].tolist() for row in range(rows)]


def test_without_rules_the_answer_is_that_of_the_pipeline(graph, pipeline, queries):
    plain, ruled = pipeline.recommend(queries, k=7), control(graph, pipeline, pool=1).recommend(queries, k=7)
    for name in ("row", "item", "rank", "listed", "fallback"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(ruled, name))
    np.testing.assert_allclose(ruled.score, plain.score, rtol=1e-5)
    np.testing.assert_allclose(ruled.channel_scores, plain.channel_scores, rtol=1e-5)
    assert set(ruled.round.tolist()) == {1}
    assert set(ruled.moves) == {""}


def test_strict_rounds_come_first_and_are_widened_until_there_are_k(graph, pipeline, queries):
    rounds = [{"filter": 'brand = "b1" and stock'}, {"filter": "stock"}, {}]
    batch = control(graph, pipeline, rounds=rounds).recommend(queries, k=12)
    brand = graph.nodes["movie"]["brand"].to_pylist()
    stock = graph.nodes["movie"]["stock"].to_pylist()
    assert set(batch.round.tolist()) >= {1, 2}
    for row in range(len(queries)):
        of_row = batch.row == row
        rounds_of_row = batch.round[of_row].tolist()
        assert rounds_of_row == sorted(rounds_of_row)
        assert len(set(batch.item[of_row].tolist())) == of_row.sum() == 12
        for item, number in zip(batch.item[of_row].tolist(), rounds_of_row, strict=True):
            assert number == 3 or stock[item]
            assert (number == 1) == bool(stock[item] and brand[item] == "b1")
            assert graph.items is not None


def test_a_threshold_holds_for_its_channel(graph, pipeline, queries):
    scores = pipeline.channels["item_knn"].score(queries).at(np.tile(np.arange(len(graph.items)), (len(queries), 1)))
    least = float(np.quantile(scores[scores > 0], 0.8))
    prefetch = [{"channel": "item_knn", "threshold": least, "limit": 500}]
    batch = control(graph, pipeline, rounds=[{"prefetch": prefetch}, {}]).recommend(queries, k=10)
    own = scores[batch.row, batch.item]
    assert (own[batch.round == 1] >= least).all()
    assert (own[batch.round == 2] < least).all()
    assert {1, 2} == set(batch.round.tolist())


def test_a_tree_of_prefetches_joins_lists_by_reciprocal_rank(graph, pipeline, queries):
    one = queries.take(np.array([3]))
    inner = [{"channel": "item_knn", "limit": 5}, {"channel": "popularity", "limit": 5, "filter": "stock"}]
    tree = [{"prefetch": inner, "fusion": "reciprocal_rank", "limit": 4}]
    rules = control(graph, pipeline, rounds=[{"prefetch": tree}])
    batch = rules.recommend(one, k=4)
    seen = pipeline.history.seen.take(one.user)
    stock = np.flatnonzero(graph.nodes["movie"]["stock"].to_numpy(zero_copy_only=False))
    expected: dict[int, float] = {}
    for channel, only in (("item_knn", None), ("popularity", stock)):
        top = pipeline.channels[channel].score(one).top(5, exclude=seen, only=only).items[0]
        for rank, item in enumerate(top.tolist(), 1):
            expected[item] = expected.get(item, 0.0) + 1 / (60 + rank)
    best = sorted(expected, key=lambda item: (-np.float32(expected[item]), item))[:4]
    assert set(batch.item.tolist()) == set(best)


def test_quotas_hold_and_are_named(graph, pipeline, queries):
    quotas = [
        {"name": "late ones", "filter": "added >= 2024-08-01", "at_least": 3},
        {"name": "two of a brand", "per": "brand", "at_most": 2},
    ]
    rules = control(graph, pipeline, quotas=quotas)
    batch = rules.recommend(queries, k=7)
    brand = graph.nodes["movie"]["brand"].to_pylist()
    late = np.array([date >= datetime(2024, 8, 1) for date in graph.nodes["movie"]["added"].to_pylist()])
    for items in lists(batch, len(queries)):
        assert late[items].sum() >= 3
        assert max(np.unique([brand[item] for item in items], return_counts=True)[1]) <= 2
    assert any("quota for late ones" in text for text in batch.moves)


def test_a_quota_of_a_channel_brings_its_items(graph, pipeline, queries):
    rule = {"name": "popular ones", "channel": "popularity", "at_least": 2}
    narrow = Pipeline(pipeline.channels, pipeline.history, fusion=pipeline.fusion.changed(depth=3))
    batch = control(graph, narrow, quotas=[rule]).recommend(queries, k=3)
    at = batch.channels.index("popularity")
    for row in range(len(queries)):
        assert batch.listed[batch.row == row, at].sum() >= 2


def test_a_boost_that_decays_brings_new_items_forward(graph, pipeline, queries):
    boost = {"name": "added lately", "decay": "added", "half_life_days": 20, "weight": 3.0}
    batch = control(graph, pipeline, boosts=[boost], pool=50).recommend(queries, k=5)
    plain = pipeline.recommend(queries, k=5)
    assert batch.item.mean() > plain.item.mean()  # they were added in the order of their positions
    assert any("moved up" in text and "boost for added lately" in text for text in batch.moves)


def test_the_long_tail_costs_recall_that_is_measured(graph, pipeline, queries):
    history = pipeline.history
    truth = RaggedArray.from_lists([np.sort(items) for items in lists(pipeline.recommend(queries, k=4), len(queries))])
    asked = Query.of_users(queries.user, graph.users, seen=history.seen.take(queries.user))
    free = rules_cost(control(graph, pipeline, pool=1), asked, truth, k=4)
    assert (free["recall with"], free["recall without"], free["cost"]) == (1.0, 1.0, 0.0)
    dear = rules_cost(control(graph, pipeline, long_tail=1.0, pool=50), asked, truth, k=4)
    assert dear["cost"] == pytest.approx(1 - dear["recall with"])
    assert dear["cost"] > 0
    assert dear["coverage with"] != free["coverage with"]


def test_a_rule_names_a_channel_without_weight(graph, pipeline, queries):
    """Weights are found on validation: a channel that gets none is still what a rule asked for."""
    fusion = pipeline.fusion.changed(weights={"item_knn": 0.0, "ease": 0.0, "popularity": 1.0}, depth=3)
    other = Pipeline(pipeline.channels, pipeline.history, fusion=fusion, fallback=pipeline.fallback)
    assert other.asked == ("popularity",)
    prefetch = [{"channel": "item_knn", "limit": 3}, {"channel": "popularity", "limit": 3}]
    quota = {"name": "like mine", "channel": "item_knn", "at_least": 2}
    ruled = control(graph, other, rounds=[{"prefetch": prefetch}, {}], quotas=[quota])
    nobody = Query.of_histories(["nobody"], RaggedArray.empty(1))
    for asked in (queries, nobody, queries.take(np.zeros(0, dtype=np.int64))):
        assert ruled.recommend(asked, k=3).channels == ("popularity", "item_knn")
    batch = ruled.recommend(queries, k=3)
    scores = pipeline.channels["item_knn"].score(queries)
    for row in range(len(queries)):
        of_row = batch.row == row
        assert batch.listed[of_row, 1].sum() >= 2
        items = np.full((len(queries), 3), -1)
        items[row, : of_row.sum()] = batch.item[of_row]
        np.testing.assert_allclose(batch.channel_scores[of_row, 1], scores.at(items)[row, : of_row.sum()], rtol=1e-5)


def test_diversity_compares_the_vectors_of_a_channel(graph, linear_model, queries):
    channel = LightGCNChannel.of(linear_model(graph, seed=3), LoadData.of(graph))
    pipeline = Pipeline.of(graph, [channel])
    plain, diverse = (
        control(graph, pipeline, diversity=value, pool=20).recommend(queries, k=6) for value in (0.0, 0.7)
    )
    unit = channel.item_vectors / np.linalg.norm(channel.item_vectors, axis=1, keepdims=True)

    def likeness(batch):
        return np.mean([(unit[items] @ unit[items].T).sum() for items in lists(batch, len(queries))])

    assert likeness(diverse) < likeness(plain)
    assert any("diversity" in text for text in diverse.moves)


def test_changed_rules_answer_as_configured_ones(graph, pipeline, linear_model, queries):
    channel = LightGCNChannel.of(linear_model(graph, seed=3), LoadData.of(graph))
    with_vectors = Pipeline.of(graph, [channel])
    quota = {"name": "two of a brand", "per": "brand", "at_most": 2}
    base = control(graph, with_vectors, quotas=[quota], long_tail=0.2)
    before = base.recommend(queries, k=6)
    for values in ({"diversity": 0.6}, {"long_tail": 0.7}, {"long_tail": 0.0}, {"diversity": 0.3, "long_tail": 0.9}):
        changed = base.changed(**values).recommend(queries, k=6)
        configured = control(graph, with_vectors, **{"quotas": [quota], "long_tail": 0.2, **values})
        expected = configured.recommend(queries, k=6)
        np.testing.assert_array_equal(changed.item, expected.item)
        assert changed.moves == expected.moves
        assert changed.item.tolist() != before.item.tolist()
    np.testing.assert_array_equal(base.recommend(queries, k=6).item, before.item)
    with pytest.raises(ConfigError, match=r"diversity = 1\.5"):
        base.changed(diversity=1.5)
    with pytest.raises(ConfigError, match=r"long_tail = -0\.1"):
        base.changed(long_tail=-0.1)
    with pytest.raises(ConfigError, match="no channel has any"):
        control(graph, pipeline).changed(diversity=0.1)


def test_rules_of_one_call(graph, pipeline):
    rec = Recommender(graph, pipeline)
    usual = rec.recommend(["u1", "u2"], k=5)
    assert rec.with_rules() is rec
    rare = rec.with_rules(long_tail=0.8)
    expected = Recommender(graph, pipeline, control=control(graph, pipeline, long_tail=0.8))
    answer = rare.recommend(["u1", "u2"], k=5)
    assert answer.table.equals(expected.recommend(["u1", "u2"], k=5).table)
    assert "moves" not in usual.table.column_names
    assert rec.recommend(["u1", "u2"], k=5).table.equals(usual.table)
    assert rare.with_rules(diversity=0.0).recommend(["u1", "u2"], k=5).table.equals(answer.table)
    moved = next(row for row in answer if row["moves"])
    (why,) = rare.explain([(moved["user_id"], moved["item_id"])], k=5)
    assert why.moves == moved["moves"]
    assert "long tail" in why.moves
    new = next(row for row in rare.recommend_for(liked=["m1", "m4"], k=5) if row["moves"])
    (why,) = rare.explain_for([new["item_id"]], liked=["m1", "m4"], k=5)
    assert why.moves == new["moves"]
    other = rare.with_weights({"item_knn": 1, "ease": 1, "popularity": 0})
    assert any(row["moves"] for row in other.recommend(["u1", "u2"], k=5))


def test_a_request_alone_answers_as_in_the_batch(graph, pipeline, queries):
    rules = control(graph, pipeline, long_tail=0.3, quotas=[{"name": "q", "per": "brand", "at_most": 2}])
    batch = rules.recommend(queries, k=6)
    for row in (0, 5):
        alone = rules.recommend(queries.take(np.array([row])), k=6)
        assert alone.item.tolist() == batch.item[batch.row == row].tolist()


def test_limits_of_requests_hold(graph, pipeline, queries):
    few = replace(queries, exclude=RaggedArray.from_lists([[1, 2, 3]] * len(queries)))
    rule = {"name": "late ones", "filter": "added >= 2024-08-01", "at_least": 3}
    batch = control(graph, pipeline, quotas=[rule]).recommend(few, k=5, candidates=np.arange(1, 40, 2))
    assert set(batch.item.tolist()) <= set(range(5, 40, 2))


def test_nobody_s_candidates_are_the_most_liked(graph, pipeline):
    nobody = Query.of_histories(["x"], RaggedArray.empty(1))
    knn = Pipeline.of(graph, [pipeline.channels["item_knn"]])
    batch = control(graph, knn, long_tail=0.5).recommend(nobody, k=4)
    assert batch.fallback.all()
    assert batch.round.tolist() == [0] * 4


def test_answers_and_explanations_name_the_rules(graph, pipeline, tmp_path):
    rules = control(graph, pipeline, quotas=[{"name": "late ones", "filter": "added >= 2024-08-01", "at_least": 3}])
    rec = Recommender(graph, pipeline, control=rules)
    answer = rec.recommend(["u1", "u2"], k=5, titles=True)
    assert answer.table.column_names[-3:] == ["round", "moves", "title"]
    moved = [row for row in rec.recommend_all(k=5) if row["moves"]]
    assert moved
    (why,) = rec.explain([(moved[0]["user_id"], moved[0]["item_id"])], k=5)
    assert why.moves == moved[0]["moves"]
    assert f"In the list: {why.moves}." in why.text
    assert why.score == pytest.approx(moved[0]["score"], rel=1e-4)
    assert rec.recommend_all(k=5, out=tmp_path / "all.parquet") == len(rec.recommend_all(k=5))
    assert FALLBACK not in rec.recommend(["u1"], k=3).table["source"].to_pylist()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"quotas": [{"name": "q", "filter": "stock", "at_least": 3, "at_most": 2}]}, "3 at least and 2 at most"),
        (
            {
                "quotas": [
                    {"name": "a", "filter": "stock", "at_least": 3},
                    {"name": "b", "filter": "stock", "at_most": 1},
                ]
            },
            "contradict each other",
        ),
        ({"quotas": [{"name": "q", "filter": "stock"}]}, "neither at_least nor at_most"),
        ({"quotas": [{"name": "q", "at_most": 1}]}, "one of filter, channel and per"),
        ({"quotas": [{"name": "q", "per": "brand", "at_least": 1}]}, "each value of brand"),
        ({"quotas": [{"name": "q", "filter": "stock and", "at_most": 1}]}, "filter"),
        ({"boosts": [{"name": "b", "weight": 1}]}, "the same for all items"),
        ({"rounds": []}, "rounds"),
        ({"rounds": [{"prefetch": [{"limit": 5}]}]}, "either a channel or a list"),
        ({"rounds": [{"prefetch": [{"prefetch": [{"channel": "ease"}], "threshold": 1}]}]}, "a threshold is of"),
        ({"diversity": 1.5}, "diversity"),
        ({"pool": 0}, "pool"),
    ],
)
def test_settings_that_do_not_fit_are_refused(bad, said):
    with pytest.raises(ConfigError, match=said):
        ControlSettings(**bad)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"quotas": [{"name": "q", "channel": "walk", "at_most": 1}]}, "names the channel 'walk'"),
        ({"quotas": [{"name": "q", "per": "colour", "at_most": 1}]}, "'colour' is no attribute"),
        ({"quotas": [{"name": "q", "filter": "price > 3", "at_most": 1}]}, "'price' is no attribute"),
        ({"boosts": [{"name": "b", "decay": "brand", "weight": 1}]}, "brand"),
        ({"boosts": [{"name": "b", "decay": "genre", "weight": 1}]}, "relation"),
        ({"diversity": 0.5}, "no channel has any"),
    ],
)
def test_rules_that_name_what_is_not_there_are_refused(graph, pipeline, bad, said):
    with pytest.raises(ConfigError, match=said):
        control(graph, pipeline, **bad)


def test_the_configuration_knows_its_channels():
    rules = {"quotas": [{"name": "q", "channel": "recent", "at_most": 1}]}
    with pytest.raises(ConfigError, match=r"none of pipeline\.channels"):
        PipelineSettings(channels=("walk",), control=rules)
    assert PipelineSettings(channels=("walk", "recent"), control=rules).control is not None


def test_a_run_serves_under_its_rules_and_its_report_has_their_cost(make_deployment, tmp_path):
    config = make_deployment(tmp_path / "ruled")
    text = config.read_text().replace('channels = ["lightgcn"]', 'channels = ["item_knn", "popularity"]')
    quota = '[[pipeline.control.quotas]]\nname = "two of a director"\nper = "director"\nat_most = 2\n'
    config.write_text(text + "[pipeline.control]\nlong_tail = 0.3\n" + quota)
    result = refresh(load_config(config))
    measured = result.report.fitted["control"]
    assert measured["cost"] == pytest.approx(1 - measured["recall with"] / measured["recall without"], abs=1e-4)
    rec = Recommender.load(result.run.path)
    answer = rec.recommend(["u1"], k=8)
    assert rec.control is not None
    assert set(answer.table["round"].to_pylist()) == {1}
    directors = rec.control._filters.kinds("director")
    (position,) = [directors[int(item)] for item in rec.graph.items.index([answer.table["item_id"][0].as_py()])]
    assert len(position) == 1
    kinds = [int(directors[int(item)][0]) for item in rec.graph.items.index(answer.table["item_id"].to_pylist())]
    assert max(np.bincount(kinds)) <= 2
