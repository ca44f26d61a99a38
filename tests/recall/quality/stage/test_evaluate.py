"""What each channel adds, groups, and that each channel scores a user once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gnn.evaluation.held_out import stage_groups
from kg.errors import ConfigError
from recall.channels import ItemKNN
from recall.contracts import Query, Scores
from recall.jobs.refresh import RefreshResult
from recall.pipeline import Pipeline
from recall.quality.measure import measure, measure_channels
from recall.quality.stage.evaluate import evaluate_run, evaluate_stage
from tests.recall.quality.stage.conftest import Stage

KS = (3, 10, 25)


def test_without_a_channel_is_what_the_others_serve(stage: Stage) -> None:
    groups = stage_groups(stage.graph, stage.split)
    measured = measure_channels(stage.pipeline, groups, trained_on=stage.view, ks=KS, without=True)
    for left_out in stage.pipeline.channels:
        weights = {**stage.pipeline.fusion.weights, left_out: 0.0}
        expected = measure(stage.pipeline.with_weights(weights), groups, trained_on=stage.view, ks=KS)
        for ours, theirs in zip(measured.without[left_out], expected, strict=True):
            assert ours.group == theirs.group
            for name, values in theirs.values.items():
                assert ours.values[name].tolist() == pytest.approx(values.tolist()), name
            assert ours.lists == theirs.lists


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_threads_changes_nothing(stage: Stage, workers: int) -> None:
    one = evaluate_stage(stage.graph, stage.split, stage.pipeline, kind="random", ks=KS, workers=1)
    again = evaluate_stage(stage.graph, stage.split, stage.pipeline, kind="random", ks=KS, workers=workers)
    assert again.metrics == one.metrics
    assert again.added == one.added
    assert set(again.overlaps) == set(one.overlaps)
    assert set(again.own_hits) == set(one.own_hits)
    assert again.curves == one.curves


def test_each_channel_scores_a_user_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: Counter[str] = Counter()
    lock, inner = threading.Lock(), ItemKNN.score

    def counting(self: ItemKNN, queries: Query) -> Scores:
        with lock:
            scored.update(queries.key)
        return inner(self, queries)

    monkeypatch.setattr(ItemKNN, "score", counting)
    report = evaluate_stage(
        stage.graph, stage.split, stage.pipeline, kind="random", ks=KS, baselines=("item_knn", "popularity")
    )
    assert {row.ranker for row in report.metrics} == {"fusion", "ease", "item_knn", "rp3beta", "popularity"}
    assert set(scored.values()) == {1}
    warm = next(row for row in report.metrics if row.group == "warm users")
    assert len(scored) == warm.users


def test_groups_are_parts_of_the_warm_users_with_the_same_lists(stage: Stage) -> None:
    groups = {group.name: group for group in stage_groups(stage.graph, stage.split)}
    likes = stage.split.positives(stage.graph, "train")
    assert (likes.counts[groups["users with few likes"].user] <= 5).all()
    untouched = np.bincount(likes.values, minlength=len(stage.graph.items)) == 0
    if "cold items" in groups:
        assert untouched[groups["cold items"].truth.values].all()
    alone = measure(stage.pipeline, [groups["users with few likes"]], trained_on=stage.view, ks=KS)[0]
    together = measure(stage.pipeline, list(groups.values()), trained_on=stage.view, ks=KS)
    of_group = next(each for each in together if each.group == "users with few likes")
    assert {name: values.tolist() for name, values in of_group.values.items()} == {
        name: values.tolist() for name, values in alone.values.items()
    }
    assert of_group.lists == alone.lists


def test_cold_items_are_those_that_nobody_liked_in_training(stage: Stage) -> None:
    likes = stage.split.positives(stage.graph, "train")
    victim = int(stage.split.positives(stage.graph, "test").values[0])
    part = stage.split.part.copy()
    interactions = stage.graph.interactions
    part[(interactions.item == victim)] = 2
    split = type(stage.split)(part=part, temporal=stage.split.temporal)
    assert victim in likes.values
    cold = next(group for group in stage_groups(stage.graph, split) if group.name == "cold items")
    assert victim in set(cold.truth.values.tolist())
    assert victim not in split.positives(stage.graph, "train").values


def test_what_a_channel_adds_is_a_paired_difference(stage: Stage) -> None:
    report = evaluate_stage(stage.graph, stage.split, stage.pipeline, kind="random", ks=KS)
    assert {each.channel for each in report.added} == set(stage.pipeline.channels)
    for each in report.added:
        assert each.difference == pytest.approx(each.whole - each.without)
        assert each.interval[0] <= each.difference <= each.interval[1]
    served = next(row for row in report.metrics if row.ranker == "fusion" and row.group == "warm users")
    added = next(each for each in report.added if each.group == "warm users" and each.metric == "recall@10")
    assert added.whole == pytest.approx(served.metrics["recall@10"])


def test_a_single_channel_adds_nothing_to_nothing(stage: Stage) -> None:
    alone = Pipeline([stage.pipeline.channels["ease"]], stage.pipeline.history)
    report = evaluate_stage(stage.graph, stage.split, alone, kind="random", ks=KS)
    assert report.serves == "ease"
    assert (report.added, report.overlaps, report.own_hits) == ((), (), ())


@pytest.mark.parametrize("k", [0, -3, 1001])
def test_cut_offs_out_of_range_are_refused(refreshed: RefreshResult, k: int) -> None:
    with pytest.raises(ConfigError, match=f"k = {k} must be at least 1 and at most 1000"):
        evaluate_run(refreshed.run, ks=[5, k])


def test_a_k_beyond_the_catalogue_finds_all(refreshed: RefreshResult, command: Callable[..., Any]) -> None:
    report = evaluate_run(refreshed.run, ks=[1000], baselines=False)
    row = next(row for row in report.metrics if row.group == "warm users")
    assert row.metrics["recall@1000"] == pytest.approx(1)
    code, _, err = command("evaluate", refreshed.run.path, "--calibrate-by", "colour")
    assert code == 1
    assert "no relation 'colour'" in err
    assert "director" in err


def test_nothing_held_out_is_an_empty_report(stage: Stage) -> None:
    nothing = type(stage.split)(part=np.zeros_like(stage.split.part), temporal=stage.split.temporal)
    report = evaluate_stage(
        stage.graph, nothing, stage.pipeline, kind="random", ks=KS, baselines=("popularity",), workers=2
    )
    assert (report.metrics, report.added, report.curves, report.overlaps) == ((), (), (), ())
    assert report.serves == "fusion"
