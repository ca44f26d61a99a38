"""The feedback log: one file of checksummed lines that several processes write to and read.

A writer holds a lock (`flock`, which ends with the process) while it appends, and returns once the lines are on the
disk (fsync). What a killed writer left of a line at the end is set aside by the next one. A reader looks at size and
time of the file, and takes the lock only where they changed. The log is rewritten only to take users out of it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import Timeout

from kg.errors import FeedbackError
from kg.io.files import atomic_path, fsync
from kg.io.removal import remove_leftovers
from kg.stores.fork import renew_after_fork
from recall.feedback.events import FeedbackEvent, check_events, parse_line
from recall.feedback.state import FeedbackState
from recall.runs.lock import acquire

EVENTS, SET_ASIDE, LOCK = "events.log", "set-aside.log", ".lock"
PATIENCE = 10.0  # seconds that a writer waits for others
_POLL = 0.002  # seconds between two tries to get the lock
_PIECE = 1 << 24  # bytes that are read at a time

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append came to.

    Attributes:
        accepted: events that are in the log now and were not before.
        repeated: events whose id the log had already, or that came twice.
    """

    accepted: int
    repeated: int


@dataclass(slots=True)
class _Read:
    """What was read of the file so far.

    Attributes:
        file: device and inode, None where there was no file.
        end: bytes that were read, whole lines.
        last: the last of these lines, by which a file that was cut and grew again is told apart.
        seen: inode, size and time of change of the file when it was last looked at.
        state: what these lines say.
        ids: hashes of the ids of their events.
    """

    file: tuple[int, int] | None
    end: int
    last: bytes
    seen: tuple[int, int, int] | None
    state: FeedbackState
    ids: set[bytes]

    @classmethod
    def nothing(cls) -> _Read:
        return cls(None, 0, b"", None, FeedbackState(), set())


