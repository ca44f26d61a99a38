"""Progress for people, sizes and durations in words."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from kg.progress import SILENT
from recall.cli.console import ProgressBars, json_text, shown_progress
from recall.cli.lines import ProgressLines
from recall.ops.words import duration, size


def test_bars_show_tasks_that_end_or_fail() -> None:
    text = io.StringIO()
    with ProgressBars(Console(file=text, force_terminal=True, width=100)) as bars:
        with bars.task("reading", total=3) as task:
            task.advance(2)
            task.note("halfway")
            task.advance()
        with bars.task("unknown length") as task:
            task.advance(7)
        with pytest.raises(ValueError, match="broken"), bars.task("failing", total=5):
            raise ValueError("broken")
    shown = text.getvalue()
    for part in ("reading", "3/3", "halfway", "unknown length", "7/7", "failing", "0/5"):
        assert part in shown


def test_a_pipe_gets_lines_and_no_bars() -> None:
    with shown_progress(quiet=False) as progress:
        assert isinstance(progress, ProgressLines)
    with shown_progress(quiet=True) as progress:
        assert progress is SILENT


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (59.4, "59 s"), (185, "3 min 05 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456, "123 kB"), (3_400_000, "3.4 MB")]
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_json_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"score": float("nan")})
