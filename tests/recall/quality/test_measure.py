"""Metrics of pipelines: one pass over the scores against ranking everything by itself, and samples of users."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gnn.evaluation.held_out import Group, user_groups
from kg import KnowledgeGraph, Split, SplitConfig, split_interactions
from recall.channels import EASE, ItemKNN, RP3Beta
from recall.contracts import FitData, Query, Scores
from recall.fusion import FusionConfig
from recall.jobs.refresh import RefreshResult
from recall.pipeline import Pipeline
from recall.quality.assess import assess
from recall.quality.measure import measure, measure_channels, ranked_blocks
from recall.quality.stage.evaluate import evaluate_run

KS = (3, 10)


@pytest.fixture(scope="module")
def parts(movie_graph: Callable[..., KnowledgeGraph]) -> tuple[KnowledgeGraph, Split, KnowledgeGraph]:
    """A graph, its split and the training view."""
    graph = movie_graph(users=60, movies=40, ratings=14, seed=5)
    split = split_interactions(graph, SplitConfig(kind="random", test=0.3, valid=0.1))
    return graph, split, split.view(graph, "train")


@pytest.fixture(scope="module")
def fused(parts: tuple[KnowledgeGraph, Split, KnowledgeGraph]) -> Pipeline:
    """Three channels, one of them without a weight."""
    data = FitData.of(parts[2])
    channels = [EASE().fit(data), ItemKNN().fit(data), RP3Beta().fit(data)]
    weights = {"ease": 0.6, "item_knn": 0.4, "rp3beta": 0.0}
    return Pipeline(channels, data.history, fusion=FusionConfig(weights=weights, depth=12))


def naive(scores: np.ndarray, group: Group, k: int) -> dict[str, list[float]]:
    """Recall and NDCG by sorting all items of each user."""
    recalls, ndcgs = [], []
    for row in range(len(group)):
        left = [item for item in range(scores.shape[1]) if item not in set(group.seen[row].tolist())]
        best = sorted((item for item in left if scores[row, item] > 0), key=lambda item: (-scores[row, item], item))[:k]
        truth = set(group.truth[row].tolist())
        hits = [item in truth for item in best]
        ideal = sum(1 / np.log2(place + 2) for place in range(min(len(truth), k)))
        recalls.append(sum(hits) / len(truth))
        ndcgs.append(sum(hit / np.log2(place + 2) for place, hit in enumerate(hits)) / ideal)
    return {"recall": recalls, "ndcg": ndcgs}


def test_one_pass_gives_what_each_ranking_by_itself_gives(
    parts: tuple[KnowledgeGraph, Split, KnowledgeGraph], fused: Pipeline
) -> None:
    graph, split, view = parts
    groups = user_groups(graph, split)
    together = measure_channels(fused, groups, trained_on=view, ks=KS).ranked
    assert set(together) == {"fusion", "ease", "item_knn"}
    for name, evaluations in together.items():
        alone = fused if name == "fusion" else Pipeline([fused.channels[name]], fused.history)
        for group, evaluation in zip(groups, evaluations, strict=True):
            queries = Query.of_users(group.user, view.users, seen=group.seen)
            batch = alone.recommend(queries, k=max(KS))
            ranked = np.full((len(group), max(KS)), -1)
            ranked[batch.row, batch.rank - 1] = batch.item
            assert evaluation.group == group.name
            again = measure(alone, [replace(group, part_of=None)], trained_on=view, ks=KS)[0]
            assert {key: list(value) for key, value in evaluation.values.items()} == {
                key: list(value) for key, value in again.values.items()
            }
            hits = [len(set(ranked[row]) & set(group.truth[row].tolist())) for row in range(len(group))]
            assert list(evaluation.values["recall@10"]) == pytest.approx(
                [hit / len(group.truth[row]) for row, hit in enumerate(hits)]
            )


def test_metrics_are_those_of_sorting_every_item(
    parts: tuple[KnowledgeGraph, Split, KnowledgeGraph], fused: Pipeline
) -> None:
    graph, split, view = parts
    channel = fused.channels["item_knn"]
    (group, *_) = user_groups(graph, split)
    every = np.tile(np.arange(len(graph.items)), (len(group), 1))
    scores = channel.score(Query.of_users(group.user, view.users)).at(every)
    evaluation = measure(Pipeline([channel], fused.history), [group], trained_on=view, ks=KS)[0]
    for k in KS:
        for name, values in naive(scores, group, k).items():
            assert list(evaluation.values[f"{name}@{k}"]) == pytest.approx(values)


class Counted:
    """A channel that counts for how many requests it was asked for scores."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def score(self, queries: Query) -> Scores:
        self.asked += len(queries)
        scores: Scores = self._channel.score(queries)
        return scores


