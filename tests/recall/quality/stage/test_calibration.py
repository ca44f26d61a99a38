"""Proportions of lists and histories, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gnn.evaluation.held_out import user_groups
from kg.errors import ConfigError
from recall.contracts import Query
from recall.quality.measure import ranked_blocks
from recall.quality.stage import calibration
from recall.quality.stage.calibration import MOST_CLASSES, POPULARITY, divergence, item_classes
from recall.quality.stage.evaluate import evaluate_stage
from tests.recall.quality.stage.conftest import Stage

HALVES = np.array([[0.5, 0.5]])


def test_the_same_proportions_are_no_divergence_and_nothing_in_common_is_the_most() -> None:
    assert divergence(HALVES, HALVES)[0] == pytest.approx(0)
    assert divergence(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))[0] == pytest.approx(np.log(100))
    assert divergence(HALVES, np.array([[1.0, 0.0]]))[0] == pytest.approx(
        0.5 * np.log(0.5 / 0.995) + 0.5 * np.log(0.5 / 0.005)
    )
    assert np.isnan(divergence(np.zeros((1, 2)), HALVES)[0])


def test_an_item_of_several_classes_counts_a_part_for_each(stage: Stage) -> None:
    classes = item_classes(stage.view, stage.pipeline.history, "genre")
    sums = np.asarray(classes.shares.sum(axis=1)).ravel()
    assert set(sums.round(12)) <= {0.0, 1.0}


def test_the_reported_value_is_that_of_a_loop(stage: Stage) -> None:
    report = evaluate_stage(stage.graph, stage.split, stage.pipeline, kind="random", ks=[4, 9], calibrate_by=POPULARITY)
    shares = item_classes(stage.view, stage.pipeline.history, POPULARITY).shares.toarray()
    assert shares.sum(axis=0).tolist() == [8] * 5  # forty items in fifths
    (group, *_) = user_groups(stage.graph, stage.split)
    queries = Query.of_users(group.user, stage.view.users, seen=group.seen)
    ranked = np.concatenate([b.ranked["fusion"] for _, b in ranked_blocks(stage.pipeline, queries, k=9)])
    values = []
    for row, user in enumerate(group.user.tolist()):
        p = shares[stage.pipeline.history.liked[user]].mean(axis=0)
        q = shares[ranked[row][ranked[row] >= 0]].mean(axis=0)
        values.append(sum(a * np.log(a / (0.99 * b + 0.01 * a)) for a, b in zip(p, q, strict=True) if a))
    row = next(row for row in report.metrics if row.ranker == "fusion" and row.group == "warm users")
    assert row.metrics["calibration@9"] == pytest.approx(np.mean(values))
    assert report.calibrated_by == POPULARITY


def test_a_relation_that_is_not_there_is_named_with_those_that_are(stage: Stage) -> None:
    with pytest.raises(ConfigError, match=r"no relation 'colour'.*popularity"):
        item_classes(stage.view, stage.pipeline.history, "colour")


def test_without_a_fitting_relation_items_are_classed_by_popularity(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = item_classes(stage.view, stage.pipeline.history)
    assert 2 <= chosen.shares.shape[1] <= MOST_CLASSES
    assert chosen.name in {key.name for key in stage.view.edges}
    monkeypatch.setattr(calibration, "MOST_CLASSES", 1)
    assert item_classes(stage.view, stage.pipeline.history).name == POPULARITY
