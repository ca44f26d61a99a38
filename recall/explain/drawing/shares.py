"""The shares of an explanation: a bar for each reason, the user's side beside the item's."""

from __future__ import annotations

from collections.abc import Sequence

from recall.explain.drawing.page import (
    MARGIN,
    MUTED,
    NEGATIVE,
    POSITIVE,
    RULE,
    WIDTH,
    Page,
    text_width,
    wrap,
)
from recall.explain.entries import ChannelPart, PathReason, Reason, short_amount, shortened
from recall.explain.explanation import Explanation

TOP = 6
STEP = 0.34
"""Inches from one bar to the next."""

Row = Reason | PathReason | ChannelPart


def share_rows(explanation: Explanation) -> list[tuple[str, Sequence[Row]]]:
    """The columns of bars, each with its name: paths and, in a fusion, channels; or the user's side and the item's."""
    by_paths = explanation.path_reasons
    if by_paths is None:
        sides = (("the user's side", explanation.history), ("the item's side", explanation.neighbours))
        return [(name, _rows(*shortened(reasons, TOP))) for name, reasons in sides]
    columns: list[tuple[str, Sequence[Row]]] = [("paths, and popularity", by_paths.shortened(TOP).rows)]
    return [*columns, ("channels", explanation.parts)] if explanation.parts else columns


def _rows(hops: Sequence[Reason], rest: Reason | None, own: Sequence[Reason]) -> list[Reason]:
    return [*hops, *([] if rest is None else [rest]), *own]


def bars_height(explanation: Explanation) -> float:
    """Inches that `draw_shares` needs."""
    return (
        0.75 if explanation.reason is not None else 0.62 + STEP * max(len(rows) for _, rows in share_rows(explanation))
    )


def draw_shares(page: Page, explanation: Explanation, *, top: float) -> None:
    """Draw the shares of both sides, below a height of the page, or why there are none."""
    page.rule(top + 0.05)
    heading = "Because of" if explanation.path_reasons is None else "In words"
    page.text(MARGIN, top - 0.2, heading, size=11, weight="bold")
    if explanation.reason is not None:
        for number, text in enumerate(wrap(f"No shares: {explanation.reason}.", WIDTH - 2 * MARGIN, 9, 2)):
            page.text(MARGIN, top - 0.47 - 0.18 * number, text, color=MUTED)
        return
    note = "exact shares of the score; each side adds up to all of it"
    if explanation.path_reasons is not None:
        note = (
            "exact shares of the score; the channels add up to it"
            if explanation.parts
            else "exact shares; they add up to the score"
        )
    page.text(MARGIN + text_width(heading, 11, "bold") + 0.12, top - 0.21, note, size=8, color=MUTED)
    sides = share_rows(explanation)
    values = [row.share for _, rows in sides for row in rows]
    low, high = min([0.0, *values]), max([0.0, *values])
    width = (WIDTH - 2 * MARGIN - 0.5 * (len(sides) - 1)) / len(sides)
    for number, (name, rows) in enumerate(sides):
        left = MARGIN + number * (width + 0.5)
        page.text(left, top - 0.47, name, size=8, color=MUTED)
        label, value = width * 0.55, 0.62
        scale = (width - label - value - 0.1) / (high - low) if high > low else 0.0
        zero = left + label + 0.1 - low * scale
        for row, reason in enumerate(rows):
            y = top - 0.75 - STEP * row
            text = "\n".join(wrap(reason.text.removeprefix("of "), label, 8, 2))
            page.text(left, y, text, size=8, linespacing=1.05)
            color = POSITIVE if reason.share >= 0 else NEGATIVE
            page.axes.barh([y], [reason.share * scale], left=zero, height=0.17, color=color, alpha=0.8)
            page.text(
                zero + max(reason.share, 0) * scale + 0.06,
                y,
                short_amount(reason.share, reason.fraction),
                size=8,
                color=MUTED,
            )
        bottom = top - 0.75 - STEP * (len(rows) - 1) - 0.13
        page.axes.plot([zero, zero], [top - 0.62, bottom], color=RULE, lw=0.8)
