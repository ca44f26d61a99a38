"""Refreshing again and again: no overlap, missed starts folded into one, a graceful stop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from kg.errors import ConfigError
from recall.jobs.refresh import RefreshResult
from recall.jobs.schedule import Schedule, parse_interval
from recall.ops.summary import SummaryLog

# Notes its beginning, waits while the file `hold` is there, notes its end; SIGTERM is noted, and heeded unless told.
# It hears of SIGTERM only while it waits, or a note of it could come before the beginning, or after the end.
COMMAND = """
import os, pathlib, signal, sys, time
folder, heed = pathlib.Path(sys.argv[1]), sys.argv[2] == "heed"
def note(text):
    with (folder / "notes").open("a") as stream:
        stream.write(text + "\\n")
def stop(*_):
    note("stopped")
    if heed:
        sys.exit(143)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
signal.signal(signal.SIGTERM, stop)
note("begun")
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
while (folder / "hold").exists():
    time.sleep(0.01)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
note("ended")
"""


def until(condition: Callable[[], object]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to be")


def notes(folder: Path) -> list[str]:
    file = folder / "notes"
    return file.read_text().split() if file.exists() else []


@contextmanager
def running(folder: Path, every: timedelta, *, heed: str = "heed", patience: float = 20.0) -> Iterator[Schedule]:
    schedule = Schedule([sys.executable, "-S", "-c", COMMAND, str(folder), heed], every, patience=patience)
    thread = threading.Thread(target=schedule.run)
    thread.start()
    try:
        yield schedule
    finally:
        schedule.stop()
        thread.join()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("6h", 21_600), ("1d", 86_400), ("1h30m", 5400), (" 1H 30M ", 5400), ("1w", 604_800)],
)
def test_an_interval_is_read(text: str, seconds: int) -> None:
    assert parse_interval(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "6", "h", "6 hours", "-6h", "1.5h", "6h!", "0s", "400d", "9" * 400 + "d", "six"])
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"length of time|at least 1s"):
        parse_interval(text)


def test_the_first_start_is_at_once_and_others_follow(tmp_path: Path) -> None:
    with running(tmp_path, timedelta(seconds=0.05)):
        until(lambda: notes(tmp_path).count("ended") >= 4)
    marks = notes(tmp_path)
    # Never two at a time: whatever begins, ends or is stopped before the next one begins.
    assert marks[::2] == ["begun"] * len(marks[::2])
    assert set(marks[1::2]) <= {"ended", "stopped"}


def test_missed_starts_are_folded_into_one(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    with running(tmp_path, timedelta(hours=1)) as schedule:
        until(lambda: notes(tmp_path) == ["begun"])
        job = schedule._job
        assert job is not None
        for _ in range(4):
            job.modify(next_run_time=datetime.now(UTC))
            until(lambda: job.next_run_time > datetime.now(UTC) + timedelta(minutes=59))
        assert notes(tmp_path) == ["begun"]
        (tmp_path / "hold").unlink()
        until(lambda: len(notes(tmp_path)) == 4)
        time.sleep(0.5)
    assert notes(tmp_path) == ["begun", "ended", "begun", "ended"]


def test_a_clock_turned_back_does_not_stop_the_schedule(tmp_path: Path) -> None:
    with running(tmp_path, timedelta(seconds=0.1)) as schedule:
        until(lambda: notes(tmp_path).count("ended") >= 1)
        job = schedule._job
        assert job is not None
        # As seen from a clock that was set back by a day, the next start lies a day ahead.
        job.modify(next_run_time=datetime.now(UTC) + timedelta(days=1))
        before = len(notes(tmp_path))
        until(lambda: len(notes(tmp_path)) > before + 3)


def test_the_command_at_work_is_asked_to_stop_and_waited_for(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    with running(tmp_path, timedelta(hours=1)):
        until(lambda: notes(tmp_path) == ["begun"])
    assert notes(tmp_path) == ["begun", "stopped"]


def test_a_command_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    with running(tmp_path, timedelta(hours=1), heed="no", patience=3.0) as schedule:
        until(lambda: notes(tmp_path) == ["begun"])
    assert notes(tmp_path) == ["begun", "stopped"]
    assert schedule._child is not None
    assert schedule._child.returncode == -signal.SIGKILL


def test_a_deployment_is_refreshed_again_and_again_until_sigterm_stops_a_training(
    command: Callable[..., tuple[int, str, str]], deployment: Path, refreshed: RefreshResult, tmp_path: Path
) -> None:
    config = shutil.copytree(deployment.parent, tmp_path / "deployment", symlinks=True) / deployment.name
    whole, log = config.read_text(), SummaryLog(config.parent / "runs")
    before = len(log.read())
    program = [sys.executable, "-c", "from recall.cli.main import main; main()", "refresh", str(config)]
    with subprocess.Popen(
        [*program, "--every", "1s", "--log"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as schedule:
        assert schedule.stderr is not None
        lines, resident = [], 0
        for line in schedule.stderr:
            lines.append(json.loads(line))
            if lines[-1].get("status") == "unchanged":
                # The next one finds another configuration, and all of it, which trains for days.
                (tmp_path / "longer").write_text(whole.replace("max_steps = 6", "max_steps = 10000000"))
                (tmp_path / "longer").replace(config)
            if lines[-1].get("task") == "training lightgcn for evaluation":
                resident = psutil.Process(schedule.pid).memory_info().rss
                schedule.terminate()
                break
        lines += [json.loads(line) for line in schedule.stderr]
    assert schedule.returncode == 0
    assert resident < 200_000_000  # nothing heavy is loaded by the process that waits for months
    summaries = [line for line in log.read()[before:] if line["status"] != "unchanged"]
    assert [(line["status"], line["exit_code"]) for line in summaries] == [("interrupted", 128 + signal.SIGTERM)]
    assert [line["exit_code"] for line in lines if line.get("event") == "scheduled refresh ended"][-1] == 143
    assert not (config.parent / "runs" / ".refresh.json").exists()
    config.write_text(whole)
    assert command("refresh", config)[0] == 0


def test_a_wrong_schedule_is_told_before_anything_is_started(
    command: Callable[..., tuple[int, str, str]], deployment: Path, refreshed: RefreshResult, tmp_path: Path
) -> None:
    before = SummaryLog(refreshed.run.path.parent).read()
    assert command("refresh", deployment, "--every", "soon")[0] == 2
    assert command("refresh", deployment, "--every", "6h", "--show")[0] == 2
    assert command("refresh", deployment, "--every", "6h", "--exit-code")[0] == 2
    code, _, err = command("refresh", tmp_path / "nowhere.toml", "--every", "6h")
    assert (code, err) == (1, f"error: there is no config file {tmp_path / 'nowhere.toml'}\n")
    assert SummaryLog(refreshed.run.path.parent).read() == before


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apscheduler.executors.pool", None)
    with pytest.raises(ConfigError, match=r"pip install 'apscheduler>=3\.11,<4'"):
        Schedule(["true"], timedelta(hours=1)).run()
