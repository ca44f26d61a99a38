"""Draw an explanation: the connecting paths from user to item, and the shares of the score, apart from one another.

Everything is placed in inches on one page, in layers from left to right, because labels of unknown length must not
overlap. The figure never touches matplotlib's global state, so it can be drawn in a server or beside a notebook's own
plots.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from kg.errors import ConfigError
from kg.io.files import atomic_path
from recall.explain.explanation import Because, Connection, Explanation, Hop, Node

FORMATS = {".png": "png", ".svg": "svg"}
WIDTH = 12.0
DPI = 100
MARGIN = 0.35
INK, MUTED, RULE = "#1f2933", "#66727f", "#c9d1d9"
POSITIVE, NEGATIVE, EDGE = "#2f6db5", "#c0392b", "#8a949e"
FILLS = {"user": ("#1f2933", "#ffffff"), "item": ("#e8a33d", "#1f2933"), "history": ("#dbe8f7", "#1f2933")}
TINTS = ("#e4f1e4", "#f3e8f6", "#fdf0dc", "#e2f2f3", "#f7e4e6", "#ececec")
CROWD = "other users"
SOLID: tuple[int, tuple[int, ...]] = (0, ())
DASHES: tuple[int, tuple[int, ...]] = (0, (3, 2))
FONTS = ("DejaVu Sans", "Noto Sans", "Noto Sans CJK JP", "Noto Sans Arabic", "Noto Sans Hebrew", "Arial Unicode MS")


def draw_explanation(explanation: Explanation, path: Path | str) -> None:
    """Draw one explanation as an image, about 1200 points wide.

    Left the user, then history items, what they share with the item, and right the item. The width of a solid line is
    a share of the score: of the history item on the user's side, of the neighbour on the item's side. Dashed lines are
    edges of the graph that carry no share of their own. Below are the shares of both sides as bars.

    Args:
        explanation: what `Explainer.explain` returned.
        path: where to write it; the suffix `.svg` or `.png` says what.

    Raises:
        ConfigError: the suffix is another one.
    """
    target = Path(path)
    kind = FORMATS.get(target.suffix.lower())
    if kind is None:
        raise ConfigError(f"{target} cannot be drawn: the name must end in {' or '.join(FORMATS)}")
    layers = _Layers(explanation)
    graph_height = max(layers.height, 1.0)
    bars_height = 0.75 if explanation.reason is not None else 0.62 + 0.3 * max(map(len, _bars(explanation)))
    top, notes = 1.25, 0.75
    height = top + graph_height + notes + bars_height + MARGIN
    page = _Page(height)
    _heading(page, explanation)
    layers.draw(page, top=height - top, bottom=height - top - graph_height)
    _legend(page, layers, explanation, y=height - top - graph_height - 0.35)
    _shares(page, explanation, top=bars_height + MARGIN)
    with atomic_path(target) as temporary:
        page.save(temporary, kind)


class _Page:
    """A figure whose coordinates are inches, origin at the lower left."""

    def __init__(self, height: float) -> None:
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_xlim(0, WIDTH)
        self.axes.set_ylim(0, height)
        self.axes.set_axis_off()
        self.height = height
        self.taken: list[tuple[float, float, float, float]] = []

    def text(self, x: float, y: float, text: str, *, size: float = 9, color: str = INK, **more: Any) -> None:
        """Plain text: what looks like mathematics in a title stays as it is."""
        more = {"va": "center", "ha": "left"} | more
        self.axes.text(x, y, text, fontsize=size, color=color, family=_fonts(), parse_math=False, usetex=False, **more)

    def rule(self, y: float, left: float = MARGIN, right: float = WIDTH - MARGIN) -> None:
        """A thin line across."""
        self.axes.plot([left, right], [y, y], color=RULE, lw=0.8, zorder=0)

    def take(self, x: float, y: float, width: float, height: float) -> None:
        """Mark a box, given by its middle, as used by something that labels must not cover."""
        self.taken.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))

    def overlap(self, x: float, y: float, width: float, height: float) -> float:
        """How much of a box is used already, square inches."""
        left, low, right, high = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        return sum(
            max(0.0, min(right, r) - max(left, a)) * max(0.0, min(high, t) - max(low, b)) for a, b, r, t in self.taken
        )

    def save(self, path: Path, kind: str) -> None:
        """Render without a window and without pyplot."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        canvas = FigureCanvasAgg(self.figure) if kind == "png" else FigureCanvasSVG(self.figure)
        metadata = {"Date": None} if kind == "svg" else None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            canvas.print_figure(path, format=kind, dpi=DPI, facecolor="white", metadata=metadata)


