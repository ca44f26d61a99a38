"""Where the nodes of the paths lie: in columns by hop, from the user at the left to the item at the right."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from recall.explain.drawing.page import INK, MARGIN, WIDTH, wrap
from recall.explain.drawing.reason_graph import DrawnEdge, DrawnNode, ReasonGraph
from recall.explain.explanation import Explanation

FILLS = {"user": ("#1f2933", "#ffffff"), "item": ("#e8a33d", "#1f2933"), "history": ("#dbe8f7", "#1f2933")}
TINTS = ("#e4f1e4", "#f3e8f6", "#fdf0dc", "#e2f2f3", "#f7e4e6", "#ececec")


@dataclass(eq=False)
class Box:
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
        """Inches."""
        return 0.24 + 0.17 * len(self.lines) + (0.02 if self.caption else -0.1) if self.lines else 0.3


@dataclass(eq=False)
class Line:
    """An edge as it is drawn, through the boxes it passes; `share` is None for edges that carry none."""

    boxes: list[Box]
    label: str
    share: float | None


class Layers:
    """Boxes in columns, in the order of the hops, and the lines between them."""

    def __init__(self, explanation: Explanation) -> None:
        graph = ReasonGraph(explanation)
        self.by_paths = explanation.path_reasons
        self.last = graph.last
        self.gap = 1.45 if self.last <= 3 else 1.15 if self.last == 4 else 0.95
        free = WIDTH - 2 * MARGIN - self.gap * self.last
        self.width = {0: 0.95, self.last: 1.9 if self.last <= 4 else 1.6}
        inner = (free - sum(self.width.values())) / max(self.last - 1, 1)
        self.width |= {column: min(inner, 2.6) for column in range(1, self.last)}
        kinds = list(dict.fromkeys(node.kind for node in graph.nodes if node.kind not in FILLS))
        tints = {kind: (TINTS[at % len(TINTS)], INK) for at, kind in enumerate(kinds)} | FILLS
        of_node = {id(node): self._box(node, *tints[node.kind]) for node in graph.nodes}
        self.user, self.item = of_node[id(graph.user)], of_node[id(graph.item)]
        self.boxes = list(of_node.values())
        self.lines = [self._line(edge, of_node[id(edge.near)], of_node[id(edge.far)]) for edge in graph.edges]
        self._order()

    @property
    def height(self) -> float:
        """Inches that the tallest column needs."""
        return max(sum(box.height + 0.17 for box in column) for column in self.columns) + 0.1

    def _box(self, node: DrawnNode, fill: str, ink: str) -> Box:
        width = self.width[node.column] - 0.2
        caption = wrap(node.caption.replace("_", " "), width, 7, 1)[0]
        return Box(wrap(node.title, width, 9, 3), caption, fill, ink, node.column)

    def _line(self, edge: DrawnEdge, near: Box, far: Box) -> Line:
        guides = [Box(column=column) for column in range(near.column + 1, far.column)]
        self.boxes += guides
        return Line([near, *guides, far], edge.label, edge.share)

    def _order(self) -> None:
        """Rows by the mean row of the neighbouring columns, which takes out most crossings (Sugiyama's barycentres)."""
        self.columns: list[list[Box]] = [[] for _ in range(self.last + 1)]
        for box in self.boxes:
            self.columns[box.column].append(box)
        beside: dict[int, list[Box]] = {id(box): [] for box in self.boxes}
        for line in self.lines:
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

    @property
    def strongest(self) -> float:
        """The largest absolute share that a line carries."""
        return max([abs(line.share) for line in self.lines if line.share is not None], default=0.0)


def _center(box: Box, beside: list[Box], column: int) -> float:
    """The mean height of the boxes that a box is joined to in a column, its own without any."""
    heights = [other.y for other in beside if other.column == column]
    return sum(heights) / len(heights) if heights else box.y
