"""The feedback log keeps what it acknowledged, whatever happens to its writers."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kg.errors import FeedbackError, InvalidDataError
from recall.feedback import FeedbackEvent, FeedbackLog, Kind
from recall.feedback import log as module
from recall.runs.lock import acquire

WRITER = """
import sys
from recall.feedback import FeedbackLog
log, name = FeedbackLog(sys.argv[1]), sys.argv[2]
for number in range(int(sys.argv[3])):
    log.append([{"user_id": name, "item_id": f"m{number}", "kind": "like", "event_id": f"{name}-{number}"}])
    print(number, flush=True)
"""


def event(user: str = "u1", item: str = "m1", kind: str = "like", **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "kind": kind, **more}


@pytest.fixture
def log(tmp_path: Path) -> FeedbackLog:
    return FeedbackLog(tmp_path / "feedback")


def writer(log: FeedbackLog, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(log.folder), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def test_what_was_appended_is_there_for_another_reader(log):
    done = log.append([event(item="m1"), event(item="m2", kind="dislike"), event(item="m3", kind="impression")])
    assert (done.accepted, done.repeated) == (3, 0)
    user = FeedbackLog(log.folder).state().of("u1")
    assert (user.items(liked=True), user.items(liked=False), user.shown(1)) == (["m1"], ["m2"], ["m3"])
    assert FeedbackLog(log.folder).state().of("u2").items(liked=True) == []


def test_a_reader_that_looked_before_sees_what_comes(log):
    reader = FeedbackLog(log.folder)
    assert reader.state().events == 0
    for count in range(1, 4):
        log.append([event(item=f"m{count}")])
        assert reader.state().events == count


def test_an_event_that_is_sent_again_counts_once(log):
    assert log.append([event(kind="impression", event_id="e1"), event(kind="impression", event_id="e1")]).repeated == 1
    assert FeedbackLog(log.folder).append([event(kind="impression", event_id="e1")]).accepted == 0
    assert log.append([event(kind="impression")]).accepted == 1  # without an id it is another one
    assert log.state().of("u1").impressions == {"m1": 2}


def test_the_last_opinion_by_time_counts_in_whatever_order_they_come(log):
    log.append([event(time=300), event(kind="dislike", time=200), event(item="m2", time=100)])
    assert log.state().of("u1").items(liked=True) == ["m2", "m1"]  # the oldest first
    log.append([event(kind="dislike", time=300)])  # of one time the later in the log
    assert log.state().of("u1").items(liked=True) == ["m2"]


def test_times_are_written_in_several_ways_and_none_lies_in_the_future(log):
    log.append([event(time="1970-01-01T00:01:00"), event(item="m2", time=time.time() + 1e6), event(item="m3")])
    times = [log.state().of("u1").opinions[item].time for item in ("m1", "m2", "m3")]
    assert times[0] == 60
    assert max(times) <= time.time()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (event(kind="love"), "none of like, dislike, impression"),
        (event(user=""), "user_id"),
        (event(user=7), "user_id"),
        (event(item="  "), "item_id"),
        (event(item="m\ud800"), "no text"),
        (event(item="m" * 100_000), "100,000 characters"),
        (event(time="yesterday"), "2024-05-01"),
        (event(time=float("nan")), "no time"),
        (event(stars=5), "'stars'"),
        ({"user_id": "u1"}, "item_id"),
        ("like", "mapping"),
    ],
)
def test_an_event_that_is_not_understood_keeps_all_out(log, bad, said):
    with pytest.raises(InvalidDataError, match=said):
        log.append([event(), bad])
    assert not log.file.exists()


@pytest.mark.parametrize("given", [event(), "like", 7, None])
def test_one_event_is_no_list(log, given):
    with pytest.raises(InvalidDataError, match="list of events"):
        log.append(given)


def test_any_text_is_an_id_that_comes_back(log):
    ids = ["новый", "a\nb", "10\x0012", 'quo"te', "🎬", "x y"]
    log.append([event(user=id, item=id) for id in ids])
    state = FeedbackLog(log.folder).state()
    assert [state.of(id).items(liked=True) for id in ids] == [[id] for id in ids]


def test_a_killed_writer_loses_nothing_that_was_acknowledged(log):
    """Real kills, at whatever point of its work the writer is."""
    random, acknowledged = np.random.default_rng(3), {}
    for round_ in range(6):
        name = f"w{round_}"
        process = writer(log, name, 100_000)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(int(random.integers(1, 60)))]
        os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.readlines()
        process.wait()
        acknowledged[name] = len([line for line in lines if line.endswith("\n")])
        assert log.append([event(user="after", item=name)]).accepted == 1
    state = FeedbackLog(log.folder).state()
    assert state.damaged == 0
    for name, count in acknowledged.items():
        there = state.of(name).items(liked=True)
        assert count <= len(there) <= count + 1  # the last may be safe although nobody was told
        assert there == [f"m{number}" for number in range(len(there))]
    assert state.of("after").items(liked=True) == list(acknowledged)


def test_several_processes_write_at_once(log):
    names = [f"w{number}" for number in range(4)]
    processes = [writer(log, name, 40) for name in names]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    state = log.state()
    assert state.events == 160
    for name in names:
        assert state.of(name).items(liked=True) == [f"m{number}" for number in range(40)]


def test_two_processes_that_send_the_same_events_count_them_once(log):
    processes = [writer(log, "same", 30) for _ in range(2)]
    for process in processes:
        process.communicate()
    assert log.state().events == 30


def test_threads_share_a_log(log):
    def send(name: str) -> None:
        for number in range(20):
            log.append([event(user=name, item=f"m{number}")])

    threads = [threading.Thread(target=send, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.state().events == FeedbackLog(log.folder).state().events == 80


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_line_that_is_cut_off_is_set_aside_by_the_next_writer(log, cut):
    log.append([event(item="m1")])
    whole = log.file.stat().st_size
    log.append([event(item="m2")])
    tail = log.file.read_bytes()[whole:-cut]
    os.truncate(log.file, whole + len(tail))
    assert FeedbackLog(log.folder).state().of("u1").items(liked=True) == ["m1"]  # a reader leaves it alone
    assert log.file.stat().st_size == whole + len(tail)
    FeedbackLog(log.folder).append([event(item="m3")])
    assert (log.folder / module.SET_ASIDE).read_bytes() == tail + b"\n"
    for reader in (log, FeedbackLog(log.folder)):  # also one that had read the line when it was whole
        assert reader.state().of("u1").items(liked=True) == ["m1", "m3"]


def test_a_damaged_line_does_not_count_and_is_counted(log, caplog):
    log.append([event(item=f"m{number}") for number in range(3)])
    content = log.file.read_bytes()
    log.file.write_bytes(content.replace(b"m1", b"m7"))
    state = FeedbackLog(log.folder).state()
    assert (state.damaged, state.of("u1").items(liked=True)) == (1, ["m0", "m2"])
    assert "1 damaged lines" in caplog.text


@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_full_disk_acknowledges_nothing_and_leaves_nothing(log, monkeypatch, failing):
    log.append([event(item="m1")])
    before = log.file.read_bytes()
    real = {"write": os.write, "fsync": os.fsync}[failing]
    calls = []

    def full(descriptor: int, *data: Any) -> Any:
        calls.append(descriptor)
        if failing == "write" and len(calls) == 1:
            return real(descriptor, bytes(data[0])[:50])  # a part of the lines still finds room
        if len(calls) <= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, *data)

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(FeedbackError, match=r"No space left on device.*nothing of this feedback counts"):
        log.append([event(item=f"m{number}", event_id=f"e{number}") for number in range(2, 5)])
    monkeypatch.undo()
    assert log.file.read_bytes() == before
    assert log.append([event(item="m2", event_id="e2")]).accepted == 1
    assert FeedbackLog(log.folder).state().of("u1").items(liked=True) == ["m1", "m2"]


def test_a_really_full_disk_acknowledges_nothing(tmp_path):
    """A limit on the size of files stands for a small disk: the operating system refuses the write."""
    code = """
