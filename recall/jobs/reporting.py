"""A refresh that reports how it ended: in the log, in the runs folder, for Prometheus."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Any

from kg.errors import ArtifactError, GraphRecallError, InvalidDataError, RefreshInProgressError
from kg.io.files import write_text
from kg.progress import SILENT, Progress
from kg.settings.secrets import masked_text
from recall.config.deployment import RefreshConfig
from recall.jobs.privacy import Privacy
from recall.jobs.refresh import RefreshResult, refresh
from recall.ops.logs import FIELDS
from recall.ops.metrics import exposition
from recall.ops.summary import REDACTED, Status, SummaryLog, summarise
from recall.runs.registry import RunsFolder
from recall.runs.report import Report

if TYPE_CHECKING:  # it imports torch
    from gnn.distributed import Ranks

_log = logging.getLogger(__name__)

STOPPING = (signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """The process was asked to stop by a signal; `args[0]` is its number."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Let a signal stop the block as Ctrl+C does, by an exception, so that it cleans up and reports how it ended.

    The signals are SIGTERM, and SIGHUP, which a terminal sends when it is closed, unless it is ignored (nohup).

    Raises:
        Stopped: the signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return

    before = {number: signal.getsignal(number) for number in STOPPING}
    heeded = [number for number in STOPPING if before[number] != signal.SIG_IGN]

    def stop(number: int, _: FrameType | None) -> None:
        for each in heeded:
            signal.signal(each, signal.SIG_IGN)  # a second one must not interrupt the cleaning up
        raise Stopped(number)

    for number in heeded:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])


def reported_refresh(
    config: RefreshConfig, *, progress: Progress = SILENT, full: bool = False, ranks: Ranks | None = None
) -> RefreshResult:
    """A refresh, with a summary however it ends: logged, kept in the runs folder, and for Prometheus.

    A summary that cannot be written is a warning in the log and changes nothing of the outcome.

    Args:
        config: from `recall.config.deployment.load_config`.
        progress: listener.
        full: see `refresh`.
        ranks: see `refresh`.

    Raises:
        GraphRecallError: what `refresh` raises.
        Stopped: by a signal, when `stoppable` is around it. What is finished stays, and the next refresh continues
            there; a training continues from its last checkpoint.
    """
    started, start = datetime.now(UTC), time.monotonic()

    def report(status: Status, exit_code: int, error: BaseException | None = None, **more: Any) -> None:
        _report(
            config,
            status=status,
            started=started,
            seconds=time.monotonic() - start,
            exit_code=exit_code,
            error=error,
            **more,
        )

    try:
        result = refresh(config, progress=progress, full=full, ranks=ranks)
    except RefreshInProgressError as error:
        report("locked", 75, error)
        raise
    except KeyboardInterrupt as error:
        number = error.args[0] if isinstance(error, Stopped) else signal.SIGINT
        report("interrupted", 128 + number)
        raise
    except Exception as error:
        report("failed", 1, error)
        raise
    if result.status == "rejected":
        report("rejected", 4, reasons=list(result.reasons), rejected=result.rejected and result.rejected.name)
    else:
        report(result.status, 0, reasons=list(result.reasons))
    return result


def _report(config: RefreshConfig, *, error: BaseException | None, **facts: Any) -> None:
    masked = _masks_users(config)
    message = _kept_message(error, masked=masked)
    # A traceback ends in the message.
    unexpected = None if masked or isinstance(error, GraphRecallError | KeyboardInterrupt) else error
    summary: dict[str, Any] = {**facts, "started": facts["started"].isoformat(timespec="seconds"), "error": message}
    try:
        runs = RunsFolder(config.runs_folder)
        run, run_report = _serving(runs)
        summary = summarise(runs=runs.path, run=run, report=run_report, error=message, **facts)
        summary = SummaryLog(runs.path).add(summary, keep=config.watch.history)
        if config.watch.prometheus is not None:
            write_text(config.base / config.watch.prometheus.expanduser(), exposition(summary))
    except Exception as problem:
        # Any error: the run is published or rejected already.
        _log.warning("the summary of this refresh is not kept: %s: %s", type(problem).__name__, problem)
    level = logging.INFO if summary["exit_code"] == 0 else logging.ERROR
    _log.log(level, "refresh %s", summary["status"], extra={FIELDS: summary}, exc_info=unexpected)


def _kept_message(error: BaseException | None, *, masked: bool) -> str | None:
    """What the summary keeps of an error: no secret, and no quotation of a source where users are not to be named."""
    if error is None:
        return None
    if masked and isinstance(error, InvalidDataError):
        return error.unquoted or REDACTED
    if masked and not isinstance(error, GraphRecallError):
        return f"{type(error).__name__}: {REDACTED}"
    return masked_text(str(error)) or type(error).__name__


def _masks_users(config: RefreshConfig) -> bool:
    """Whether nothing that is kept may quote an id of a user: they go by pseudonyms, or somebody was forgotten."""
    if config.privacy.pseudonyms:
        return True
    with suppress(ArtifactError, OSError):
        return Privacy.somebody_is_forgotten(config.runs_folder)
    return True


def _serving(runs: RunsFolder) -> tuple[str | None, Report | None]:
    """The run that serves and its report, as far as they can be read."""
    current = runs.current()
    if current is None:
        return None, None
    report: Report | None = None
    with suppress(ArtifactError, OSError):
        report = Report.load(current)
    return current.name, report
