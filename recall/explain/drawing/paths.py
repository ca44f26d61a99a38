"""The paths of an explanation: boxes, the lines between them, their labels, the legend."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from recall.explain.drawing.layers import Box, Layers, Line
from recall.explain.drawing.page import (
    EDGE,
    INK,
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
from recall.explain.entries import short_amount
from recall.explain.explanation import Explanation

SOLID: tuple[int, tuple[int, ...]] = (0, ())
DASHES: tuple[int, tuple[int, ...]] = (0, (3, 2))


def draw_paths(page: Page, layers: Layers, *, top: float, bottom: float) -> None:
    """Put boxes, lines and labels on a page, between two heights."""
    middle = (top + bottom) / 2
    for box in layers.boxes:
        box.y += middle
        if box.lines:
            _draw_box(page, box)
    strongest = layers.strongest
    for line in layers.lines:
        _draw_line(page, line, strongest)
    ends = Counter(id(box) for line in layers.lines for box in (line.boxes[0], line.boxes[-1]))
    for line in sorted(layers.lines, key=lambda line: -len(line.label)):
        # where many lines meet there is no room: keep to the other end
        fan = ends[id(line.boxes[0])] - ends[id(line.boxes[-1])]
        _label(page, line, 0.82 if fan > 1 else 0.18 if fan < -1 else 0.5)
    if not layers.lines:
        x = (layers.user.x + layers.item.x) / 2
        text = "no path of the graph within the hops asked for"
        if layers.by_paths is not None:
            text = "no path of the graph carries a part of the score"
        page.text(x, middle, text, color=MUTED, ha="center", size=10)


def _draw_box(page: Page, box: Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    page.axes.add_patch(
        FancyBboxPatch(
            (box.x - box.width / 2, box.y - box.height / 2),
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=box.fill,
            edgecolor=RULE,
            lw=0.8,
            zorder=3,
        )
    )
    page.occupy(box.x, box.y, box.width, box.height)
    step = 0.17
    y = box.y + (len(box.lines) - 1) * step / 2 + (0.07 if box.caption else 0)
    for number, text in enumerate(box.lines):
        page.text(box.x, y - number * step, text, color=box.ink, ha="center", zorder=4)
    if box.caption:
        light = "#c9d1d9" if box.ink == "#ffffff" else MUTED
        page.text(box.x, y - len(box.lines) * step + 0.01, box.caption, size=7, color=light, ha="center", zorder=4)


def _draw_line(page: Page, line: Line, strongest: float) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    points: list[tuple[float, float]] = []
    codes: list[int] = []
    for near, far in pairwise(line.boxes):
        start, end = _ends(near, far)
        bend = (end[0] - start[0]) * 0.45
        corners = [start, (start[0] + bend, start[1]), (end[0] - bend, end[1]), end]
        points += corners if not points else [start, *corners[1:]]
        codes += [Outline.MOVETO if not codes else Outline.LINETO, Outline.CURVE4, Outline.CURVE4, Outline.CURVE4]
    width, color, style = 1.1, EDGE, DASHES
    if line.share is not None:
        width, color, style = _line_width(line.share, strongest), POSITIVE if line.share >= 0 else NEGATIVE, SOLID
    page.axes.add_patch(
        PathPatch(
            Outline(points, codes),
            facecolor="none",
            edgecolor=color,
            lw=width,
            ls=style,
            alpha=0.75,
            capstyle="butt",
            zorder=1,
        )
    )


def _line_width(share: float, strongest: float) -> float:
    return 1.0 + 8.0 * abs(share) / strongest if strongest else 1.0


def _ends(near: Box, far: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    if near.column == far.column:
        return (near.x, near.y), (far.x, far.y)
    return (near.x + near.width / 2, near.y), (far.x - far.width / 2, far.y)


def _label(page: Page, line: Line, wanted: float) -> None:
    """Put the label on its line, where it covers least of what is there already, near a fraction of the way."""
    near, far = line.boxes[:2]
    gap = abs(far.x - near.x) - (near.width + far.width) / 2
    texts = wrap(line.label, max(gap - 0.08, 0.6), 7, 2)
    width, height = max(text_width(text, 7) for text in texts) + 0.06, 0.13 * len(texts) + 0.03
    best: tuple[float, float, float] | None = None
    for near, far in pairwise(line.boxes):
        (x0, y0), (x1, y1) = _ends(near, far)
        for t in (0.14, 0.18, 0.26, 0.34, 0.42, 0.5, 0.58, 0.66, 0.74, 0.82, 0.86):
            # the cubic that _draw_line draws
            x = _bezier(t, x0, x0 + (x1 - x0) * 0.45, x1 - (x1 - x0) * 0.45, x1)
            y = _bezier(t, y0, y0, y1, y1)
            cost = page.overlap(x, y, width, height) + 0.002 * abs(t - wanted)
            if best is None or cost < best[0]:
                best = (cost, x, y)
    if best is None:
        return
    _, x, y = best
    page.occupy(x, y, width, height)
    color = MUTED if line.share is None else INK
    page.text(
        x,
        y,
        "\n".join(texts),
        size=7,
        color=color,
        ha="center",
        zorder=5,
        linespacing=1.1,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.88, "pad": 0.8},
    )


def _bezier(t: float, a: float, b: float, c: float, d: float) -> float:
    return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d


def draw_legend(page: Page, layers: Layers, explanation: Explanation, *, y: float) -> None:
    """Say at height y what the lines mean, and how many paths are not drawn."""
    x = MARGIN
    strongest = layers.strongest

    def sample(text: str, **style: Any) -> None:
        nonlocal x
        page.axes.plot([x, x + 0.4], [y, y], solid_capstyle="butt", **style)
        page.text(x + 0.48, y, text, size=7.5, color=MUTED)
        x += 0.48 + text_width(text, 7.5) + 0.3

    if strongest:
        whose = "the hop's share of the score" if layers.by_paths is None else "the share of the paths along it"
        meaning = f"Width of a solid line: {whose}"
        page.text(x, y, meaning, size=7.5, color=MUTED)
        x += text_width(meaning, 7.5) + 0.2
        score = explanation.score
        for part in (1.0, 0.25):
            amount = short_amount(part * strongest, part * strongest / score if score > 0 else None)
            sample(amount, color=POSITIVE, lw=_line_width(part * strongest, strongest), alpha=0.75)
        if any(line.share is not None and line.share < 0 for line in layers.lines):
            sample("negative", color=NEGATIVE, lw=3, alpha=0.75)
    if any(line.share is None for line in layers.lines):
        text = "edge of the graph" if explanation.reason else "edge of the graph, carries no share of its own"
        sample(text, color=EDGE, lw=1.1, ls=DASHES)
    if layers.by_paths is not None:
        if layers.by_paths.others is not None:
            others = layers.by_paths.others
            text = f"{others.text.removeprefix('and ')} with {short_amount(others.share, others.fraction)} not drawn."
            page.text(MARGIN, y - 0.24, text, size=7.5, color=MUTED)
        return
    if explanation.linked_fraction is not None:
        note = (
            f"{explanation.linked_fraction:.1%} of the absolute shares sit on pairs of outer hops that the graph joins."
        )
        page.text(WIDTH - MARGIN, y - 0.24, note, size=7.5, color=MUTED, ha="right")
    hidden = explanation.more_paths
    if hidden > 0:
        page.text(
            MARGIN, y - 0.24, f"{hidden} more {'path' if hidden == 1 else 'paths'} not drawn.", size=7.5, color=MUTED
        )
