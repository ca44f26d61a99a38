"""The demo's refresh, killed 200 times."""

from __future__ import annotations

import pytest

from tests.soak.deployments import Deployment
from tests.soak.journal import STATE, histogram
from tests.soak.kills import REPORTING, SWITCHING, TIDYING, KilledRefreshes
from tests.soak.training import kill_in_training

pytestmark = pytest.mark.soak


@pytest.mark.timeout(4 * 3600)
def test_killed_two_hundred_times_at_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    soak = KilledRefreshes(Deployment.demo(STATE / "killed"), STATE)
    with capsys.disabled():
        assert soak.run(200, say=print)
        print(histogram(soak.histogram()))  # noqa: T201
    assert soak.journal.problems() == []
    assert {*soak.facts["stages"], REPORTING, SWITCHING, TIDYING} <= set(soak.histogram())


@pytest.mark.timeout(4 * 3600)
def test_killed_forty_times_while_it_trains() -> None:
    journal = kill_in_training(Deployment.demo(STATE / "training"), STATE, times=40)
    assert journal.problems() == []
    assert set(journal.count("kill", "training")) == {"evaluation", "serving"}
