"""Refreshing again and again, for those who have no scheduler: `graphrecall refresh CONFIG --every 6h`.

Each refresh is a process of its own: its memory goes back when it ends, what kills it does not kill the schedule, and
it reads the configuration as it is then. APScheduler keeps the time.
"""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from kg.errors import ConfigError
from recall.ops.logs import FIELDS

if TYPE_CHECKING:
    from apscheduler.job import Job

_log = logging.getLogger(__name__)
_PART = re.compile(r"(\d+)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
PYTHON = (sys.executable, "-P", "-c")  # this installation, whatever folder it is started in
CHECK = """
import sys
from kg.errors import ConfigError
from recall.config.deployment import load_config
try:
    load_config(sys.argv[1])
except ConfigError as error:
    sys.exit(str(error))
"""
LONGEST = timedelta(days=366)
PATIENCE = 20.0  # seconds a refresh has to stop in; Kubernetes gives 30 to the whole of it
LOOK = 30.0  # seconds between two looks at the clock


def parse_interval(text: str) -> timedelta:
    """`90s`, `30m`, `6h`, `1d`, `1h30m`, `1w`.

    Raises:
        ConfigError: it is none, is zero, or is longer than a year.
    """
    written = text.strip().lower()
    parts = _PART.findall(written)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != re.sub(r"\s+", "", written):
        raise ConfigError(f"{text!r} is no length of time: write 30m, 6h, 1d or 1h30m")
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < seconds <= LONGEST.total_seconds():
        raise ConfigError(f"{text!r} must be at least 1s and at most {LONGEST.days}d")
    return timedelta(seconds=seconds)


def refresh_command(arguments: Sequence[str]) -> list[str]:
    """The command that refreshes."""
    return [*PYTHON, "from recall.cli.main import main; main()", "refresh", *arguments]


def check_config(config: Path) -> None:
    """Check a configuration file in a process of its own: a schedule that runs for months shall stay small.

    Raises:
        ConfigError: see `recall.config.deployment.load_config`.
    """
    done = subprocess.run([*PYTHON, CHECK, str(config)], stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ConfigError(done.stderr.strip())


class Schedule:
    """One command, started at once and then at every interval, never twice at a time.

    A command that takes longer than the interval is followed at once by one more, however many were missed meanwhile;
    so is a machine that slept. When the clock is turned back, the next start moves with it.

    Args:
        command: what is started.
        every: the interval.
        patience: seconds the command has to end in after SIGTERM; then it is killed, which a refresh bears.
    """

    def __init__(self, command: Sequence[str], every: timedelta, *, patience: float = PATIENCE) -> None:
        self._command = list(command)
        self._every = every
        self._patience = patience
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._job: Job | None = None

    def run(self) -> None:
        """Keep to the schedule until SIGTERM, Ctrl+C or `stop`; the command at work is asked to stop and waited for.

        Raises:
            ConfigError: APScheduler is not installed.
        """
        try:
            from apscheduler.executors.pool import ThreadPoolExecutor
            from apscheduler.schedulers.background import BackgroundScheduler
        except ImportError as error:
            raise ConfigError(
                f"--every needs the package {error.name}, which is not installed: pip install 'apscheduler>=3.11,<4'"
            ) from error
        # One thread works; a second start may wait in line, which is what folds the missed ones into one.
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(max_workers=1)},
            job_defaults={"max_instances": 2, "coalesce": True, "misfire_grace_time": None},
        )
        logging.getLogger("apscheduler").addFilter(_not_expected)
        self._job = scheduler.add_job(
            self._refresh, "interval", seconds=self._every.total_seconds(), next_run_time=datetime.now(UTC)
        )
        with self._signals():
            scheduler.start()
            try:
                while not self._stop.wait(min(LOOK, self._every.total_seconds())):
                    self._follow_clock(self._job)
            except KeyboardInterrupt:
                pass
            finally:
                self.stop()
                self._end_child()
                scheduler.shutdown(wait=True)

    def stop(self) -> None:
        """Start nothing any more, and let `run` return."""
        self._stop.set()

    def _follow_clock(self, job: Job) -> None:
        """Bring a start that the turned-back clock has moved out of reach back to within one interval."""
        now = datetime.now(UTC)
        if job.next_run_time is not None and job.next_run_time - now > self._every:
            _log.warning("the clock was turned back: the next refresh starts within %s", self._every)
            job.modify(next_run_time=now + self._every)

    def _refresh(self) -> None:
        with self._starting:
            if self._stop.is_set():
                return
            self._child = subprocess.Popen(self._command)  # noqa: S603 our own command
        code = self._child.wait()
        _log.log(
            logging.INFO if code == 0 else logging.WARNING,
            "the refresh ended with code %d",
            code,
            extra={FIELDS: {"event": "scheduled refresh ended", "exit_code": code}},
        )

    def _end_child(self) -> None:
        with self._starting:
            child = self._child
        if child is None or child.poll() is not None:
            return
        with suppress(ProcessLookupError):
            child.terminate()
        try:
            child.wait(self._patience)
        except subprocess.TimeoutExpired:
            _log.warning("the refresh did not stop within %g s and is killed; the next one goes on", self._patience)
            child.kill()
            child.wait()

    def _signals(self) -> _StopOnSignals:
        return _StopOnSignals(self)


class _StopOnSignals:
    """SIGTERM stops a schedule, and SIGHUP unless it is ignored; what they did before comes back afterwards."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def __enter__(self) -> None:
        self._main = threading.current_thread() is threading.main_thread()
        self._before: dict[signal.Signals, Any] = {}
        for number in (signal.SIGTERM, signal.SIGHUP) if self._main else ():
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._stop)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, _: int, __: FrameType | None) -> None:
        self._schedule.stop()


def _not_expected(record: logging.LogRecord) -> bool:
    """Whether a record of APScheduler is news: that a start waits for a refresh at work is how it should be."""
    return "maximum number of running instances" not in record.getMessage()
