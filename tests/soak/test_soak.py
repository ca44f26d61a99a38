"""Each fault many times, on the demo's size where that matters; what was tried is kept, so that a soak goes on.

`GRAPHRECALL_SOAK` names the folder of that; default: `.cache/soak`. `python -m benchmarks faults` makes a table of it.
`GRAPHRECALL_SOAK_SECONDS` is how long the service is asked; default: an hour.
"""

from __future__ import annotations

import pytest

from recall.config.deployment import load_config
from recall.jobs.refresh import refresh
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from tests.recall.conftest import write_deployment
from tests.soak.clock import library, set_clock
from tests.soak.damage import flip_bytes
from tests.soak.decisions import CASES, kill_decisions, steps
from tests.soak.deployments import Deployment
from tests.soak.disk import can_mount, fill_disks, forget_on_full_disks
from tests.soak.journal import STATE, histogram
from tests.soak.kills import REPORTING, SWITCHING, TIDYING, KilledRefreshes
from tests.soak.locks import two_at_once
from tests.soak.memory import growth, repeat
from tests.soak.readers import make_runs, publish_among_readers
from tests.soak.service import SECONDS, SHARES, TOLERANCE_MB, mixed_load
from tests.soak.sources import disturb_sources
from tests.soak.training import kill_in_training

pytestmark = [pytest.mark.soak, pytest.mark.timeout(6 * 3600)]


def tiny(name: str) -> Deployment:
    """A tiny deployment of its own."""
    config = STATE / name / "config.toml"
    return Deployment(config if config.exists() else write_deployment(config.parent))


def test_killed_two_hundred_times_at_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    soak = KilledRefreshes(Deployment.demo(STATE / "killed"), STATE)
    with capsys.disabled():
        assert soak.run(200, say=print)
        print(histogram(soak.histogram()))  # noqa: T201
    assert soak.journal.problems() == []
    assert {*soak.facts["stages"], REPORTING, SWITCHING, TIDYING} <= set(soak.histogram())


def test_killed_forty_times_while_it_trains() -> None:
    deployment = tiny("training")
    text = deployment.config.read_text()
    if "[refresh]" not in text:
        text = text.replace("max_steps = 6\neval_every = 2", "max_steps = 20\neval_every = 1")
        deployment.config.write_text(text + "[refresh]\nfull_after = 0\n")
    journal = kill_in_training(deployment, STATE, times=40)
    assert journal.problems() == []
    assert set(journal.count("kill", "training")) == {"evaluation", "serving"}


def test_decisions_and_refusals_killed_forty_times_each_and_forgettings_eighty_times(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with capsys.disabled():
        kill_decisions(STATE, times=80, cases=("forget",), say=print)
        journal = kill_decisions(STATE, times=40, say=print)
        for case in CASES:
            print(f"{case}\n{histogram(steps(journal, case))}")  # noqa: T201
    assert journal.problems() == []
    for case in CASES:
        made = " ".join(steps(journal, case))
        needed = {"accept": "rename RUN|rename current|rename .records", "rollback": "rename current|rename .records"}
        needed |= {"forget": "rename RUN|rename current|rename .privacy|rename .rejected/RUN"}
        needed |= {"rejection": "rename .rejected/RUN|rename .staging/INPUTS"}
        needed |= {"judged again": "rename RUN|rename current|rename .staging/judged"}
        assert all(step in made for step in needed[case].split("|")), case


def test_forty_disks_fill_up() -> None:
    deployment = tiny("disk")
    if not can_mount(deployment.runs):
        pytest.skip("this system lets no test mount a small disk (unshare -rm, mount -t tmpfs)")
    journal = fill_disks(deployment, STATE, times=40)
    assert journal.problems() == []
    assert len(journal.count("full", "stage")) >= 5


def test_forty_forgettings_on_full_disks() -> None:
    deployment = tiny("disk-forget")
    if not can_mount(deployment.runs):
        pytest.skip("this system lets no test mount a small disk (unshare -rm, mount -t tmpfs)")
    journal = forget_on_full_disks(deployment, STATE, times=40)
    assert journal.problems() == []


def test_sources_disturbed_sixty_times() -> None:
    journal = disturb_sources(tiny("sources"), STATE, times=60)
    assert journal.problems() == []
    assert set(journal.count("disturbed", "code")) == {"0", "1", "4"}


def test_the_clock_set_twenty_seven_times() -> None:
    if library() is None:
        pytest.skip("there is no libfaketime to set the clock with (Debian: apt install faketime)")
    assert set_clock(tiny("clock"), STATE, times=27).problems() == []


def test_two_refreshes_at_once_twenty_times() -> None:
    assert two_at_once(tiny("locks"), STATE, times=20).problems() == []


def test_a_flipped_byte_anywhere_in_a_run_of_the_demo() -> None:
    copy = STATE / "flipped"
    if not copy.exists():
        make_runs(Deployment.demo(STATE / "served"), 1)[0].path.rename(copy)
    assert flip_bytes(RunLayout(copy), STATE, places=5).problems() == []


def test_eight_readers_through_fifty_publishes_and_rollbacks() -> None:
    deployment = Deployment.demo(STATE / "served")
    made = make_runs(deployment, 3)
    runs = RunsFolder(STATE / "served" / "among readers")
    journal = publish_among_readers(made, runs, STATE, times=50, pause=2.0, building=deployment.config)
    assert journal.problems() == []
    assert journal.lines[-1]["published"] + journal.lines[-1]["rolled_back"] == 50


def test_mixed_load_on_the_service_with_a_publish_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    """An hour, or the seconds in `GRAPHRECALL_SOAK_SECONDS`."""
    deployment = Deployment.demo(STATE / "served")
    journal = mixed_load(make_runs(deployment, 3), deployment.config, STATE, seconds=SECONDS)
    last = journal.lines[-1]
    with capsys.disabled():
        print(last)  # noqa: T201
    assert last["problems"] == []
    assert last["runs_seen"] == last["published"] + 1 > 5
    assert set(last["asked"]) == set(SHARES)
    assert last["growth"] < TOLERANCE_MB
    assert last["runs_mapped"] == 1  # half a minute after it was published nobody reads the run before


def test_memory_stays_flat_over_a_hundred_refreshes_and_reloads() -> None:
    deployment = tiny("memory")
    refresh(load_config(deployment.config))
    journal = repeat(deployment, STATE, refreshes=100, reloads=100)
    assert journal.problems() == []
    for kind in ("refresh", "reload"):
        lines = journal.of(kind)[-100:]
        assert growth([line["megabytes"] for line in lines]) < 40
        assert lines[-1]["files"] <= lines[9]["files"]
