"""What a refresh leaves behind however it ends: a summary, a log, numbers for Prometheus."""

from __future__ import annotations

import html
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from recall.config.deployment import load_config
from recall.jobs.inputs import Inputs
from recall.jobs.privacy import Privacy
from recall.ops.summary import SummaryLog
from recall.runs.registry import RunsFolder

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(make_deployment: Callable[[Path], Path], tmp_path: Path) -> Path:
    made = make_deployment(tmp_path / "deployment")
    made.write_text(made.read_text() + '[watch]\nprometheus = "metrics/movies.prom"\n')
    return made


def statuses(config: Path) -> list[str]:
    return [line["status"] for line in SummaryLog(config.parent / "runs").read()]


def sample(config: Path, name: str, **labels: str) -> float:
    text = (config.parent / "metrics" / "movies.prom").read_text()
    (value,) = (
        one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.name == f"graphrecall_{name}" and labels.items() <= one.labels.items()
    )
    return value


def test_every_outcome_is_told(command: Command, config: Path) -> None:
    ratings = config.parent / "ratings.csv"
    whole = ratings.read_text()
    ratings.unlink()
    assert command("refresh", config)[0] == 1
    assert sample(config, "refresh_failures_in_a_row") == 1
    ratings.write_text(whole)
    assert command("refresh", config)[0] == 0
    assert sample(config, "refresh_failures_in_a_row") == 0
    run = RunsFolder(config.parent / "runs").current()
    assert run is not None
    assert sample(config, "run_info", run=run.name) == 1
    assert command("refresh", config)[0] == 0
    with RunsFolder(config.parent / "runs").lock():
        assert command("refresh", config)[0] == 75
    ratings.write_text("userId,movieId\n")
    assert command("refresh", config)[0] == 1
    assert statuses(config) == ["failed", "published", "unchanged", "locked", "failed"]
    last = SummaryLog(config.parent / "runs").read()[-1]
    assert "rating" in last["error"]
    assert last["run"] == run.name  # the old one serves on, and its numbers stay in the file
    assert sample(config, "run_interactions") == 16 * 12
    assert sample(config, "refreshes_total", status="failed") == 2
    assert sample(config, "refresh_last_status", status="failed") == 1


def test_a_run_that_the_gate_refused_is_told_and_has_its_page(command: Command, config: Path) -> None:
    config.write_text(config.read_text() + "[gate.first]\nminimum = {ndcg = 0.999}\n")
    code, out, err = command("refresh", config)
    assert code == 4, err
    assert "graphrecall accept" in out
    (line,) = SummaryLog(config.parent / "runs").read()
    assert (line["status"], line["exit_code"], line["run"]) == ("rejected", 4, None)
    assert "ndcg" in line["reasons"][0]
    assert sample(config, "refresh_last_status", status="rejected") == 1
    page = (config.parent / "runs" / ".rejected" / line["rejected"] / "report.html").read_text()
    assert line["reasons"][0] in html.unescape(page)


def test_a_log_is_json_to_the_last_line_also_of_a_failure(command: Command, config: Path) -> None:
    code, out, err = command("refresh", config, "--log")
    assert (code, out) == (0, "")
    lines = [json.loads(line) for line in err.splitlines()]
    begun = [line["task"] for line in lines if line.get("event") == "task begun"]
    assert sorted(begun) == sorted(line["task"] for line in lines if line.get("event") == "task done")
    assert "training lightgcn for serving" in begun
    assert (lines[-1]["event"], lines[-1]["status"]) == ("refresh", "published")
    (config.parent / "ratings.csv").unlink()
    code, out, err = command("refresh", config, "--log")
    assert (code, out) == (1, "")
    last = [json.loads(line) for line in err.splitlines()][-1]
    assert (last["level"], last["status"]) == ("error", "failed")
    assert "ratings.csv" in last["error"]
    assert "traceback" not in last


@pytest.mark.parametrize("ignored", [False, True])
def test_a_terminal_that_is_closed_stops_it_with_a_summary_unless_that_is_ignored(
    command: Command, config: Path, monkeypatch: pytest.MonkeyPatch, ignored: bool
) -> None:
    def closed(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        raise ZeroDivisionError

    monkeypatch.setattr(Inputs, "of", closed)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        code, _, _ = command("refresh", config, "--log")
        assert signal.getsignal(signal.SIGHUP) == (signal.SIG_IGN if ignored else signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGHUP, before)
    (line,) = SummaryLog(config.parent / "runs").read()
    assert (code, line["status"], line["exit_code"]) == ((1, "failed", 1) if ignored else (129, "interrupted", 129))


def test_an_error_that_may_quote_somebody_forgotten_is_not_kept(command: Command, config: Path) -> None:
    ratings = config.parent / "ratings.csv"
    ratings.write_text(ratings.read_text() + "u1,m1,lives at 7 Elm Street,5\n" * 200)
    runs = config.parent / "runs"
    assert command("refresh", config)[0] == 1
    assert "Elm" in SummaryLog(runs).read()[-1]["error"]
    privacy = Privacy.open(runs).with_key()
    privacy.add(privacy.key.marks_of_ids(["u1"]))  # type: ignore[union-attr]
    code, _, err = command("refresh", config)
    assert (code, "Elm" in err) == (1, True), "who started it is told all the same"
    kept = SummaryLog(runs).read()[-1]["error"]
    assert "ratings.csv: 200 of" in kept
    assert "allows: unparsable cells: 200. Mend the source" in kept
    assert "Elm" not in "".join(path.read_text() for path in runs.glob(".refreshes*"))


def test_an_error_that_nobody_foresaw_brings_its_traceback(
    command: Command, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Inputs, "of", broken)
    code, _, err = command("refresh", config, "--log")
    last = [json.loads(line) for line in err.splitlines()][-1]
    assert (code, last["error"]) == (1, "ZeroDivisionError")
    assert "Traceback" in last["traceback"]


def test_a_summary_that_cannot_be_written_changes_no_outcome(command: Command, config: Path) -> None:
    (config.parent / "metrics").write_text("a file where a folder should be")
    code, _, err = command("refresh", config, "--log")
    lines = [json.loads(line) for line in err.splitlines()]
    assert code == 0
    assert lines[-1]["status"] == "published"
    assert [line["level"] for line in lines if "not kept" in line["message"]] == ["warning"]


def test_a_log_that_somebody_broke_is_gone_on_with(command: Command, config: Path) -> None:
    runs = config.parent / "runs"
    runs.mkdir()
    (runs / ".refreshes.jsonl").write_text('{"status": "published", "totals": [1], "metrics": 5}\n')
    code, _, err = command("refresh", config, "--log")
    assert code == 0
    assert not [line for line in map(json.loads, err.splitlines()) if line["level"] == "warning"]
    assert SummaryLog(runs).read()[-1]["totals"]["published"] == 1
    current = RunsFolder(runs).current()
    assert current is not None
    assert (current.path / "report.html").is_file()


def test_where_it_is_watched_from_makes_no_other_run(config: Path) -> None:
    before = Inputs.of(load_config(config), config.parent / "staging")
    config.write_text(config.read_text().replace("movies.prom", "films.prom") + "history = 3\n")
    assert Inputs.of(load_config(config), config.parent / "staging").fingerprint == before.fingerprint
