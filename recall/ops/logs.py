"""A log as JSON: one object a line on stderr, for the journal, a container's log or a file."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from kg.progress import Progress, Task
from kg.settings.secrets import masked_text

_log = logging.getLogger(__name__)
FIELDS = "facts"  # the attribute of a log record that holds further fields


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: time (UTC), level, logger, message, the fields given with it, the traceback.

    Accounts and secrets in addresses are masked in all of them.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        data: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            data["traceback"] = self.formatException(record.exc_info)
        data = {name: masked_text(value) if isinstance(value, str) else value for name, value in data.items()}
        return json.dumps(data, ensure_ascii=False, default=str)


@contextmanager
def json_log() -> Iterator[Progress]:
    """Log to stderr while the block runs; yields a listener that logs every task.

    The packages of this project log from level info on, all others from warning on; Python's warnings are logged, too.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(_is_logged)
    root = logging.getLogger()
    level_before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield LoggedTasks()
    finally:
        logging.captureWarnings(False)
        root.setLevel(level_before)
        root.removeHandler(handler)


def _is_logged(record: logging.LogRecord) -> bool:
    ours = record.name.partition(".")[0] in ("kg", "ingest", "gnn", "recall")
    return ours or record.levelno >= logging.WARNING


def _ours_or_warnings() -> Callable[[logging.LogRecord], bool]:
    return _is_logged


LOG_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonFormatter}},
    "filters": {"ours": {"()": _ours_or_warnings}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["ours"]}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
}
"""The same log for `logging.config.dictConfig`, of processes that log from their start to their end."""


class _CountedTask:
    def __init__(self) -> None:
        self.done = 0
        self.last_note = ""

    def advance(self, steps: int = 1) -> None:
        self.done += steps

    def note(self, text: str) -> None:
        self.last_note = text


class LoggedTasks:
    """A `kg.progress.Progress` that logs the beginning and the end of every task."""

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Task]:
        """Log a task; an exception that passes is logged as its end, too."""
        counted, start = _CountedTask(), time.monotonic()
        facts: dict[str, Any] = {"task": description}
        _log.info("begun: %s", description, extra={FIELDS: {"event": "task begun", **facts, "total": total}})
        event = "task stopped"
        try:
            yield counted
            event = "task done"
        finally:
            facts |= {"done": counted.done, "seconds": round(time.monotonic() - start, 3)}
            if counted.last_note:
                facts["note"] = counted.last_note
            _log.info("%s: %s", event.removeprefix("task "), description, extra={FIELDS: {"event": event, **facts}})
