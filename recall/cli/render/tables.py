"""What the tables of all commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from recall.cli.screen import visible

LEAST_PROSE = 16  # columns
UNLIMITED = 100_000


class Rows(Table):
    """A table whose ids and numbers stay whole: in a terminal too narrow for them it is wider than that."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row; the cells of columns that do not wrap are as wide as their texts."""
        for column, cell in zip(self.columns, cells, strict=True):
            if column.no_wrap and isinstance(cell, str | Text):
                lines = (cell if isinstance(cell, str) else cell.plain).split("\n")
                column.min_width = max(column.min_width or 0, *map(cell_len, lines))
        super().add_row(*cells, **options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The segments, at least as wide as what does not wrap."""
        least = self.__rich_measure__(console, options.update(max_width=UNLIMITED)).minimum
        yield from super().__rich_console__(console, options.update(max_width=max(options.max_width, least)))


def table(*columns: str, right: Sequence[str] = (), wrap: Sequence[str] = ("title",), title: str | None = None) -> Rows:
    """An empty table.

    Args:
        columns: their headings.
        right: those that are aligned to the right.
        wrap: those of prose, whose cells may go on in the next line; ids and numbers are never broken.
        title: above it.
    """
    heading = None if title is None else Text(title, style="bold")
    rows = Rows(box=box.SIMPLE_HEAD, title=heading, title_justify="left", pad_edge=False)
    for name in columns:
        # A column of prose needs room for some words.
        least = LEAST_PROSE if name in wrap else cell_len(name)
        rows.add_column(
            name,
            justify="right" if name in right else "left",
            overflow="fold",
            no_wrap=name not in wrap,
            min_width=least,
        )
    return rows


def labelled_line(label: str, text: str, *, style: str = "") -> Text:
    """A bold label and a text in one line, however long: a path or a command is there to be copied.

    Print it with `soft_wrap=True`.
    """
    return Text.assemble((f"{label:<9}", "bold"), text, style=style)


def shown(text: str, style: str = "") -> Text:
    """Text that comes from data, with what a terminal would obey made visible."""
    return Text(visible(text), style=style)


def labelled(label: str, text: str) -> Table:
    """A text with a bold label to the left of it."""
    line = Table(box=None, show_header=False, padding=0)
    line.add_column(width=9, style="bold")
    line.add_column(overflow="fold")
    line.add_row(label, Text(text))
    return line


def near(path: Path) -> Path:
    """A path relative to the working directory, if it is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
