"""Runs that are read: never removed under a reader, loaded again without a gap, watched."""

from __future__ import annotations

import errno
import fcntl
import gc
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kg.errors import ArtifactError, ConfigError
from kg.io.files import MANIFEST, write_manifest
from recall.jobs.refresh import RefreshResult
from recall.runs.hold import RunHold, without_readers
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.serve.recommender import Recommender
from recall.serve.watch import RunWatch

READER = """
import sys
from recall.serve.recommender import Recommender
rec = Recommender.load(sys.argv[1])
print(rec.run.name, flush=True)
sys.stdin.read()
"""


def publish(runs: RunsFolder, source: RunLayout, fingerprint: str) -> RunLayout:
    """Another run with the content of one."""
    staged = runs.staging(fingerprint) / "run"
    shutil.copytree(source.path, staged)
    (staged / MANIFEST).unlink()
    facts = {"fingerprint": fingerprint, "created": "2026-01-01T00:00:00+00:00", "metrics": {"recall@5": 0.5}}
    write_manifest(staged, facts)
    return runs.publish(staged, fingerprint=fingerprint)


@pytest.fixture
def runs(tmp_path: Path, refreshed: RefreshResult) -> RunsFolder:
    """A folder with one run."""
    made = RunsFolder(tmp_path / "runs")
    publish(made, refreshed.run, "a" * 16)
    return made


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def test_a_run_that_is_read_is_not_removed_and_goes_when_nobody_reads_it(
    runs: RunsFolder, refreshed: RefreshResult
) -> None:
    rec = Recommender.load(runs.link)
    again = Recommender.load(runs.link)
    first = runs.current()
    assert first is not None
    assert rec.run == first
    second = publish(runs, refreshed.run, "b" * 16)
    assert runs.prune(keep=1) == []
    assert rec.cypher("MATCH (m:Movie) RETURN count(m) AS n") == [{"n": 24}], "opened late, and still there"
    rec.close()
    del rec
    gc.collect()
    assert runs.prune(keep=1) == [], "the other one still reads it"
    del again
    gc.collect()
    assert runs.prune(keep=1) == [first]
    assert runs.runs() == [second]


