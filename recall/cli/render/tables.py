"""What the tables of all commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

BAR_WIDTH = 20


def table(*columns: str, right: Sequence[str] = (), title: str | None = None) -> Table:
    """An empty table; the columns named in `right` are aligned to the right."""
    heading = None if title is None else Text(title, style="bold")
    rows = Table(box=box.SIMPLE_HEAD, title=heading, title_justify="left", pad_edge=False)
    for name in columns:
        rows.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return rows


def labelled(label: str, text: str) -> Table:
    """A text with a bold label to the left of it."""
    line = Table(box=None, show_header=False, padding=0)
    line.add_column(width=9, style="bold")
    line.add_column(overflow="fold")
    line.add_row(label, Text(text))
    return line


def print_bars(lines: Sequence[tuple[str, float, float | None]], console: Console) -> None:
    """Draw shares as bars.

    Args:
        lines: text, share of the score, and share / score, or None where that has no meaning.
        console: where to.
    """
    largest = max(abs(share) for _, share, _ in lines) or 1.0
    rows = Table(box=None, show_header=False, padding=(0, 1))
    rows.add_column(justify="right", no_wrap=True)
    rows.add_column(no_wrap=True, width=BAR_WIDTH)
    rows.add_column(overflow="fold")
    for text, share, fraction in lines:
        amount = f"{share:+.3g}" if fraction is None else f"{fraction:.1%}"
        # The sum of the rest is no single reason: its bar is shown, but dim.
        color = ("cyan" if share >= 0 else "red") + (" dim" if text.startswith("and ") else "")
        bar = Text("█" * max(round(BAR_WIDTH * abs(share) / largest), 1), style=color)
        rows.add_row(amount, bar, Text(text))
    console.print(rows)
    console.print()


def near(path: Path) -> Path:
    """A path relative to the working directory, if it is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
