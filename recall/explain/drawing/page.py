"""The page of a drawing: a figure in inches, colours, and the width of text."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

WIDTH = 12.0
DPI = 100
MARGIN = 0.35
INK, MUTED, RULE = "#1f2933", "#66727f", "#c9d1d9"
POSITIVE, NEGATIVE, EDGE = "#2f6db5", "#c0392b", "#8a949e"
FONTS = ("DejaVu Sans", "Noto Sans", "Noto Sans CJK JP", "Noto Sans Arabic", "Noto Sans Hebrew", "Arial Unicode MS")
# What XML cannot hold, and what would turn the text around it.
NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


class Page:
    """A figure whose coordinates are inches, origin at the lower left."""

    def __init__(self, height: float) -> None:
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_xlim(0, WIDTH)
        self.axes.set_ylim(0, height)
        self.axes.set_axis_off()
        self.height = height
        self.occupied: list[tuple[float, float, float, float]] = []

    def text(self, x: float, y: float, text: str, *, size: float = 9, color: str = INK, **more: Any) -> None:
        """Plain text, of one line or several: what looks like mathematics in a title stays as it is."""
        more = {"va": "center", "ha": "left"} | more
        text = "\n".join(NO_TEXT.sub("\ufffd", line) for line in text.split("\n"))
        self.axes.text(x, y, text, fontsize=size, color=color, family=_fonts(), parse_math=False, usetex=False, **more)

    def rule(self, y: float, left: float = MARGIN, right: float = WIDTH - MARGIN) -> None:
        """A thin line across."""
        self.axes.plot([left, right], [y, y], color=RULE, lw=0.8, zorder=0)

    def occupy(self, x: float, y: float, width: float, height: float) -> None:
        """Mark a box, given by its middle, as used by something that labels must not cover."""
        self.occupied.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))

    def overlap(self, x: float, y: float, width: float, height: float) -> float:
        """How much of a box is used already, square inches."""
        left, low, right, high = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        return sum(
            max(0.0, min(right, r) - max(left, a)) * max(0.0, min(high, t) - max(low, b))
            for a, b, r, t in self.occupied
        )

    def save(self, path: Path, kind: str) -> None:
        """Render without a window and without pyplot.

        In an SVG text stays text: it can be searched and copied, and who shows it may have the glyphs that this machine
        lacks.
        """
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        canvas = FigureCanvasAgg(self.figure) if kind == "png" else FigureCanvasSVG(self.figure)
        metadata = {"Date": None} if kind == "svg" else None
        with warnings.catch_warnings(), rc_context({"svg.fonttype": "none"}):
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            canvas.print_figure(path, format=kind, dpi=DPI, facecolor="white", metadata=metadata)


def wrap(text: str, width: float, size: float, limit: int, weight: str = "normal") -> list[str]:
    """Lines no wider than `width` inches, at most `limit`; what is cut ends in an ellipsis."""
    lines: list[str] = []
    rest = text.strip() or " "
    while rest:
        cut = _fitting(rest, width, size, weight)
        if cut < len(rest) and " " in rest[: cut + 1].rstrip():
            cut = rest[: cut + 1].rstrip().rfind(" ")
        if len(lines) == limit - 1 and cut < len(rest):
            cut = max(_fitting(rest, width - text_width("…", size, weight), size, weight), 1)
            return [*lines, rest[:cut].rstrip() + "…"]
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return lines


def _fitting(text: str, width: float, size: float, weight: str) -> int:
    """How many leading characters fit, at least 1."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if text_width(text[:middle], size, weight) <= width:
            low = middle
        else:
            high = middle - 1
    return low


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    properties = FontProperties(family=_fonts(), size=size, weight=weight)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        width, _, _ = text_to_path.get_text_width_height_descent(text, properties, ismath=False)
    return float(width) / 72


@lru_cache(maxsize=1)
def _fonts() -> list[str]:
    """The fonts to take glyphs from, those of `FONTS` that are here."""
    from matplotlib.font_manager import fontManager

    there = {entry.name for entry in fontManager.ttflist}
    return [name for name in FONTS if name in there] or ["sans-serif"]
