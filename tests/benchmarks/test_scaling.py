"""Generated data, what is noted of a refresh, and sizes that a process may not finish."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from benchmarks import scaling
from benchmarks.generated import RELATIONS, power_law_pairs, power_law_triples
from kg.io.files import read_json
from recall.jobs.runner import Stages


def test_pairs_are_distinct_and_few_users_and_items_have_most() -> None:
    user, item = power_law_pairs(5000, 400, 100)
    pairs = list(zip(user.tolist(), item.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs) == 5000
    assert pairs == sorted(pairs)
    assert (user.min() >= 0, user.max() < 400, item.min() >= 0, item.max() < 100) == (True,) * 4
    for ends, count in ((user, 400), (item, 100)):
        likes = np.sort(np.bincount(ends, minlength=count))[::-1]
        assert likes[: count // 4].sum() > 0.35 * 5000


def test_triples_have_a_hub_and_no_repeats() -> None:
    triples = power_law_triples(9000, 1000)
    assert set(triples) == set(RELATIONS)
    for item, entity in triples.values():
        assert len(set(zip(item.tolist(), entity.tolist(), strict=True))) == len(item)
        assert np.bincount(entity).argmax() == 0
        assert (entity == 0).sum() > 200


def test_the_stopwatch_notes_stages_and_tasks_as_they_end(tmp_path) -> None:
    watch = scaling.Stopwatch(tmp_path / "measured.json")
    log = logging.getLogger("recall.jobs.runner")
    log.addHandler(watch)
    log.setLevel(logging.INFO)
    stages = Stages(tmp_path / "staging")
    try:
        with watch.task("reading rows"):
            pass
        stages.do("build", None, lambda: {"rows": 3})
        with watch.task("training lightgcn for evaluation") as task:
            for _ in range(4):
                task.advance()
        stages.do("train lightgcn for evaluation", None, dict)
        assert stages.do("build", None, dict) == {"rows": 3}  # done before: no new entry
    finally:
        log.removeHandler(watch)
        log.setLevel(logging.NOTSET)
    measured = read_json(tmp_path / "measured.json")
    assert list(measured["stages"]) == ["build", "train lightgcn for evaluation"]
    row = scaling.summary(measured)
    assert {"read_seconds", "map_seconds", "lightgcn_seconds", "step_seconds", "peak_gib"} <= set(row)
    assert "evaluate_seconds" not in row
    assert row["peak_gib"] > 0


@pytest.mark.slow
def test_a_refresh_is_measured_to_its_end_or_says_where_it_was_ended() -> None:
    row = scaling.run(3000, 3000, memory=8, minutes=5)
    assert row["ended"] == "published"
    parts = ("read", "map", "lightgcn", "walk", "weigh", "evaluate", "index", "publish")
    assert all(row[f"{part}_seconds"] >= 0 for part in parts)
    assert row["processor_seconds"] == pytest.approx(sum(s["seconds"] for s in row["stages"].values()), abs=1)
    short = scaling.run(3000, 3000, memory=8, minutes=0.02)
    assert "SIGXCPU" in short["ended"]
    assert short["in"]
    assert "publish_seconds" not in short