@dataclass(eq=False)
class _Box:
    """A node as it is drawn; a box without text only guides a line past a layer."""

    lines: list[str] = field(default_factory=list)
    caption: str = ""
    fill: str = "#ffffff"
    ink: str = INK
    column: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0

    @property
    def height(self) -> float:
        return 0.24 + 0.17 * len(self.lines) + (0.02 if self.caption else -0.1) if self.lines else 0.3


@dataclass(eq=False)
class _Line:
    """An edge as it is drawn, through the boxes it passes; `share` is None for edges that carry none."""

    boxes: list[_Box]
    phrases: dict[str, None] = field(default_factory=dict)
    share: float | None = None
    fraction: float | None = None

    @property
    def label(self) -> str:
        words = ", ".join(self.phrases)
        if self.share is None:
            return words
        return f"{words}  {_short(self.share, self.fraction)}"


class _Layers:
    """Boxes in columns, in the order of the hops, and the lines between them."""

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation
        self.boxes: dict[Any, _Box] = {}
        self.lines: dict[tuple[Any, ...], _Line] = {}
        self.kinds: dict[str, str] = {}
        hops = [3 if path.users else len(path.steps) for path in explanation.paths]
        self.last = max([2, *hops]) if hops else 1
        self.gap = 1.45 if self.last <= 3 else 1.15
        free = WIDTH - 2 * MARGIN - self.gap * self.last
        self.width = {0: 0.95, self.last: 1.9}
        inner = (free - 2.85) / max(self.last - 1, 1)
        self.width |= {column: min(inner, 2.6) for column in range(1, self.last)}
        self.user = self._box(("user",), "you", explanation.user.title, "user", 0)
        self.item = self._box(("item",), explanation.item.title, explanation.item.type, "item", self.last)
        for path in explanation.paths:
            self._add(path)
        self._order()

    @property
    def height(self) -> float:
        """Inches that the tallest column needs."""
        return max(sum(box.height + 0.17 for box in column) for column in self.columns) + 0.1

    def _box(self, key: Any, title: str, caption: str, kind: str, column: int) -> _Box:
        if key not in self.boxes:
            if kind not in FILLS and kind not in self.kinds:
                self.kinds[kind] = TINTS[len(self.kinds) % len(TINTS)]
            fill, ink = FILLS[kind] if kind in FILLS else (self.kinds[kind], INK)
            lines = _wrap(title, self.width[column] - 0.2, 9, 3)
            caption = _wrap(caption.replace("_", " "), self.width[column] - 0.2, 7, 1)[0]
            self.boxes[key] = _Box(lines, caption, fill, ink, column)
        return self.boxes[key]

    def _add(self, path: Connection) -> None:
        user, item = path.nodes[0], path.nodes[-1]
        if path.users:
            first = path.nodes[1]
            boxes = [self.user, self._inner(first, 1), self._others(path.steps[2]), self.item]
            self._line(boxes[0:2], path.steps[0], self._share(self.explanation.history, path.steps[0], first))
            counted = Hop(path.steps[1].relation, False, f"{path.users} {path.steps[1].phrase}")
            self._line(boxes[1:3], counted, None)
            self._line(boxes[2:4], path.steps[2], self._share(self.explanation.neighbours, path.steps[2], None))
            return
        boxes = [self.user, *(self._inner(node, place) for place, node in enumerate(path.nodes[1:-1], 1)), self.item]
        for place, (step, (near, far)) in enumerate(zip(path.steps, pairwise(boxes), strict=True)):
            share: Because | None = None
            if place == 0:
                share = self._share(self.explanation.history, step, path.nodes[1] if len(boxes) > 2 else item)
            elif place == len(path.steps) - 1:
                share = self._share(self.explanation.neighbours, step, path.nodes[-2] if len(boxes) > 2 else user)
            self._line([near, far], step, share)

    def _inner(self, node: Node, column: int) -> _Box:
        kind = "history" if column == 1 else node.type
        return self._box((node.type, node.id), node.title, node.type, kind, column)

    def _others(self, last: Hop) -> _Box:
        count = sum(
            reason.users or 1
            for reason in self.explanation.neighbours
            if reason.relation == last.relation and (reason.users or self._is_other(reason.node))
        )
        return self._box((CROWD,), f"{count} {CROWD}" if count > 1 else CROWD, "counted, not named", CROWD, 2)

    def _is_other(self, node: Node | None) -> bool:
        return node is not None and node.type == self.explanation.user.type and node.id != self.explanation.user.id

    def _share(self, reasons: Sequence[Because], step: Hop, node: Node | None) -> Because | None:
        """The share of a first hop; without a node that of all other users under the relation."""
        if node is not None:
            matching = [r for r in reasons if r.relation == step.relation and r.node == node]
        else:
            matching = [r for r in reasons if r.relation == step.relation and (r.users or self._is_other(r.node))]
        if not matching:
            return None
        fractions = [reason.fraction for reason in matching if reason.fraction is not None]
        return Because(
            share=sum(reason.share for reason in matching), fraction=sum(fractions) if fractions else None, text=""
        )

    def _line(self, boxes: list[_Box], step: Hop, share: Because | None) -> None:
        near, far = boxes
        key = (id(near), id(far))
        if key not in self.lines:
            guides = [self._guide(key, column) for column in range(near.column + 1, far.column)]
            self.lines[key] = _Line([near, *guides, far])
        line = self.lines[key]
        label = f"{step.phrase} ▸" if step.forward else f"◂ {step.phrase}"
        if label in line.phrases:
            return
        line.phrases[label] = None
        if share is not None:
            line.share = (line.share or 0.0) + share.share
            line.fraction = None if share.fraction is None else (line.fraction or 0.0) + share.fraction

    def _guide(self, key: Any, column: int) -> _Box:
        guide = self.boxes[(*key, column)] = _Box(column=column)
        return guide

    def _order(self) -> None:
        """Rows by the mean row of the neighbouring columns, which takes out most crossings (Sugiyama's barycentres)."""
        self.columns: list[list[_Box]] = [[] for _ in range(self.last + 1)]
        for box in self.boxes.values():
            self.columns[box.column].append(box)
        beside: dict[int, list[_Box]] = {id(box): [] for box in self.boxes.values()}
        for line in self.lines.values():
            for near, far in pairwise(line.boxes):
                beside[id(near)].append(far)
                beside[id(far)].append(near)
        self._stack()
        for sweep in range(8):
            for number in range(1, self.last) if sweep % 2 == 0 else range(self.last - 1, 0, -1):
                side = number - 1 if sweep % 2 == 0 else number + 1
                center = {id(box): _center(box, beside[id(box)], side) for box in self.columns[number]}
                self.columns[number].sort(key=lambda box, center=center: -center[id(box)])  # type: ignore[misc]
                self._stack()

    def _stack(self) -> None:
        """Positions around y = 0, each column centred."""
        x = MARGIN
        for number, column in enumerate(self.columns):
            width = self.width[number]
            total = sum(box.height for box in column)
            room = max(sum(box.height + 0.17 for box in other) for other in self.columns) - total
            gap = min(room / max(len(column), 1), 0.6)
            y = (total + gap * (len(column) - 1)) / 2
            for box in column:
                box.x, box.width = x + width / 2, width
                box.y = y - box.height / 2
                y -= box.height + gap
            spare = WIDTH - 2 * MARGIN - sum(self.width.values())
            x += width + spare / self.last

    def draw(self, page: _Page, *, top: float, bottom: float) -> None:
        """Put boxes, lines and labels on a page, between two heights."""
        middle = (top + bottom) / 2
        for box in self.boxes.values():
            box.y += middle
            if box.lines:
                _draw_box(page, box)
        strongest = self.strongest
        for line in self.lines.values():
            _draw_line(page, line, strongest)
        ends = Counter(id(box) for line in self.lines.values() for box in (line.boxes[0], line.boxes[-1]))
        for line in sorted(self.lines.values(), key=lambda line: -len(line.label)):
            # where many lines meet there is no room: keep to the other end
            fan = ends[id(line.boxes[0])] - ends[id(line.boxes[-1])]
            _label(page, line, 0.82 if fan > 1 else 0.18 if fan < -1 else 0.5)
        if not self.explanation.paths:
            x = (self.user.x + self.item.x) / 2
            page.text(x, middle, "no path of the graph within the hops asked for", color=MUTED, ha="center", size=10)

    @property
    def strongest(self) -> float:
        """The largest absolute share that a line carries."""
        return max([abs(line.share) for line in self.lines.values() if line.share is not None], default=0.0)


