"""Runs of one deployment beside each other: the same, changed, refused, damaged, and of another graph."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kg.errors import ArtifactError
from kg.io.files import write_manifest
from recall.config.deployment import load_config
from recall.jobs.refresh import RefreshResult, refresh
from recall.quality.monitor.metrics import exposition
from recall.quality.monitor.monitor import compared, exceeded_limits, monitor_runs
from recall.quality.monitor.report import RunState
from recall.quality.monitor.sample import RunSample
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.runs.report import Report
from tests.recall.conftest import ONE_CHANNEL
from tests.recall.quality.monitor.making import graph_of

LENIENT = "metric_loss = 1\ncoverage_loss = 1\ntop_changed = 1\ngone = 1\nmore = 1000\n"
LATER = "20991231T000000000Z-00000000"  # a name after all runs


@pytest.fixture(scope="module")
def runs(make_deployment: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, one with other users who like few movies, and the same once more, refused; none of them trains."""
    config = make_deployment(tmp_path_factory.mktemp("drift"))
    text = config.read_text().replace(ONE_CHANNEL, 'channels = ["item_knn"]')
    start, end = text.index("[channels.lightgcn]"), text.index("[evaluation]")
    config.write_text(text[:start] + text[end:] + "[gate.full]\n" + LENIENT)
    assert refresh(load_config(config)).status == "published"
    ratings = config.with_name("ratings.csv")
    new = [f"v{user},m{movie},5.0,{2_000_000 + user}" for user in range(32) for movie in (user % 4, 4 + user % 3)]
    ratings.write_text(ratings.read_text() + "\n".join(new) + "\n")
    changed = refresh(load_config(config), full=True).run
    assert changed is not None
    folder = RunsFolder(config.parent / "runs")
    assert folder.current() == changed
    reasons = ("recall@5 is less",)
    refused = RunLayout(shutil.copytree(changed.path, folder.rejected_root / LATER))
    report = Report.load(refused)
    assert report.gate is not None
    report.changed(gate=report.gate.model_copy(update={"passed": False, "reasons": reasons})).save(refused)
    facts = {
        key: value for key, value in refused.manifest().items() if key not in ("format_version", "files", "digest")
    }
    write_manifest(refused.path, {**facts, "rejected": list(reasons)})
    return folder.path


def copied(runs: Path, folder: Path) -> Path:
    return shutil.copytree(runs, folder / "runs", symlinks=True)


def test_each_run_stands_beside_the_published_one_before_it(runs: Path) -> None:
    report = monitor_runs(runs, k=5)
    first, changed, refused = report.runs
    assert report.there == 3
    assert report.current == changed.run
    assert report.age_seconds is not None
    assert report.age_seconds >= 0
    assert [state.current for state in report.runs] == [False, True, False]
    assert [state.compared_with for state in report.runs] == [None, first.run, changed.run]
    assert (refused.rejected, refused.gate_passed) == (True, False)
    assert refused.gate_reasons == ("recall@5 is less",)
    assert {"recall@5", "ndcg@5"} <= set(changed.headline)


def test_what_went_in(runs: Path) -> None:
    first, changed, refused = (state.input for state in monitor_runs(runs, sample_users=0).runs)
    assert (first.users, first.items, first.new_users) == (16, 24, None)
    assert (changed.users, changed.items) == (48, 24)
    assert changed.new_users == pytest.approx(32 / 48, abs=1e-4)
    assert (changed.new_items, changed.gone_users, changed.gone_items) == (0, 0, 0)
    assert changed.interactions == first.interactions + 64
    assert (refused.new_users, refused.edges) == (0, changed.edges)


def test_what_comes_out(runs: Path) -> None:
    first, changed, refused = monitor_runs(runs, k=5).runs
    assert first.candidates is not None
    assert changed.candidates is not None
    assert refused.candidates is not None
    assert (first.candidates.users, first.candidates.candidates) == (16, 80)
    assert (changed.candidates.users, changed.candidates.drawn_from) == (48, None)
    assert (first.candidates.kept, refused.candidates.kept) == (None, 1)  # the same inputs give the same lists
    assert changed.candidates.kept is not None
    assert changed.candidates.kept < 1
    assert 0 < changed.candidates.coverage <= 1
    assert changed.candidates.channels == {"item_knn": 1}
    assert {each.index for each in refused.stability} == {0}
    activity = next(each for each in changed.stability if each.name == "likes of a user")
    assert activity.index > 0.25
    assert "2 to 3" in {moved.label for moved in activity.moved}
    largest = changed.largest("candidates")
    assert largest is not None
    assert largest.index > 0
    assert {each.name for each in changed.stability if each.part == "candidates"} >= {
        "popularity",
        "director",
        "channels",
    }


def test_a_sample_asks_the_same_users_of_every_run(runs: Path) -> None:
    twice = [monitor_runs(runs, sample_users=10, k=5) for _ in range(2)]
    assert twice[0].runs == twice[1].runs
    lists = twice[0].runs[2].candidates
    assert lists is not None
    assert (lists.users, lists.drawn_from, lists.kept) == (10, 48, 1)


