"""Short forms of what `make soak` does for long: kills, full disks, damage, sources that go, readers without pause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.soak.deployments import Deployment
from tests.soak.kills import KilledRefreshes
from tests.soak.training import kill_in_training

Deploy = Callable[[Path], Path]


def test_killed_anywhere_it_serves_the_old_or_the_new_run_and_completes_next_time(
    make_deployment: Deploy, tmp_path: Path
) -> None:
    soak = KilledRefreshes(Deployment(make_deployment(tmp_path / "deployment")), tmp_path)
    assert soak.run(8)
    assert soak.journal.problems() == []
    assert len(soak.kills) == 8
    assert len(soak.histogram()) >= 5
    # It goes on where it was cut off.
    again = KilledRefreshes(Deployment(tmp_path / "deployment" / "config.toml"), tmp_path)
    assert len(again.kills) == 8
    assert again.run(8)


def test_killed_while_it_trains_it_goes_on_from_its_checkpoint(make_deployment: Deploy, tmp_path: Path) -> None:
    config = make_deployment(tmp_path / "deployment")
    config.write_text(config.read_text().replace("max_steps = 6\neval_every = 2", "max_steps = 12\neval_every = 1"))
    journal = kill_in_training(Deployment(config), tmp_path, times=4)
    assert journal.problems() == []
    assert {kill["training"] for kill in journal.of("kill")} == {"evaluation", "serving"}
    assert {line["code"] for line in journal.of("completed")} == {0}
