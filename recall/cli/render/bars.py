"""Shares of a score as bars, those below 0 to the left of a common line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recall.explain.entries import short_amount

BAR_WIDTH = 16
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Bar(NamedTuple):
    """A share with its text.

    Attributes:
        text: what has the share.
        share: part of the score.
        fraction: share / score, or None where that has no meaning.
        sum_of_many: whether it is no single reason, but what is left of many; it is drawn dim.
    """

    text: str
    share: float
    fraction: float | None
    sum_of_many: bool = False


def print_bars(bars: Sequence[Bar], console: Console) -> None:
    """Draw shares as bars, with the amount before each and the text after it."""
    rows = Table(box=None, show_header=False, padding=(0, 1))
    rows.add_column(justify="right", no_wrap=True)
    rows.add_column(no_wrap=True, width=BAR_WIDTH)
    rows.add_column(overflow="fold")
    for bar, drawn in zip(bars, drawn_bars([bar.share for bar in bars]), strict=True):
        color = ("cyan" if bar.share >= 0 else "red") + (" dim" if bar.sum_of_many else "")
        rows.add_row(short_amount(bar.share, bar.fraction), Text(drawn, style=color), Text(bar.text))
    console.print(rows)
    console.print()


def drawn_bars(shares: Sequence[float]) -> list[str]:
    """Each share as blocks: from the line of 0 to the right, or to the left below 0; one that is next to 0 has none.

    Without shares below 0 the line is at the left edge.
    """
    low, high = min([0.0, *shares]), max([0.0, *shares])
    if high == low:
        return [""] * len(shares)
    # Whole cells left of 0: blocks of eighths grow from the left only.
    left = 0 if low == 0 else min(max(round(BAR_WIDTH * -low / (high - low)), 1), BAR_WIDTH - (high > 0))
    scale = min(left / -low if low else float("inf"), (BAR_WIDTH - left) / high if high else float("inf"))
    return [_blocks(share * scale, left) for share in shares]


def _blocks(length: float, left: int) -> str:
    if length < 0:
        cells = round(-length)
        return " " * (left - cells) + "█" * cells
    eighths = round(8 * length)
    return " " * left + "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
