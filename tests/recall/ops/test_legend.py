"""The words about a gate's readings and an evaluation."""

from __future__ import annotations

import pytest

from gnn.evaluation.metrics import PER_USER
from recall.ops.legend import METRICS, behind_popularity, gate_rows
from recall.runs.report import EvaluationReport, Reading, Verdict


def row(**facts):
    reading = Reading.model_validate({"text": "", **facts})
    (shown,) = gate_rows(Verdict.of([reading], kind="full", against="run-1", users=3, limits={}))
    return shown


def test_every_metric_is_explained():
    assert set(METRICS) == {*PER_USER, "coverage", "gini", "novelty", "long_tail", "calibration"}


def test_a_better_metric_shows_as_more():
    shown = row(kind="metric", name="ndcg@20", now=0.13, before=0.05, change=1 - 0.13 / 0.05, limit=0.1)
    assert (shown["now"], shown["against"], shown["before"]) == ("0.1300", "the run before", "0.0500")
    assert shown["change"] == "+160.0%"
    assert shown["limit"] == "at most 10.0% less"


def test_popularity_is_not_the_run_before():
    shown = row(kind="popularity", name="recall@20 beside popularity", metric="recall", now=0.137, before=0.085)
    assert shown["against"] == "the most liked items"
    assert shown["change"] == "+61.2%"
    assert shown["limit"] == ""


@pytest.mark.parametrize(
    ("facts", "change", "limit"),
    [
        ({"kind": "count", "now": 80, "before": 100, "change": 0.2, "limit": 0.5}, "-20.0%", "at most 50.0% gone"),
        ({"kind": "count", "now": 150, "before": 100, "change": 0.5, "limit": 3.0}, "+50.0%", "at most 300.0% more"),
        ({"kind": "count", "now": 3, "before": 4, "change": 0.25}, "-25.0%", "not judged"),
        ({"kind": "top", "now": 0.25, "change": 0.25, "limit": 0.9}, "", "at most 90.0% of the users"),
        ({"kind": "minimum", "now": 0.25, "change": 0.25, "limit": 0.1}, "", "at least 0.1000"),
        ({"kind": "finite", "now": 0.0, "change": 0.0, "limit": 0.0}, "", "none"),
        ({"kind": "metric", "now": 0.0, "before": 0.0, "change": 0.0, "limit": 0.1}, "", "at most 10.0% less"),
    ],
)
def test_changes_and_limits_in_words(facts, change, limit):
    shown = row(name="it", **facts)
    assert (shown["change"], shown["limit"]) == (change, limit)


def evaluation(**served):
    rows = [
        {"ranker": ranker, "group": group, "users": 9, "recall@10": value, "ndcg@10": value}
        for group, values in served.items()
        for ranker, value in values.items()
    ]
    return EvaluationReport.model_validate({"k": (10,), "serves": "lightgcn", "metrics": rows})


def test_where_popularity_is_ahead_it_is_said_for_that_group():
    measured = evaluation(warm={"lightgcn": 0.2, "popularity": 0.1}, new={"lightgcn": 0.1, "popularity": 0.2})
    assert list(behind_popularity(measured)) == [
        "new: the most liked items are ahead of lightgcn, ndcg@10 0.2000 against 0.1000"
    ]
    assert list(behind_popularity(evaluation(warm={"lightgcn": 0.2}))) == []
    assert list(behind_popularity(EvaluationReport())) == []
    alone = measured.model_copy(update={"serves": "popularity"})
    assert list(behind_popularity(alone)) == []