def test_every_user_is_scored_once_whatever_groups_cutoffs_and_channels(
    parts: tuple[KnowledgeGraph, Split, KnowledgeGraph],
) -> None:
    graph, split, view = parts
    data = FitData.of(view)
    channels = {name: Counted(kind().fit(data)) for name, kind in (("ease", EASE), ("item_knn", ItemKNN))}
    pipeline = Pipeline(channels, data.history)
    report = assess(graph, split, pipeline, kind="random", ks=KS)
    warm = next(row for row in report.metrics if row.group == "warm users")
    assert {channel.asked for channel in channels.values()} == {warm.users}
    assert {row.ranker for row in report.metrics} == {"fusion", "ease", "item_knn"}


def test_a_channel_without_a_weight_is_measured_all_the_same(
    parts: tuple[KnowledgeGraph, Split, KnowledgeGraph], fused: Pipeline
) -> None:
    graph, split, view = parts
    report = assess(graph, split, fused, kind="random", ks=KS, baselines=("popularity",))
    rows = {row.ranker: row.metrics for row in report.metrics if row.group == "warm users"}
    assert list(rows) == ["fusion", "ease", "item_knn", "rp3beta", "popularity"]
    expected = measure(
        Pipeline([fused.channels["rp3beta"]], fused.history), user_groups(graph, split)[:1], trained_on=view, ks=KS
    )[0]
    assert rows["rp3beta"]["ndcg@10"] == pytest.approx(expected.mean("ndcg@10"))


def test_a_sample_is_the_same_for_every_ranker_and_reported(
    parts: tuple[KnowledgeGraph, Split, KnowledgeGraph], fused: Pipeline
) -> None:
    graph, split, _ = parts
    whole = assess(graph, split, fused, kind="random", ks=KS)
    sample = assess(graph, split, fused, kind="random", ks=KS, baselines=("popularity",), sample=20)
    total = next(row.users for row in whole.metrics if row.group == "warm users")
    rows = [row for row in sample.metrics if row.group == "warm users"]
    assert {(row.users, row.drawn_from) for row in rows} == {(20, total)}
    assert all(row.drawn_from is None for row in whole.metrics)
    low, high = rows[0].intervals["ndcg@10"]
    assert low < rows[0].metrics["ndcg@10"] < high
    wide = next(row for row in whole.metrics if row.group == "warm users").intervals["ndcg@10"]
    assert high - low > wide[1] - wide[0]


def test_more_places_than_items(parts: tuple[KnowledgeGraph, Split, KnowledgeGraph], fused: Pipeline) -> None:
    graph, split, view = parts
    (group, *_) = user_groups(graph, split)
    queries = Query.of_users(group.user, view.users, seen=group.seen)
    ((_, lists),) = ranked_blocks(fused, queries, k=100)
    for items in lists.ranked.values():
        assert items.shape == (len(group), 100)
        assert (items[:, len(graph.items) :] == -1).all()


def test_the_report_and_the_command_say_what_was_sampled(
    refreshed: RefreshResult, command: Callable[..., tuple[int, str, str]]
) -> None:
    run = refreshed.run
    whole = evaluate_run(run, baselines=False)
    total = next(row.users for row in whole.metrics if row.group == "warm users")
    code, out, _ = command("evaluate", run.path, "--no-baselines", "--sample-users", "5", "--json")
    assert code == 0
    rows = [row for row in json.loads(out)["metrics"] if row["group"] == "warm users"]
    assert {(row["users"], row["drawn_from"]) for row in rows} == {(5, total)}
    _, out, _ = command("evaluate", run.path, "--no-baselines", "--sample-users", "5")
    assert f"sample of 5 of {total} users" in " ".join(out.split())
    _, out, _ = command("evaluate", run.path, "--no-baselines", "--sample-users", "0")
    assert "sample of" not in out
