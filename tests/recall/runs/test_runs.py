"""Runs folders: publishing, damage, retention, locking."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kg.errors import ArtifactError, ConfigError, RefreshInProgressError
from kg.io.files import MANIFEST, write_manifest, write_text
from recall.runs.layout import RunLayout
from recall.runs.registry import RUN_ID, RunsFolder, run_id


def publish(runs: RunsFolder, *, fingerprint: str = "0123456789abcdef", text: str = "hello") -> RunLayout:
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
    held = RunLayout.open(runs.link)
    second = publish(runs, text="two")
    assert runs.current() == second
    assert (held.graph / "nodes.txt").read_text() == "one"
    assert [run.name for run in runs.runs()] == sorted([first.name, second.name])
    assert not (runs.path / "current").readlink().is_absolute()


def test_a_clock_set_back_changes_no_order(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path)
    first = publish(runs, text="one")
    future = RunLayout(first.path.rename(tmp_path / "20991231T235959999Z-01234567"))
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
        RunLayout.open(runs.link)
    run = publish(runs)
    with pytest.raises(ArtifactError, match=r"did you mean .*current"):
        RunLayout.open(runs.path)
    runs.serve(RunLayout(runs.path / "gone"))
    with pytest.raises(ArtifactError, match=r"a link whose run is gone\): graphrecall rollback .* lets the one before"):
        RunLayout.open(runs.link)
    runs.serve(run)
    assert RunLayout.open(str(runs.link)) == run


@pytest.mark.parametrize("name", ["99991231T235959999Z-01234567", "20269999T999999999Z-01234567"])
def test_a_stray_folder_with_an_impossible_name_stops_no_publishing(tmp_path: Path, name: str) -> None:
    runs = RunsFolder(tmp_path)
    (tmp_path / name).mkdir()
    made = [publish(runs, text=text) for text in ("one", "two")]
    assert [run for run in runs.runs() if run.name != name] == made
    assert runs.current() == made[1]


@pytest.mark.parametrize(
    "place",
    [
        ".staging",
        ".cache",
        ".cache/text",
        ".cache/text/model",
        ".staging/work/done",
        ".rejected",
        ".records",
        ".privacy",
        ".tune",
        ".neo4j-0123",
    ],
)
def test_a_link_in_the_place_of_a_folder_of_ours_is_told_before_any_work(tmp_path: Path, place: str) -> None:
    write_text(tmp_path / "other" / "photo.jpg", "dear")
    runs = RunsFolder(tmp_path / "runs")
    run = publish(runs)
    link = runs.path / place
    if link.is_dir():
        shutil.rmtree(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path / "other")
    message = f"{link} is a link to {tmp_path / 'other'}.*put a folder in its place"
    with pytest.raises(ConfigError, match=message), runs.lock():
        pytest.fail("there was work")
    assert (tmp_path / "other" / "photo.jpg").read_text() == "dear"
    assert runs.current() == run
    link.unlink()
    with runs.lock():
        pass


def test_a_link_that_comes_later_is_not_removed_through(tmp_path: Path) -> None:
    write_text(tmp_path / "other" / "work" / "photo.jpg", "dear")
    runs = RunsFolder(tmp_path / "runs")
    runs.path.mkdir()
    with runs.lock():
        runs.staging_root.symlink_to(tmp_path / "other")
        with pytest.raises(ArtifactError, match="is a link"):
            runs.staging("0123456789abcdef")
    assert (tmp_path / "other" / "work" / "photo.jpg").read_text() == "dear"


def test_a_run_that_is_a_link_is_no_run_of_the_folder_and_stays(tmp_path: Path) -> None:
    elsewhere, runs = RunsFolder(tmp_path / "elsewhere"), RunsFolder(tmp_path / "runs")
    other = publish(elsewhere)
    publish(runs)
    (runs.path / "20200101T000000000Z-01234567").symlink_to(other.path)
    assert len(runs.runs()) == 1
    runs.prune(1)
    other.verify()


def test_the_runs_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    runs = RunsFolder(tmp_path / "runs")
    for text in ("one", "two"):
        with runs.lock():
            last = publish(runs, text=text)
            runs.prune(1)
    assert runs.runs() == [last]


def test_a_folder_that_was_copied_without_its_links_is_told_before_any_work(tmp_path: Path) -> None:
    first = RunsFolder(tmp_path / "runs")
    run = publish(first)
    shutil.copytree(first.path, tmp_path / "copy")  # follows links
    copied = RunsFolder(tmp_path / "copy")
    with pytest.raises(ConfigError, match=r"current is a folder and no link.*rollback .*copy --to ID"), copied.lock():
        pass
    with pytest.raises(ConfigError, match="no link"), copied.lock():  # and not that another refresh is at work
        pass
    shutil.rmtree(copied.link)
    with copied.lock():
        copied.serve(RunLayout(copied.path / run.name))
    current = copied.current()
    assert current is not None
    assert current.path == copied.path / run.name


def test_a_folder_that_this_user_cannot_write_to_is_told(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path / "runs")
    publish(runs)
    runs.path.chmod(0o555)
    child = os.fork()
    if child == 0:  # the rights of whom they hold for
        code = 1
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            with runs.lock():
                pass
        except ConfigError as error:
            code = 0 if "cannot be written to by this user" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    runs.path.chmod(0o755)


def test_everything_works_through_a_link_to_the_runs_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs").symlink_to("elsewhere")
    runs = RunsFolder(tmp_path / "runs")
    with runs.lock():
        first, second = publish(runs, text="one"), publish(runs, text="two")
    assert runs.current() == second
    runs.serve(first)
    assert (tmp_path / "elsewhere" / "current").readlink() == Path(first.name)
    with runs.lock():
        rejected = runs.reject(copy_of(second, runs), fingerprint="f" * 64)
        assert RunsFolder.of(rejected).path == tmp_path / "elsewhere"
        published = runs.publish_rejected(rejected)
    assert runs.runs() == [first, second, published]
    assert runs.rejected() == []
    assert runs.prune(1) == [second]


def copy_of(run: RunLayout, runs: RunsFolder) -> Path:
    staged = runs.staging("ab" * 32) / "run"
    shutil.copytree(run.path, staged)
    return staged


def test_a_rejected_run_that_was_published_before_a_kill_goes_with_the_next_tidying(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path)
    rejected = runs.reject(copy_of(publish(runs), runs), fingerprint="f" * 64)
    judged = runs.judged(rejected)
    assert (judged / "graph" / "nodes.txt").stat().st_ino == (rejected.graph / "nodes.txt").stat().st_ino
    twin = runs.publish_rejected(rejected, judged=judged)
    assert runs.rejected() == []
    shutil.copytree(twin.path, rejected.path)  # as if it had been killed before it removed the rejected one
    with rejected.hold():
        assert runs.prune(5, rejected=5) == []
    assert runs.prune(5, rejected=5) == [rejected]
    assert twin.verify()


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
        "import sys, time; from pathlib import Path; from recall.runs.registry import RunsFolder\n"
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