def test_the_run_that_serves_is_shown_though_it_is_older(runs: Path, tmp_path: Path) -> None:
    folder = RunsFolder(copied(runs, tmp_path))
    assert [state.run for state in monitor_runs(folder.path, last=1, sample_users=0).runs] == [
        folder.runs()[1].name,
        folder.rejected()[0].name,
    ]
    folder.serve(folder.runs()[0])
    shown = monitor_runs(folder.path, last=1, sample_users=0)
    assert [state.current for state in shown.runs] == [True, False]
    assert shown.runs[0].compared_with is None


def test_one_run_has_nothing_to_be_compared_with(refreshed: RefreshResult) -> None:
    assert refreshed.run is not None
    (state,) = monitor_runs(refreshed.run.path.parent, k=3).runs
    assert (state.compared_with, state.stability, state.problem) == (None, (), None)
    assert state.candidates is not None


@pytest.mark.parametrize("file", ["MANIFEST.json", "report.json", "graph", "channels"])
def test_a_damaged_run_is_named_and_the_next_one_stands_beside_the_one_before(
    runs: Path, tmp_path: Path, file: str
) -> None:
    folder = RunsFolder(copied(runs, tmp_path))
    damaged = folder.runs()[1].path / file
    target = damaged if damaged.is_file() else min(damaged.rglob("*.*"))
    target.write_bytes(target.read_bytes()[:-3])
    first, broken, refused = monitor_runs(folder.path, k=5).runs
    assert broken.problem is not None
    assert broken.run in broken.problem
    assert (broken.stability, refused.compared_with) == ((), first.run)
    assert list(exceeded_limits(monitor_runs(folder.path, k=5), max_psi=0.2, max_age=None)) == [
        f"{broken.run}, which serves, cannot be read"
    ]


def sample_of(genres: int, *, item: str = "item", prefix: str = "i") -> RunSample:
    """Eight items, of which the first ones have a genre; each was liked once."""
    items = {"id": [f"{prefix}{number}" for number in range(8)]}
    graph = graph_of(items, [(name, "drama") for name in items["id"][:genres]], ["drama"], item=item)
    return RunSample(graph=graph, likes=np.ones(8, np.int64), likes_of_users=np.array([8]), lists=None)


def test_a_run_of_another_graph_is_not_compared() -> None:
    """Items of another type, and items of which none was there before."""
    first, second = (RunState(run=run, current=False, rejected=False) for run in ("first", "second"))
    same = compared(second, sample_of(8), first, sample_of(4))
    assert (same.note, same.compared_with, same.input.new_items) == (None, "first", 0)
    assert {each.name for each in same.stability} == {"genre", "likes of a user"}
    books = compared(second, sample_of(8, item="book"), first, sample_of(8))
    assert "its users and items are user and book, those of first were user and item" in (books.note or "")
    others = compared(second, sample_of(8, prefix="j"), first, sample_of(8))
    assert "none of its items were in first" in (others.note or "")
    assert (others.input.new_items, others.input.gone_items, others.input.new_users) == (1, 1, 0)
    assert books.stability == others.stability == ()


def test_limits(runs: Path) -> None:
    report = monitor_runs(runs, k=5)
    assert list(exceeded_limits(report, max_psi=None, max_age=None)) == []
    assert list(exceeded_limits(report, max_psi=50.0, max_age=1e9)) == []
    texts = list(exceeded_limits(report, max_psi=0.25, max_age=0.0))
    assert any("s old, 0 s allowed" in text for text in texts)
    assert any("likes of a user" in text for text in texts)
    nothing = report.model_copy(update={"runs": (), "current": None})
    assert list(exceeded_limits(nothing, max_psi=None, max_age=1.0)) == ["no run serves"]


def test_the_drift_of_the_run_that_serves_as_metrics(runs: Path) -> None:
    report = monitor_runs(runs, k=5)
    changed = report.runs[1]
    families = {family.name: family for family in text_string_to_metric_families(exposition(report, runs))}
    index = families["graphrecall_drift_index"].samples
    assert {(sample.labels["part"], sample.labels["name"]): sample.value for sample in index} == {
        (each.part, each.name): each.index for each in changed.stability
    }
    assert {sample.labels["runs"] for sample in index} == {str(runs.resolve())}
    (new_users,) = families["graphrecall_drift_new_users_ratio"].samples
    assert new_users.value == changed.input.new_users
    broken = report.model_copy(update={"runs": (changed.model_copy(update={"problem": "damaged"}),)})
    assert exposition(broken, runs) == ""


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no runs folder"):
        monitor_runs(tmp_path / "runs")
    (tmp_path / "runs").mkdir()
    with pytest.raises(ArtifactError, match="run `graphrecall refresh"):
        monitor_runs(tmp_path / "runs")


def test_a_run_that_goes_while_it_is_read_is_a_problem_of_its_own(runs: Path, tmp_path: Path, monkeypatch) -> None:
    folder = RunsFolder(copied(runs, tmp_path))
    summaries = folder.summaries()
    shutil.rmtree(folder.runs()[0].path)
    monkeypatch.setattr(RunsFolder, "summaries", lambda self: summaries)
    first, changed, _ = monitor_runs(folder.path, sample_users=0).runs
    assert first.problem is not None
    assert (changed.problem, changed.compared_with) == (None, None)
    assert RunLayout(folder.path / changed.run).name == changed.run
