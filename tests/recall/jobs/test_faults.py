"""Short forms of what `make soak` does for long: kills, full disks, damage, sources that go, readers without pause."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recall.jobs.refresh import RefreshResult
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from tests.soak.clock import library, set_clock
from tests.soak.damage import flip_bytes
from tests.soak.decisions import CASES, kill_decisions, steps
from tests.soak.deployments import Deployment
from tests.soak.disk import can_mount, fill_disks, forget_on_full_disks
from tests.soak.kills import KilledRefreshes
from tests.soak.launcher import Launcher
from tests.soak.locks import two_at_once
from tests.soak.memory import growth, repeat
from tests.soak.readers import make_runs, publish_among_readers
from tests.soak.sources import disturb_sources
from tests.soak.training import kill_in_training

Deploy = Callable[[Path], Path]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    """Starts commands without importing everything again."""
    with Launcher() as launcher:
        yield launcher


@pytest.fixture
def changing(make_deployment: Deploy, tmp_path: Path) -> Deployment:
    """A tiny one whose data can be changed."""
    return Deployment(make_deployment(tmp_path / "deployment"))


def test_killed_anywhere_it_serves_the_old_or_the_new_run_and_completes_next_time(
    changing: Deployment, tmp_path: Path, launcher: Launcher
) -> None:
    soak = KilledRefreshes(changing, tmp_path)
    assert soak.run(6, launcher=launcher)
    assert soak.journal.problems() == []
    assert len(soak.histogram()) >= 5
    # A soak goes on where it was cut off.
    again = KilledRefreshes(Deployment(changing.config), tmp_path)
    assert len(again.kills) == len(soak.kills) >= 6
    assert again.facts == soak.facts


def test_killed_while_it_trains_it_goes_on_from_its_checkpoint(
    make_deployment: Deploy, tmp_path: Path, launcher: Launcher
) -> None:
    config = make_deployment(tmp_path / "deployment")
    config.write_text(config.read_text().replace("max_steps = 6\neval_every = 2", "max_steps = 9\neval_every = 1"))
    config.write_text(config.read_text() + "[refresh]\nfull_after = 0\n")
    journal = kill_in_training(Deployment(config), tmp_path, times=4, launcher=launcher)
    assert journal.problems() == []
    assert {kill["training"] for kill in journal.of("kill")} == {"evaluation", "serving"}
    assert {line["code"] for line in journal.of("completed")} == {0}


def test_killed_decisions_forgettings_and_refusals_are_of_before_or_of_after_and_complete(
    tmp_path: Path, launcher: Launcher
) -> None:
    others = [case for case in CASES if case != "forget"]
    kill_decisions(tmp_path, times=1, cases=others, launcher=launcher)
    journal = kill_decisions(tmp_path, times=4, cases=("forget",), launcher=launcher)
    assert journal.problems() == []
    assert set(CASES) == {line["kind"] for line in journal.lines}
    for case in CASES:
        assert "rename" in " ".join(steps(journal, case)), case


def test_disturbed_sources_are_refused_or_whole_and_go_in_once_mended(
    changing: Deployment, tmp_path: Path, launcher: Launcher
) -> None:
    journal = disturb_sources(changing, tmp_path, times=4, launcher=launcher)
    assert journal.problems() == []
    assert 1 in {line["code"] for line in journal.of("disturbed")}


def test_of_two_refreshes_at_once_one_makes_a_run(changing: Deployment, tmp_path: Path, launcher: Launcher) -> None:
    journal = two_at_once(changing, tmp_path, times=2, launcher=launcher)
    assert journal.problems() == []


def test_a_full_disk_is_told_and_nothing_of_the_work_stays_on_it(changing: Deployment, tmp_path: Path) -> None:
    if not can_mount(changing.runs):
        pytest.skip("this system lets no test mount a small disk (unshare -rm, mount -t tmpfs)")
    journal = fill_disks(changing, tmp_path, times=2)
    assert journal.problems() == []
    assert len(journal.of("full")) == 2


def test_a_forgetting_on_a_full_disk_frees_what_it_took_and_says_what_to_do(
    changing: Deployment, tmp_path: Path
) -> None:
    if not can_mount(changing.runs):
        pytest.skip("this system lets no test mount a small disk (unshare -rm, mount -t tmpfs)")
    journal = forget_on_full_disks(changing, tmp_path, times=4)
    assert journal.problems() == []
    assert len(journal.of("full")) == 4


def test_a_clock_that_is_set_back_loses_no_change_and_no_order(changing: Deployment, tmp_path: Path) -> None:
    if library() is None:
        pytest.skip("there is no libfaketime to set the clock with (Debian: apt install faketime)")
    journal = set_clock(changing, tmp_path, times=3)
    assert journal.problems() == []


def test_a_flipped_byte_in_any_file_is_noticed_at_load(refreshed: RefreshResult, tmp_path: Path) -> None:
    assert refreshed.run is not None
    copy = tmp_path / refreshed.run.name
    shutil.copytree(refreshed.run.path, copy)
    journal = flip_bytes(RunLayout(copy), tmp_path, places=2, every=5)
    assert journal.problems() == []
    assert {line["file"] for line in journal.lines} == {
        str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()
    }


def test_readers_get_whole_answers_while_runs_come_and_go(changing: Deployment, tmp_path: Path) -> None:
    made = make_runs(changing, 3)
    ways = ("watch", "reload", "load")
    journal = publish_among_readers(made, RunsFolder(tmp_path / "served"), tmp_path, times=12, pause=0.1, ways=ways)
    assert journal.problems() == []
    (facts,) = journal.lines
    assert facts["published"] + facts["rolled_back"] == 12
    assert facts["runs_seen"] > 1
    assert facts["asked"] > 12


def test_memory_and_open_files_stay_flat(changing: Deployment, tmp_path: Path) -> None:
    journal = repeat(changing, tmp_path, refreshes=2, reloads=12)
    assert journal.problems() == []
    reloads = journal.of("reload")
    assert growth([line["megabytes"] for line in reloads]) < 40
    assert reloads[-1]["files"] <= reloads[3]["files"]
