"""The benchmark of a recall stage on a small graph: what new users keep, and what is compared with what."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import stage, walk
from kg import RaggedArray, SplitConfig, split_interactions
from recall.channels import ItemKNN, Popularity
from recall.contracts import FitData, Query
from recall.pipeline import Pipeline


@pytest.fixture
def problem(movie_graph) -> walk.Problem:
    graph = movie_graph()
    split = split_interactions(graph, SplitConfig(kind="per_user_time"))
    return walk.Problem.of("movies", graph, split, refit=True, features=None, data={})


@pytest.mark.benchmarks
def test_users_keep_their_last_items_alone(problem):
    graph = problem.final
    users, latest = stage._chosen_users(problem)
    before = FitData.of(graph).history
    others = np.setdiff1d(np.arange(len(graph.users)), users)
    for kept in (latest, RaggedArray.empty(len(users))):
        history = FitData.of(stage._keeping(graph, users, kept)).history
        for row, user in enumerate(users.tolist()):
            own = np.array([user])
            assert history.in_order(own)[0].tolist() == kept[row].tolist()
            assert set(history.sequence(own)[0].tolist()) == set(kept[row].tolist())
            assert latest[row].tolist() == before.in_order(own)[0][-stage.GIVEN :].tolist()
        assert history.sequence(others).values.tolist() == before.sequence(others).values.tolist()


@pytest.mark.benchmarks
def test_a_fusion_is_compared_with_the_best_channel_of_each_metric(problem):
    data = FitData.of(problem.final)
    channels = {"item_knn": ItemKNN().fit(data), "popularity": Popularity().fit(data)}
    rows = stage.fused_rows(problem, channels, Pipeline(channels, data.history))
    by_name = {row["model"]: row for row in rows}
    difference = by_name["fused minus best channel"]
    for metric in stage.METRICS:
        best = max(by_name[name][metric] for name in channels)
        assert difference[metric] == pytest.approx(by_name["fused"][metric] - best)
        assert by_name[difference["best"][metric]][metric] == best


@pytest.mark.benchmarks
def test_the_dial_at_nothing_is_the_fusion(problem):
    data = FitData.of(problem.final)
    channels = {"item_knn": ItemKNN().fit(data), "popularity": Popularity().fit(data)}
    pipeline = Pipeline(channels, data.history)
    rows = stage.reach_rows(problem, pipeline)
    fused = next(row for row in stage.fused_rows(problem, channels, pipeline) if row["model"] == "fused")
    assert rows[0]["recall@100"] == pytest.approx(fused["recall@100"])
    assert len(rows) == len({row["rule"] for row in rows}) == len(stage.DIAL) + len(stage.QUOTAS) + 1
    reached = [row["reach@100"] for row in rows]
    assert all(0 < share <= 1 for share in reached)


@pytest.mark.benchmarks
def test_new_users_are_asked_with_what_they_kept(problem):
    """The most liked items change by the few users who are left out, and by nothing else."""
    rows = stage.new_user_rows(problem, {"popularity": lambda g: Popularity().fit(FitData.of(g))}, {"popularity": 1.0})
    by_name = {row["model"]: row for row in rows}
    users, latest = stage._chosen_users(problem)
    without = FitData.of(stage._keeping(problem.final, users, RaggedArray.empty(len(users))))
    place = {user: row for row, user in enumerate(problem.test.user.tolist())}
    truth = problem.test.truth.take(np.array([place[user] for user in users.tolist()]))
    ranked = stage.best_of(Popularity().fit(without), Query.of_histories(["?"] * len(users), latest, seen=latest))
    expected = stage.metrics_of(ranked, truth)
    for name in ("popularity", "fused"):
        for metric in stage.METRICS:
            assert by_name[name][f"{metric} new"] == pytest.approx(expected[metric].mean())
            ratio = by_name[name][f"{metric} new"] / by_name[name][f"{metric} trained"]
            assert by_name[name][f"{metric} kept"] == pytest.approx(ratio)


@pytest.mark.benchmarks
def test_ages_are_compared_with_none(problem):
    (row,) = stage.aged_rows(problem)
    for metric in stage.METRICS:
        low, high = row[f"{metric} interval of the difference"]
        assert low <= row[metric] - row[f"{metric} alike"] <= high
    if row["half_life"] is None:
        assert row["ndcg@20"] == row["ndcg@20 alike"]


@pytest.mark.benchmarks
def test_every_channel_and_the_fusion_are_timed(problem):
    data = FitData.of(problem.final)
    channels = {"item_knn": ItemKNN().fit(data), "popularity": Popularity().fit(data)}
    rows = stage.speed_rows(problem, channels, Pipeline(channels, data.history))
    assert [row["model"] for row in rows] == ["item_knn", "popularity", "fused, 2 channels"]
    assert all(0 < row["p50 ms"] <= row["p99 ms"] and row["users a second"] > 0 for row in rows)
