"""Two runs on the same users: paired tests, and runs of different data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from kg.errors import ConfigError, InvalidDataError
from recall.config.deployment import load_config
from recall.jobs.refresh import RefreshResult, refresh
from recall.quality.stage.compare import compare_runs, paired
from recall.quality.stage.evaluate import evaluate_run
from recall.runs.layout import RunLayout


@pytest.fixture(scope="module")
def others(make_deployment: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunLayout]:
    """Runs of the same sources with other channels, of more sources, and of other people and items."""
    folder = tmp_path_factory.mktemp("others")
    runs = {}
    for name, config in {
        "same": make_deployment(folder / "same"),
        "more": make_deployment(folder / "more", users=20, movies=30),
        "strangers": make_deployment(folder / "strangers"),
    }.items():
        text = config.read_text().replace('channels = ["lightgcn"]', 'channels = ["item_knn"]')
        config.write_text(text)
        if name == "strangers":
            ratings = config.parent / "ratings.csv"
            ratings.write_text(ratings.read_text().replace("\nu", "\nx"))
        result = refresh(load_config(config))
        assert result.run is not None
        runs[name] = result.run
    return runs


def test_the_differences_are_those_of_the_two_evaluations(
    refreshed: RefreshResult, others: dict[str, RunLayout]
) -> None:
    comparison = compare_runs(refreshed.run, others["same"], ks=[5])
    assert comparison.runs == (refreshed.run.name, others["same"].name)
    assert comparison.notes == ()
    means = []
    for run in (refreshed.run, others["same"]):
        report = evaluate_run(run, ks=[5], baselines=False, sample_users=0)
        row = next(row for row in report.metrics if row.ranker == report.serves and row.group == "warm users")
        assert row.users == comparison.users
        means.append(row.metrics)
    for each in comparison.differences:
        if each.group == "users in common":
            assert each.first == pytest.approx(means[0][each.metric])
            assert each.second == pytest.approx(means[1][each.metric])
            assert each.difference == pytest.approx(each.second - each.first)
            assert each.interval[0] <= each.difference <= each.interval[1]
            assert each.better + each.worse <= each.users


def test_the_other_way_round_changes_signs(refreshed: RefreshResult, others: dict[str, RunLayout]) -> None:
    there = compare_runs(refreshed.run, others["same"], ks=[5])
    back = compare_runs(others["same"], refreshed.run, ks=[5])
    for one, other in zip(there.differences, back.differences, strict=True):
        assert one.difference == pytest.approx(-other.difference)
        assert one.p == pytest.approx(other.p)
        assert (one.better, one.worse) == (other.worse, other.better)


def test_p_and_interval_are_those_of_scipy_and_agree() -> None:
    random = np.random.default_rng(1)
    before = random.random(200)
    for shift in (0.0, 0.02, 0.2):
        now = before + random.normal(shift, 0.3, 200)
        row = paired(before, now, group="all", metric="recall@5")
        test = ttest_rel(now, before)
        assert row.p == pytest.approx(test.pvalue)
        assert (row.p < 0.05) == (row.interval[0] > 0 or row.interval[1] < 0)


def test_equal_runs_have_no_difference() -> None:
    values = np.array([0.0, 0.5, 1.0])
    row = paired(values, values, group="all", metric="recall@5")
    assert (row.difference, row.p, row.interval) == (0.0, 1.0, (0.0, 0.0))


def test_runs_of_different_graphs_are_compared_on_what_is_common(
    refreshed: RefreshResult, others: dict[str, RunLayout]
) -> None:
    comparison = compare_runs(refreshed.run, others["more"], ks=[5])
    text = " ".join(comparison.notes)
    assert "16 users are in both, of 16 in the first and 20 in the second" in text
    assert "24 items are in both, of 24 in the first and 30 in the second" in text
    assert "the splits differ" in text
    assert 2 <= comparison.users <= 16
    assert comparison.items == 24


def test_runs_without_common_users_are_refused(refreshed: RefreshResult, others: dict[str, RunLayout]) -> None:
    with pytest.raises(InvalidDataError, match=r"0 users have training in both.*0 users \(of 16 and 16\)"):
        compare_runs(refreshed.run, others["strangers"])


def test_a_run_is_not_compared_with_itself_and_k_has_bounds(
    refreshed: RefreshResult, others: dict[str, RunLayout]
) -> None:
    with pytest.raises(InvalidDataError, match="with itself"):
        compare_runs(refreshed.run, refreshed.run)
    with pytest.raises(ConfigError, match="k = 0 must be at least 1"):
        compare_runs(refreshed.run, others["same"], ks=[0])


def test_the_command_prints_a_table_and_json(
    refreshed: RefreshResult, others: dict[str, RunLayout], command: Callable[..., Any], tmp_path: Path
) -> None:
    code, out, err = command("compare", refreshed.run.path, others["more"].path, "-k", "5", "-k", "1000")
    assert code == 0, err
    assert "paired t-test" in out
    assert "the graphs differ" in out
    assert max(len(line.rstrip()) for line in out.splitlines() if "@5" in line) <= 80
    code, out, _ = command("compare", refreshed.run.path, others["same"].path, "--json")
    data = json.loads(out)
    assert data["k"] == [5, 10]
    assert {each["group"] for each in data["differences"]} >= {"users in common"}
    code, _, err = command("compare", refreshed.run.path, tmp_path / "nowhere")
    assert code == 1
    damaged = tmp_path / "damaged"
    shutil.copytree(others["same"].path, damaged)
    with (damaged / "split.parquet").open("ab") as stream:
        stream.write(b"x")
    code, _, err = command("compare", refreshed.run.path, damaged)
    assert code == 1
    assert "split.parquet" in err