def _center(box: _Box, beside: list[_Box], column: int) -> float:
    """The mean height of the boxes that a box is joined to in a column, its own without any."""
    heights = [other.y for other in beside if other.column == column]
    return sum(heights) / len(heights) if heights else box.y


def _draw_box(page: _Page, box: _Box) -> None:
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
    page.take(box.x, box.y, box.width, box.height)
    step = 0.17
    y = box.y + (len(box.lines) - 1) * step / 2 + (0.07 if box.caption else 0)
    for number, text in enumerate(box.lines):
        page.text(box.x, y - number * step, text, color=box.ink, ha="center", zorder=4)
    if box.caption:
        light = "#c9d1d9" if box.ink == "#ffffff" else MUTED
        page.text(box.x, y - len(box.lines) * step + 0.01, box.caption, size=7, color=light, ha="center", zorder=4)


def _draw_line(page: _Page, line: _Line, strongest: float) -> None:
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


def _ends(near: _Box, far: _Box) -> tuple[tuple[float, float], tuple[float, float]]:
    if near.column == far.column:
        return (near.x, near.y), (far.x, far.y)
    return (near.x + near.width / 2, near.y), (far.x - far.width / 2, far.y)


def _label(page: _Page, line: _Line, wanted: float) -> None:
    """Put the label on its line, where it covers least of what is there already, near a fraction of the way."""
    near, far = line.boxes[:2]
    gap = abs(far.x - near.x) - (near.width + far.width) / 2
    texts = _wrap(line.label, max(gap - 0.08, 0.6), 7, 2)
    width, height = max(_text_width(text, 7) for text in texts) + 0.06, 0.13 * len(texts) + 0.03
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
    page.take(x, y, width, height)
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


