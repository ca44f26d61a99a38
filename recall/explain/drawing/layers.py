"""Where the nodes of the paths lie: in columns by hop, from the user at the left to the item at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from recall.explain.drawing.page import INK, MARGIN, WIDTH, wrap
from recall.explain.entries import Connection, Hop, Node, PathStrand, Reason, short_amount
from recall.explain.explanation import Explanation

FILLS = {"user": ("#1f2933", "#ffffff"), "item": ("#e8a33d", "#1f2933"), "history": ("#dbe8f7", "#1f2933")}
TINTS = ("#e4f1e4", "#f3e8f6", "#fdf0dc", "#e2f2f3", "#f7e4e6", "#ececec")
OTHER_USERS = "other users"


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
    phrases: dict[str, None] = field(default_factory=dict)
    share: float | None = None
    fraction: float | None = None

    @property
    def label(self) -> str:
        """The phrases of its edges, and its share if it has one."""
        phrases = ", ".join(self.phrases)
        if self.share is None:
            return phrases
        return f"{phrases}  {short_amount(self.share, self.fraction)}"


class Layers:
    """Boxes in columns, in the order of the hops, and the lines between them."""

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation
        self.boxes: dict[Any, Box] = {}
        self.lines: dict[tuple[Any, ...], Line] = {}
        self.kinds: dict[str, str] = {}
        self.by_paths = explanation.path_reasons
        lines = () if self.by_paths is None else self.by_paths.lines
        if self.by_paths is None:
            hops = [3 if path.users else len(path.steps) for path in explanation.paths]
        else:
            hops = [len(strand.labels) for line in lines for strand in line.strands]
        self.last = max([2, *hops]) if hops else 1
        self.gap = 1.45 if self.last <= 3 else 1.15 if self.last == 4 else 0.95
        free = WIDTH - 2 * MARGIN - self.gap * self.last
        self.width = {0: 0.95, self.last: 1.9 if self.last <= 4 else 1.6}
        inner = (free - sum(self.width.values())) / max(self.last - 1, 1)
        self.width |= {column: min(inner, 2.6) for column in range(1, self.last)}
        self.user = self._box(("user",), "you", explanation.user.title if explanation.in_graph else "", "user", 0)
        self.item = self._box(("item",), explanation.item.title, explanation.item.type, "item", self.last)
        for number, line in enumerate(lines):
            for strand in line.strands:
                self._add_strand(number, strand)
        for path in explanation.paths if self.by_paths is None else ():
            self._add(path)
        self._order()

    @property
    def height(self) -> float:
        """Inches that the tallest column needs."""
        return max(sum(box.height + 0.17 for box in column) for column in self.columns) + 0.1

    def _box(self, key: Any, title: str, caption: str, kind: str, column: int) -> Box:
        if key not in self.boxes:
            if kind not in FILLS and kind not in self.kinds:
                self.kinds[kind] = TINTS[len(self.kinds) % len(TINTS)]
            fill, ink = FILLS[kind] if kind in FILLS else (self.kinds[kind], INK)
            lines = wrap(title, self.width[column] - 0.2, 9, 3)
            caption = wrap(caption.replace("_", " "), self.width[column] - 0.2, 7, 1)[0]
            self.boxes[key] = Box(lines, caption, fill, ink, column)
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
            share: Reason | None = None
            if place == 0:
                share = self._share(self.explanation.history, step, path.nodes[1] if len(boxes) > 2 else item)
            elif place == len(path.steps) - 1:
                share = self._share(self.explanation.neighbours, step, path.nodes[-2] if len(boxes) > 2 else user)
            self._line([near, far], step, share)

    def _add_strand(self, number: int, strand: PathStrand) -> None:
        """Paths that carry a share of the score, on every edge; edges that several of them take carry the sum."""
        boxes = [self.user]
        for column, node in enumerate(strand.nodes, 1):
            others = node.type == self.explanation.user.type
            kind = "history" if column == 1 else OTHER_USERS if others else node.type
            caption = "counted, not named" if others else node.type
            # What stands for several nodes is a box of its own in each sentence.
            key = (node.type, node.id) if node.id else (number, column, node.title)
            boxes.append(self._box(key, node.title, caption, kind, column))
        boxes.append(self.item)
        for (near, far), label in zip(pairwise(boxes), strand.labels, strict=True):
            line = self._joined(near, far)
            line.phrases[label] = None
            line.share = (line.share or 0.0) + strand.share
            line.fraction = None if strand.fraction is None else (line.fraction or 0.0) + strand.fraction

    def _inner(self, node: Node, column: int) -> Box:
        kind = "history" if column == 1 else node.type
        return self._box((node.type, node.id), node.title, node.type, kind, column)

    def _others(self, last: Hop) -> Box:
        count = sum(
            reason.users or 1
            for reason in self.explanation.neighbours
            if reason.relation == last.relation and (reason.users or self._is_other(reason.node))
        )
        return self._box(
            (OTHER_USERS,), f"{count} {OTHER_USERS}" if count > 1 else OTHER_USERS, "counted, not named", OTHER_USERS, 2
        )

    def _is_other(self, node: Node | None) -> bool:
        return node is not None and node.type == self.explanation.user.type and node.id != self.explanation.user.id

    def _share(self, reasons: Sequence[Reason], step: Hop, node: Node | None) -> Reason | None:
        """The share of a first hop; without a node that of all other users under the relation."""
        if node is not None:
            matching = [r for r in reasons if r.relation == step.relation and r.node == node]
        else:
            matching = [r for r in reasons if r.relation == step.relation and (r.users or self._is_other(r.node))]
        if not matching:
            return None
        fractions = [reason.fraction for reason in matching if reason.fraction is not None]
        return Reason(
            share=sum(reason.share for reason in matching), fraction=sum(fractions) if fractions else None, text=""
        )

    def _line(self, boxes: list[Box], step: Hop, share: Reason | None) -> None:
        line = self._joined(*boxes)
        label = f"{step.phrase} ▸" if step.forward else f"◂ {step.phrase}"
        if label in line.phrases:
            return
        line.phrases[label] = None
        if share is not None:
            line.share = (line.share or 0.0) + share.share
            line.fraction = None if share.fraction is None else (line.fraction or 0.0) + share.fraction

    def _joined(self, near: Box, far: Box) -> Line:
        key = (id(near), id(far))
        if key not in self.lines:
            guides = [self._guide(key, column) for column in range(near.column + 1, far.column)]
            self.lines[key] = Line([near, *guides, far])
        return self.lines[key]

    def _guide(self, key: Any, column: int) -> Box:
        guide = self.boxes[(*key, column)] = Box(column=column)
        return guide

    def _order(self) -> None:
        """Rows by the mean row of the neighbouring columns, which takes out most crossings (Sugiyama's barycentres)."""
        self.columns: list[list[Box]] = [[] for _ in range(self.last + 1)]
        for box in self.boxes.values():
            self.columns[box.column].append(box)
        beside: dict[int, list[Box]] = {id(box): [] for box in self.boxes.values()}
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

    @property
    def strongest(self) -> float:
        """The largest absolute share that a line carries."""
        return max([abs(line.share) for line in self.lines.values() if line.share is not None], default=0.0)


def _center(box: Box, beside: list[Box], column: int) -> float:
    """The mean height of the boxes that a box is joined to in a column, its own without any."""
    heights = [other.y for other in beside if other.column == column]
    return sum(heights) / len(heights) if heights else box.y
