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
    short_amount,
    text_width,
    wrap,
)
from recall.explain.explanation import Explanation, Reason, shortened

TOP = 6


def share_rows(explanation: Explanation) -> tuple[list[Reason], list[Reason]]:
    """The reasons to draw, of the user's side and of the item's side."""
    user_side, item_side = (shortened(reasons, TOP) for reasons in (explanation.history, explanation.neighbours))
    return _rows(*user_side), _rows(*item_side)


def _rows(hops: Sequence[Reason], rest: Reason | None, own: Sequence[Reason]) -> list[Reason]:
    return [*hops, *([] if rest is None else [rest]), *own]


def bars_height(explanation: Explanation) -> float:
    """Inches that `draw_shares` needs."""
    return 0.75 if explanation.reason is not None else 0.62 + 0.3 * max(map(len, share_rows(explanation)))


def draw_shares(page: Page, explanation: Explanation, *, top: float) -> None:
    """Draw the shares of both sides, below a height of the page, or why there are none."""
    page.rule(top + 0.05)
    page.text(MARGIN, top - 0.2, "Because of", size=11, weight="bold")
    if explanation.reason is not None:
        for number, text in enumerate(wrap(f"No shares: {explanation.reason}.", WIDTH - 2 * MARGIN, 9, 2)):
            page.text(MARGIN, top - 0.47 - 0.18 * number, text, color=MUTED)
        return
    note = "exact shares of the score; each side adds up to all of it"
    page.text(MARGIN + text_width("Because of", 11, "bold") + 0.12, top - 0.21, note, size=8, color=MUTED)
    sides = share_rows(explanation)
    values = [reason.share for rows in sides for reason in rows]
    low, high = min([0.0, *values]), max([0.0, *values])
    half = (WIDTH - 2 * MARGIN - 0.5) / 2
    for number, (rows, name) in enumerate(zip(sides, ("the user's side", "the item's side"), strict=True)):
        left = MARGIN + number * (half + 0.5)
        page.text(left, top - 0.47, name, size=8, color=MUTED)
        label, value = half * 0.55, 0.62
        scale = (half - label - value - 0.1) / (high - low) if high > low else 0.0
        zero = left + label + 0.1 - low * scale
        for row, reason in enumerate(rows):
            y = top - 0.75 - 0.3 * row
            page.text(left, y, wrap(reason.text.removeprefix("of "), label, 8.5, 1)[0], size=8.5)
            color = POSITIVE if reason.share >= 0 else NEGATIVE
            page.axes.barh([y], [reason.share * scale], left=zero, height=0.17, color=color, alpha=0.8)
            page.text(
                zero + max(reason.share, 0) * scale + 0.06,
                y,
                short_amount(reason.share, reason.fraction),
                size=8,
                color=MUTED,
            )
        bottom = top - 0.75 - 0.3 * (len(rows) - 1) - 0.13
        page.axes.plot([zero, zero], [top - 0.62, bottom], color=RULE, lw=0.8)