import resource, signal, sys
from kg.errors import FeedbackError
from recall.feedback import FeedbackLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = FeedbackLog(sys.argv[1])
log.append([{"user_id": "u1", "item_id": "m1", "kind": "like"}])
resource.setrlimit(resource.RLIMIT_FSIZE, (log.file.stat().st_size + 200, resource.RLIM_INFINITY))
try:
    log.append([{"user_id": "u1", "item_id": f"m{number}", "kind": "like"} for number in range(2, 50)])
except FeedbackError as error:
    print(error)
"""
    folder = tmp_path / "feedback"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert FeedbackLog(folder).state().of("u1").items(liked=True) == ["m1"]
    assert FeedbackLog(folder).file.read_bytes().endswith(b"\n")


def test_a_lock_that_is_held_is_an_error_for_writers_and_none_for_readers(log, caplog):
    log.append([event(item="m1")])
    others = FeedbackLog(log.folder, patience=0.05)
    assert others.state().events == 1
    held = acquire(log.folder / module.LOCK)
    try:
        with pytest.raises(FeedbackError, match="another process holds"):
            others.append([event(item="m2")])
        log.file.write_bytes(log.file.read_bytes() + FeedbackEvent.of(event(item="m3"), now=1.0).line())
        assert others.state().events == 1
        assert "is not counted yet" in caplog.text
    finally:
        held.release()
    assert others.state().events == 2


def test_a_folder_that_may_only_be_read_is_read(log, monkeypatch):
    log.append([event()])

    def refused(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(module, "acquire", refused)
    reader = FeedbackLog(log.folder)
    assert reader.state().events == 1
    with pytest.raises(FeedbackError, match="Read-only file system"):
        reader.append([event(item="m2")])


def wants(*names: str) -> Callable[[Any], Any]:
    return lambda users: np.array([user in names for user in users], dtype=bool)


def test_users_are_taken_out_and_nothing_of_them_is_left(log):
    log.append([event(user=user, item=f"m{number}") for user in ("mallory", "u1") for number in range(3)])
    with log.file.open("ab") as stream:
        stream.write(b'00000000 {"user_id": "mallory"')  # cut off
    log.append([event(user="mallory", item="m9", kind="dislike")])
    reader = FeedbackLog(log.folder)
    assert reader.state().events == 7
    assert log.remove_users(wants("mallory")) == 4
    assert all(b"mallory" not in file.read_bytes() for file in log.folder.iterdir())
    for one in (log, reader, FeedbackLog(log.folder)):
        assert (one.state().events, one.state().of("u1").items(liked=True)) == (3, ["m0", "m1", "m2"])
    assert log.remove_users(wants("mallory")) == 0
    assert log.append([event(item="m4")]).accepted == 1
    assert reader.state().events == 4


def test_nobody_is_taken_out_of_a_log_that_is_not_there(log):
    assert log.remove_users(wants("u1")) == 0
    assert not log.folder.exists()


def test_a_forked_process_reads_and_writes_on_its_own(log):
    log.append([event(item="m1")])
    child = os.fork()
    if not child:
        log.append([event(item="m2")])
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert log.state().of("u1").items(liked=True) == ["m1", "m2"]


def test_kinds_are_words(log):
    log.append([FeedbackEvent(user_id="u1", item_id="m1", kind=Kind.LIKE, time=5.0, event_id="e")])
    assert log.state().of("u1").opinions["m1"].time == 5.0