class FeedbackLog:
    """What people did with what they were shown, in a folder of its own.

    Threads and forked processes can share one, and any number of processes can have one each. What was read stays in
    memory: about 100 bytes an event for its id, besides what it says of its user.

    Attributes:
        folder: of the log; made by the first append.
    """

    def __init__(self, folder: Path | str, *, patience: float = PATIENCE) -> None:
        """A log, which need not be there yet.

        Args:
            folder: such as `RunsFolder.feedback_root`.
            patience: seconds to wait for other writers.
        """
        self.folder = Path(folder).absolute()
        self._patience = patience
        self._threads = threading.Lock()
        self._read = _Read.nothing()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """See `kg.stores.fork`: another thread of the parent may have been reading."""
        self._threads, self._read = threading.Lock(), _Read.nothing()

    @property
    def file(self) -> Path:
        """The lines."""
        return self.folder / EVENTS

    def append(self, events: Iterable[FeedbackEvent | Mapping[str, Any]]) -> Appended:
        """Write events down; when this returns they are on the disk.

        Args:
            events: see `FeedbackEvent.of`. An id that the log has already is not written again, so what was not
                acknowledged can be sent again.

        Raises:
            InvalidDataError: an event is not understood; nothing was written.
            FeedbackError: the disk is full, or the log cannot be locked or written to; nothing of it counts.
        """
        given = check_events(events, now=time.time())
        with self._threads, self._explained(), self._locked(create=True):
            descriptor = os.open(self.file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                self._catch_up(descriptor)
                self._set_tail_aside(descriptor)
                new: dict[bytes, FeedbackEvent] = {}
                for event in given:
                    if (key := _key(event.event_id)) not in self._read.ids:
                        new.setdefault(key, event)  # as across calls, the first of an id counts
                self._write(descriptor, list(new.values()))
                self._catch_up(descriptor)
            finally:
                os.close(descriptor)
        return Appended(len(new), len(given) - len(new))

    def state(self) -> FeedbackState:
        """What the log says by now; cheap where nothing was written since.

        Where a writer holds the lock for longer than `patience`, it is what the log said before, and a line in the
        program's log says so.
        """
        seen = _seen(self.file)
        if seen == self._read.seen:
            return self._read.state
        with self._threads:
            if _seen(self.file) != self._read.seen:
                self._look()
            return self._read.state

    def remove_users(self, wanted: Callable[[Sequence[str]], npt.NDArray[np.bool_]]) -> int:
        """Take users out of the log, and out of what was set aside.

        Args:
            wanted: ids of users (n,) -> which of them to remove, bool (n,).

        Returns:
            How many events went.

        Raises:
            FeedbackError: the disk is full, or the log cannot be locked; it is as it was.
        """
        if not self.folder.is_dir():
            return 0
        with self._threads, self._explained(), self._locked(create=False):
            remove_leftovers(self.folder, inside=self.folder)
            # What is cut off or damaged may name anybody.
            (self.folder / SET_ASIDE).unlink(missing_ok=True)
            fsync(self.folder)
            if not self.file.exists():
                return 0
            self._look_at_file()
            users = list(self._read.state.users)
            gone = {user for user, is_wanted in zip(users, wanted(users), strict=True) if is_wanted}
            if not gone and not self._read.state.damaged and self._read.end == self.file.stat().st_size:
                return 0
            removed = 0
            with atomic_path(self.file) as temporary, temporary.open("wb") as stream, self.file.open("rb") as lines:
                temporary.chmod(0o600)
                for line in lines:
                    event = parse_line(line.removesuffix(b"\n")) if line.endswith(b"\n") else None
                    if event is None:
                        continue
                    if event.user_id in gone:
                        removed += 1
                    else:
                        stream.write(line)
            self._read = _Read.nothing()
            self._look_at_file()
            return removed

    # --------------------------------------------------------------------------------------------------------- reading

    def _look(self) -> None:
        """Read what is new, under the lock where there is one to be had."""
        try:
            with self._locked(create=False):
                self._look_at_file()
        except FeedbackError as error:
            _log.warning("%s: feedback that came since is not counted yet", error)
        except OSError:  # a disk that may only be read has no writer
            self._look_at_file()

    def _look_at_file(self) -> None:
        try:
            descriptor = os.open(self.file, os.O_RDONLY)
        except FileNotFoundError:
            self._read = _Read.nothing()
            return
        try:
            self._catch_up(descriptor)
        finally:
            os.close(descriptor)

    def _catch_up(self, descriptor: int) -> None:
        """Read the whole lines that are new, all of them where the file is another."""
        facts = os.fstat(descriptor)
        file = (facts.st_dev, facts.st_ino)
        last = self._read.last
        if file != self._read.file or os.pread(descriptor, len(last), self._read.end - len(last)) != last:
            self._read = _Read.nothing()
            self._read.file = file
        damaged = 0
        events: list[FeedbackEvent] = []
        end, last, ids = self._read.end, self._read.last, self._read.ids
        for line in _lines(descriptor, end, facts.st_size):
            end, last = end + len(line) + 1, line + b"\n"
            event = parse_line(line)
            if event is None:
                damaged += 1
            elif (key := _key(event.event_id)) not in ids:
                ids.add(key)
                events.append(event)
        if damaged:
            _log.warning("%s has %d damaged lines, which do not count", self.file, damaged)
        self._read.end, self._read.last = end, last
        if events or damaged:
            self._read.state = self._read.state.after(events, damaged=damaged)
        self._read.seen = (facts.st_ino, facts.st_size, facts.st_mtime_ns)  # last: others look at it without the lock

    # --------------------------------------------------------------------------------------------------------- writing

    def _set_tail_aside(self, descriptor: int) -> None:
        """Move what a killed writer left of a line to a file of its own."""
        size = os.fstat(descriptor).st_size
        if size == self._read.end:
            return
        tail = os.pread(descriptor, size - self._read.end, self._read.end)
        aside = os.open(self.folder / SET_ASIDE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            _write_all(aside, tail + b"\n")
            os.fsync(aside)
        finally:
            os.close(aside)
        os.ftruncate(descriptor, self._read.end)
        os.fsync(descriptor)
        _log.warning(
            "a writer of %s was stopped within a line: %d bytes that nobody was told are safe are set aside",
            self.file,
            len(tail),
        )

    def _write(self, descriptor: int, events: Sequence[FeedbackEvent]) -> None:
        """Write all lines, or none."""
        before = os.fstat(descriptor).st_size
        try:
            _write_all(descriptor, b"".join(event.line() for event in events))
            os.fsync(descriptor)
            if not before:
                fsync(self.folder)
        except OSError:
            with suppress(OSError):  # what is left then is set aside, or found again under its ids
                os.ftruncate(descriptor, before)
                os.fsync(descriptor)
            raise

    @contextmanager
    def _locked(self, *, create: bool) -> Iterator[None]:
        if create:
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = acquire(self.folder / LOCK, patience=self._patience, every=_POLL)
        except Timeout as error:
            raise FeedbackError(
                f"another process holds the feedback log {self.folder} for more than {self._patience:g} s: end it, or "
                "send the feedback again later"
            ) from error
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FeedbackError(
                f"the feedback log {self.folder} could not be written to ({error.strerror or error}): nothing of this "
                "feedback counts; mend it (room on the disk, the right to write) and send it again"
            ) from error


def _seen(file: Path) -> tuple[int, int, int] | None:
    """Inode, size and time of change; None where there is no file."""
    try:
        facts = file.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _key(event_id: str) -> bytes:
    return blake2b(event_id.encode(), digest_size=16).digest()


def _lines(descriptor: int, start: int, stop: int) -> Iterator[bytes]:
    """The whole lines between two places of a file, without their line breaks."""
    unfinished = b""
    while start < stop and (piece := os.pread(descriptor, min(_PIECE, stop - start), start)):
        start += len(piece)
        *whole, unfinished = (unfinished + piece).split(b"\n")
        yield from whole


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