def test_a_run_that_is_removed_between_opening_and_locking_is_not_held(
    runs: RunsFolder, refreshed: RefreshResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs.current()
    assert run is not None
    lock, moved = fcntl.flock, runs.path / ".moved"

    def renamed_meanwhile(descriptor: int, operation: int) -> None:
        if operation & fcntl.LOCK_SH and not moved.exists():
            run.path.rename(moved)
            shutil.copytree(refreshed.run.path, run.path)  # another run has the name by now
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", renamed_meanwhile)
    with pytest.raises(ArtifactError, match="is being removed"):
        RunHold(run.path / MANIFEST)
    monkeypatch.undo()
    RunHold(run.path / MANIFEST).release()


def test_a_run_is_opened_although_the_link_is_switched_and_the_old_one_removed_meanwhile(
    runs: RunsFolder, refreshed: RefreshResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = runs.current()
    assert first is not None
    look = RunLayout._opened.__func__  # type: ignore[attr-defined]
    looks: list[Path] = []

    def removed_meanwhile(cls: type[RunLayout], given: Path) -> RunLayout:
        looks.append(given)
        if len(looks) > 1:
            return look(cls, given)
        shutil.rmtree(first.path)
        try:
            return look(cls, given)
        finally:
            second.append(publish(runs, refreshed.run, "b" * 16))

    second: list[RunLayout] = []
    monkeypatch.setattr(RunLayout, "_opened", classmethod(removed_meanwhile))
    assert RunLayout.open(runs.link) == second[0]
    assert len(looks) == 2
    shutil.rmtree(second[0].path)
    with pytest.raises(ArtifactError, match="a link whose run is gone"):
        RunLayout.open(runs.link)


def test_a_reader_in_another_process_counts_until_it_is_killed(runs: RunsFolder, refreshed: RefreshResult) -> None:
    first = runs.current()
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(runs.link)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert first is not None
        assert reader.stdout.readline().strip() == first.name
        publish(runs, refreshed.run, "b" * 16)
        assert runs.prune(keep=1) == []
        reader.send_signal(signal.SIGKILL)
        reader.wait()
    assert runs.prune(keep=1) == [first]


def test_a_rejected_run_that_is_read_is_not_removed_either(runs: RunsFolder, refreshed: RefreshResult) -> None:
    made = []
    for name in ("b" * 16, "c" * 16):
        staged = runs.staging(name) / "run"
        shutil.copytree(refreshed.run.path, staged)
        made.append(runs.reject(staged, fingerprint=name))
    hold = made[0].hold()
    assert runs.prune(keep=1, rejected=1) == []
    hold.release()
    hold.release()
    assert runs.prune(keep=1, rejected=1) == [made[0]]
    assert runs.rejected() == [made[1]]


def test_whoever_loads_while_the_run_is_removed_gets_the_next_one(
    runs: RunsFolder, refreshed: RefreshResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = runs.current()
    hold = RunLayout.hold
    looked: list[RunLayout] = []

    def late(self: RunLayout) -> RunHold:
        looked.append(self)
        if len(looked) == 1:
            publish(runs, refreshed.run, "b" * 16)
            assert runs.prune(keep=1) == [old]
        return hold(self)

    monkeypatch.setattr(RunLayout, "hold", late)
    rec = Recommender.load(runs.link)
    assert looked[0] == old
    assert rec.run == runs.current() == looked[-1]
    assert rec.recommend(["u1"], k=3).table.num_rows == 3


def test_the_lock_of_a_run_that_was_renamed_meanwhile_is_refused(runs: RunsFolder) -> None:
    run = runs.current()
    assert run is not None
    with without_readers(run.path / MANIFEST) as alone:
        assert alone
        with pytest.raises(ArtifactError, match="is being removed"):
            run.hold()
    run.path.rename(run.path.with_name("elsewhere"))
    with pytest.raises(ArtifactError, match="is being removed"):
        run.hold()


def test_without_locks_of_the_file_system_runs_are_read_and_removed_as_ever(
    runs: RunsFolder, refreshed: RefreshResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    rec = Recommender.load(runs.link)
    second = publish(runs, refreshed.run, "b" * 16)
    assert runs.prune(keep=1) == [rec.run]
    assert runs.runs() == [second]
    assert rec.recommend(["u1"], k=3).table.num_rows == 3


def test_descriptors_do_not_pile_up(runs: RunsFolder) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 a Path would be one more

    Recommender.load(runs.link)
    gc.collect()
    before = open_files()
    for _ in range(3):
        Recommender.load(runs.link)
    gc.collect()
    assert open_files() <= before


def test_reload_gives_the_run_that_serves_and_leaves_the_old_one_as_it_was(
    runs: RunsFolder, refreshed: RefreshResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rec = Recommender.load("runs/current")
    monkeypatch.chdir("/")
    assert rec.reload() is rec
    answer = rec.recommend(["u1", "u2"], k=5)
    second = publish(runs, refreshed.run, "b" * 16)
    new = rec.reload()
    assert new is not rec
    assert new.run == second
    assert rec.run != second
    assert new.reload() is new
    assert rec.recommend(["u1", "u2"], k=5).table.equals(answer.table)
    by_name = Recommender.load(rec.run.path)  # type: ignore[union-attr]
    assert by_name.reload() is by_name, "it was asked for this run, not for the one that serves"
    flip(second.report)
    with pytest.raises(ArtifactError, match="damaged"):
        rec.reload()
    made = Recommender(rec.graph, rec.pipeline)
    assert made.run is None
    with pytest.raises(ConfigError, match="made in memory"):
        made.reload()


def test_a_watch_serves_the_newest_run_that_can_be_loaded(
    runs: RunsFolder, refreshed: RefreshResult, caplog: pytest.LogCaptureFixture
) -> None:
    first = runs.current()
    with caplog.at_level(logging.INFO, "recall.serve.watch"), RunWatch(runs.link, every=0.01) as watch:
        assert watch.recommender.run == first
        second = publish(runs, refreshed.run, "b" * 16)
        wait_for(lambda: watch.recommender.run == second)
        staged = runs.staging("c" * 16) / "run"
        shutil.copytree(refreshed.run.path, staged)
        flip(staged / "report.json")
        bad = runs.publish(staged, fingerprint="c" * 16)
        wait_for(lambda: any(record.levelname == "WARNING" for record in caplog.records))
        assert watch.recommender.run == second
        assert watch.recommender.recommend(["u1"], k=3).table.num_rows == 3
        time.sleep(0.2)
        (warning,) = (record for record in caplog.records if record.levelname == "WARNING")
        assert bad.name in warning.getMessage()
        assert "report.json is damaged" in warning.getMessage()
        flip(bad.report)  # what lacked may come back: it is tried again
        wait_for(lambda: watch.recommender.run == bad)
        runs.link.unlink()
        time.sleep(0.05)
        assert watch.recommender.run == bad
        runs.serve(second)
        wait_for(lambda: watch.recommender.run == second)
    runs.serve(bad)
    time.sleep(0.05)
    assert watch.recommender.run == second, "it was closed"
    with pytest.raises(ConfigError, match="every = 0 must be a positive"):
        RunWatch(runs.link, every=0)
    with pytest.raises(ArtifactError, match="there is no run"):
        RunWatch(runs.path / "nothing")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_watches_for_itself(runs: RunsFolder, refreshed: RefreshResult) -> None:
    first = runs.current()
    context = multiprocessing.get_context("fork")
    theirs, ours = context.Pipe()
    with RunWatch(runs.link, every=0.05) as watch:

        def serve() -> None:
            theirs.send(None if watch.recommender.run is None else watch.recommender.run.name)
            name = theirs.recv()
            wait_for(lambda: watch.recommender.run is not None and watch.recommender.run.name == name)
            theirs.send(watch.recommender.recommend(["u1"], k=3).table.num_rows)
            watch.close()

        child = context.Process(target=serve)
        child.start()
    assert first is not None
    assert ours.poll(60)
    assert ours.recv() == first.name
    ours.send(publish(runs, refreshed.run, "b" * 16).name)
    assert ours.poll(70), "it serves the run that was there when it was forked"
    assert ours.recv() == 3
    child.join(60)
    assert child.exitcode == 0
