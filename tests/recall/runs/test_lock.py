"""Locks: nothing but a lock of the system counts, and a file system without any is refused in words."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kg.errors import ConfigError, RefreshInProgressError
from recall.ops.summary import SummaryLog
from recall.runs.lock import HOLDER, LOCK
from recall.runs.registry import RunsFolder
from recall.runs.studies import locked

NO_LOCKS = ("ENOLCK", "ENOSYS", "EOPNOTSUPP")


@pytest.fixture(params=NO_LOCKS)
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A file system whose `flock` answers what those without it do."""
    number = getattr(errno, request.param)

    def none(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    return monkeypatch


def test_a_file_system_without_locks_is_refused_with_a_way_out_and_works_once_it_has_some(
    tmp_path: Path, without_locks: pytest.MonkeyPatch
) -> None:
    runs = RunsFolder(tmp_path / "runs")
    for _ in range(2):  # the second call is not kept out by what the first one left
        with (
            pytest.raises(ConfigError, match=r"runs has no locks \(flock: .*mount it with locks.*runs\.folder"),
            runs.lock(),
        ):
            pytest.fail("two refreshes could be here")
    with pytest.raises(ConfigError, match="has no locks"), locked(runs.studies):
        pytest.fail("two tunings could be here")
    with pytest.raises(ConfigError, match="has no locks"):
        SummaryLog(runs.path).add({"status": "failed", "finished": ""}, keep=1)
    without_locks.undo()
    with runs.lock(), locked(runs.studies):
        pass


def test_the_command_says_it_in_one_line(
    make_deployment: Callable[[Path], Path],
    tmp_path: Path,
    without_locks: pytest.MonkeyPatch,
    command: Callable[..., tuple[int, str, str]],
) -> None:
    code, _, err = command("refresh", make_deployment(tmp_path))
    assert code == 1
    assert "has no locks" in err
    assert "Traceback" not in err


def test_what_a_killed_process_left_refuses_nobody(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path / "runs")
    runs.path.mkdir()
    # This process lives, so a lock that is a file with its number would be taken for held.
    (runs.path / LOCK).write_text(f"{os.getpid()}\n{socket.gethostname()}\n")
    (runs.path / HOLDER).write_text("{}")
    with runs.lock():
        pass


@pytest.mark.parametrize("damaged", ["", "{", "[]", "1", "{}"])
def test_who_holds_the_lock_need_not_be_known(tmp_path: Path, damaged: str) -> None:
    runs = RunsFolder(tmp_path / "runs")
    with runs.lock():
        (runs.path / HOLDER).write_text(damaged)
        with pytest.raises(RefreshInProgressError, match="another refresh is writing to"), runs.lock():
            pass