def _heading(page: _Page, explanation: Explanation) -> None:
    title = f"Why {explanation.item.title} is a candidate for user {explanation.user.title}"
    page.text(MARGIN, page.height - 0.38, _wrap(title, WIDTH - 2 * MARGIN, 15, 1, "bold")[0], size=15, weight="bold")
    subtitle = f"score {explanation.score:.4g} from {explanation.source}"
    page.text(MARGIN, page.height - 0.68, subtitle, size=9, color=MUTED)
    page.text(MARGIN, page.height - 1.05, "Connected by", size=11, weight="bold")
    note = "paths of the graph; they are evidence, not causes of the score"
    page.text(MARGIN + _text_width("Connected by", 11, "bold") + 0.12, page.height - 1.06, note, size=8, color=MUTED)


def _legend(page: _Page, layers: _Layers, explanation: Explanation, *, y: float) -> None:
    x = MARGIN
    strongest = layers.strongest

    def sample(text: str, **style: Any) -> None:
        nonlocal x
        page.axes.plot([x, x + 0.4], [y, y], solid_capstyle="butt", **style)
        page.text(x + 0.48, y, text, size=7.5, color=MUTED)
        x += 0.48 + _text_width(text, 7.5) + 0.3

    if strongest:
        meaning = "Width of a solid line: the hop's share of the score"
        page.text(x, y, meaning, size=7.5, color=MUTED)
        x += _text_width(meaning, 7.5) + 0.2
        score = explanation.score
        for part in (1.0, 0.25):
            amount = _short(part * strongest, part * strongest / score if score > 0 else None)
            sample(amount, color=POSITIVE, lw=_line_width(part * strongest, strongest), alpha=0.75)
        if any(line.share is not None and line.share < 0 for line in layers.lines.values()):
            sample("negative", color=NEGATIVE, lw=3, alpha=0.75)
    if any(line.share is None for line in layers.lines.values()):
        text = "edge of the graph" if explanation.reason else "edge of the graph, carries no share of its own"
        sample(text, color=EDGE, lw=1.1, ls=DASHES)
    if explanation.linked_fraction is not None:
        note = (
            f"{explanation.linked_fraction:.1%} of the absolute shares sit on pairs of outer hops that the graph joins."
        )
        page.text(WIDTH - MARGIN, y - 0.24, note, size=7.5, color=MUTED, ha="right")
    hidden = explanation.found - sum(not path.users for path in explanation.paths)
    if hidden > 0:
        page.text(
            MARGIN, y - 0.24, f"{hidden} more {'path' if hidden == 1 else 'paths'} not drawn.", size=7.5, color=MUTED
        )


