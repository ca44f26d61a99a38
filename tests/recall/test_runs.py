"""Runs folders: publishing, damage, retention, locking."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kg.errors import ArtifactError, RefreshInProgressError
from kg.files import MANIFEST, write_manifest, write_text
from recall.runs import RUN_ID, RunFolder, RunsFolder, run_id


def publish(runs: RunsFolder, *, fingerprint: str = "0123456789abcdef", text: str = "hello") -> RunFolder:
    staged = runs.staging(fingerprint) / "run"
    write_text(staged / "graph" / "nodes.txt", text)
    write_manifest(staged, {"fingerprint": fingerprint, "created": "2026-01-01T00:00:00+00:00"})
    return runs.publish(staged, fingerprint=fingerprint)


def test_run_ids_sort_by_time() -> None:
    moments = [
        datetime(2026, 1, 31, 23, 59, 59, 999_000, UTC),
        datetime(2026, 2, 1, 0, 0, 0, 1_000, UTC),
        datetime(2026, 2, 1, 0, 0, 0, 2_000, UTC),
    ]
    names = [run_id("ffffffff0", now=moments[0]), run_id("000000000", now=moments[1]), run_id("a" * 64, now=moments[2])]
    assert names == sorted(names)
    assert names[0] == "20260131T235959999Z-ffffffff"
    assert all(RUN_ID.fullmatch(name) for name in names)


def test_publish_serves_the_new_run_and_leaves_the_old_one(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path / "runs")
    assert runs.current() is None
    first = publish(runs, text="one")
    assert runs.current() == first
    held = RunFolder.open(runs.link)
    second = publish(runs, text="two")
    assert runs.current() == second
    assert (held.graph / "nodes.txt").read_text() == "one"
    assert [run.name for run in runs.runs()] == sorted([first.name, second.name])
    assert not (runs.path / "current").readlink().is_absolute()


def test_a_clock_set_back_changes_no_order(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path)
    first = publish(runs, text="one")
    future = RunFolder(first.path.rename(tmp_path / "20991231T235959999Z-01234567"))
    runs.serve(future)
    made = [publish(runs, text=text) for text in ("two", "three", "four")]
    assert runs.runs() == [future, *made]
    assert made[0].name.startswith("21000101T000000000Z-")
    assert runs.prune(keep=2) == [future, made[0]]
    assert runs.current() == made[-1]


def test_what_a_killed_refresh_left_beside_the_runs_is_removed(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path / "runs")
    run = publish(runs)
    (runs.path / ".current.0123abcd.tmp").symlink_to(run.name)
    write_text(runs.path / ".refresh.json.0123abcd.tmp", "half")
    write_text(runs.path / "..staging.0123abcd.tmp" / "run" / "report.json", "half")
    shard = runs.cache / "text" / "model" / ".shard-1.safetensors.0123abcd.tmp"
    write_text(shard, "half")
    with runs.lock():
        assert shard.exists(), "a tuning may be writing it"
        assert len(list(runs.path.glob(".*.tmp"))) == 3, "a process that did not get the lock may be writing it"
        for path in (shard, *runs.path.glob(".*.tmp")):
            os.utime(path, (0, 0), follow_symlinks=False)
    with runs.lock():
        assert not shard.exists()
    assert {path.name for path in runs.path.iterdir()} == {run.name, "current", ".cache", ".staging", ".refresh.lock"}
    write_text(runs.staging("aaaa") / "run" / ".graph.0123abcd.tmp" / "half.parquet", "half")
    assert not list((runs.staging("aaaa") / "run").iterdir())


def test_prune_never_removes_the_serving_run(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path)
    made = [publish(runs, text=str(n)) for n in range(4)]
    runs.serve(made[0])
    removed = runs.prune(keep=1)
    assert removed == made[1:3]
    assert runs.runs() == [made[0], made[3]]
    assert runs.current() == made[0]
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("damage", ["flip", "remove", "add", "version", "manifest"])
def test_damage_is_found(tmp_path: Path, damage: str) -> None:
    run = publish(RunsFolder(tmp_path))
    run.verify()
    file = run.graph / "nodes.txt"
    manifest = run.path / MANIFEST
    if damage == "flip":
        data = bytearray(file.read_bytes())
        data[2] ^= 1
        file.write_bytes(data)
        expected = "nodes.txt is damaged"
    elif damage == "remove":
        file.unlink()
        expected = "nodes.txt missing"
    elif damage == "add":
        (run.path / "extra").write_text("")
        expected = "does not list: extra"
    elif damage == "version":
        manifest.unlink()
        write_manifest(run.path, {"format_version": 99})
        expected = "format version 99"
    else:
        data = json.loads(manifest.read_text())
        data["fingerprint"] = "other"
        manifest.write_text(json.dumps(data))
        expected = "its own digest"
    with pytest.raises(ArtifactError, match=expected):
        run.verify()
    (summary,) = RunsFolder(tmp_path).summaries(verify=True)
    assert summary.problem is not None
    assert expected.split()[-1] in summary.problem


def test_open_says_what_is_there(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path / "runs")
    with pytest.raises(ArtifactError, match="run `graphrecall refresh"):
        RunFolder.open(runs.link)
    run = publish(runs)
    with pytest.raises(ArtifactError, match=r"did you mean .*current"):
        RunFolder.open(runs.path)
    runs.serve(RunFolder(runs.path / "gone"))
    with pytest.raises(ArtifactError, match="a link whose run is gone"):
        RunFolder.open(runs.link)
    runs.serve(run)
    assert RunFolder.open(str(runs.link)) == run


def test_find_takes_the_newest_intact_run(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path)
    older = publish(runs, fingerprint="a" * 16)
    newer = publish(runs, fingerprint="a" * 16)
    publish(runs, fingerprint="b" * 16)
    assert runs.find("a" * 16) == [newer, older]
    (newer.graph / "nodes.txt").write_text("changed")
    assert runs.find("a" * 16) == [older]
    assert runs.find("c" * 16) == []


def test_staging_keeps_work_on_the_same_inputs_only(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path)
    write_text(runs.staging("aaaa") / "work", "half")
    assert (runs.staging("aaaa") / "work").read_text() == "half"
    runs.staging("bbbb")
    assert not (runs.staging_root / "aaaa").exists()
    write_text(runs.staging("bbbb") / "work", "half")
    assert not (runs.staging("bbbb", fresh=True) / "work").exists()


def test_one_refresh_at_a_time_and_a_killed_one_frees_the_folder(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path)
    code = (
        "import sys, time; from pathlib import Path; from recall.runs import RunsFolder\n"
        "with RunsFolder(Path(sys.argv[1])).lock():\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(RefreshInProgressError, match=rf"process {holder.pid}"), runs.lock():
                pass
        finally:
            holder.kill()
            holder.wait()
    with runs.lock():
        pass