def _bars(explanation: Explanation, top: int = 6) -> tuple[list[tuple[str, float, float | None]], ...]:
    """Text, share and fraction of the rows on either side."""
    sides = []
    for reasons in (explanation.history, explanation.neighbours):
        hops, own = reasons[:-1], reasons[-1:]
        rows = [(reason.text, reason.share, reason.fraction) for reason in hops[:top]]
        if rest := hops[top:]:
            fractions = [reason.fraction for reason in rest if reason.fraction is not None]
            share = sum(reason.share for reason in rest)
            rows.append((f"and {len(rest)} more", share, sum(fractions) if fractions else None))
        rows += [(reason.text.removeprefix("of "), reason.share, reason.fraction) for reason in own]
        sides.append(rows)
    return tuple(sides)


def _shares(page: _Page, explanation: Explanation, *, top: float) -> None:
    page.rule(top + 0.05)
    page.text(MARGIN, top - 0.2, "Because of", size=11, weight="bold")
    if explanation.reason is not None:
        for number, text in enumerate(_wrap(f"No shares: {explanation.reason}.", WIDTH - 2 * MARGIN, 9, 2)):
            page.text(MARGIN, top - 0.47 - 0.18 * number, text, color=MUTED)
        return
    note = "exact shares of the score; each side adds up to all of it"
    page.text(MARGIN + _text_width("Because of", 11, "bold") + 0.12, top - 0.21, note, size=8, color=MUTED)
    sides = _bars(explanation)
    values = [share for rows in sides for _, share, _ in rows]
    low, high = min([0.0, *values]), max([0.0, *values])
    half = (WIDTH - 2 * MARGIN - 0.5) / 2
    for number, (rows, name) in enumerate(zip(sides, ("the user's side", "the item's side"), strict=True)):
        left = MARGIN + number * (half + 0.5)
        page.text(left, top - 0.47, name, size=8, color=MUTED)
        label, value = half * 0.55, 0.62
        scale = (half - label - value - 0.1) / (high - low) if high > low else 0.0
        zero = left + label + 0.1 - low * scale
        for row, (text, share, fraction) in enumerate(rows):
            y = top - 0.75 - 0.3 * row
            page.text(left, y, _wrap(text, label, 8.5, 1)[0], size=8.5)
            color = POSITIVE if share >= 0 else NEGATIVE
            page.axes.barh([y], [share * scale], left=zero, height=0.17, color=color, alpha=0.8)
            page.text(zero + max(share, 0) * scale + 0.06, y, _short(share, fraction), size=8, color=MUTED)
        bottom = top - 0.75 - 0.3 * (len(rows) - 1) - 0.13
        page.axes.plot([zero, zero], [top - 0.62, bottom], color=RULE, lw=0.8)


def _short(share: float, fraction: float | None) -> str:
    if fraction is None:
        return f"{share:+.2g}"
    return "<0.1%" if 0 < fraction < 0.0005 else f"{fraction:.1%}"


def _wrap(text: str, width: float, size: float, limit: int, weight: str = "normal") -> list[str]:
    """Lines no wider than `width` inches, at most `limit`; what is cut ends in an ellipsis."""
    lines: list[str] = []
    rest = text.strip() or " "
    while rest:
        cut = _fitting(rest, width, size, weight)
        if cut < len(rest) and " " in rest[: cut + 1].rstrip():
            cut = rest[: cut + 1].rstrip().rfind(" ")
        if len(lines) == limit - 1 and cut < len(rest):
            cut = max(_fitting(rest, width - _text_width("…", size, weight), size, weight), 1)
            return [*lines, rest[:cut].rstrip() + "…"]
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return lines


def _fitting(text: str, width: float, size: float, weight: str) -> int:
    """How many leading characters fit, at least 1."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if _text_width(text[:middle], size, weight) <= width:
            low = middle
        else:
            high = middle - 1
    return low


@lru_cache(maxsize=4096)
def _text_width(text: str, size: float, weight: str = "normal") -> float:
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
