"""What a drawing of an explanation shows: nodes in columns by hop, and the edges between them with their shares."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from recall.explain.entries import Connection, Hop, Node, PathStrand, Reason, short_amount
from recall.explain.explanation import Explanation

USER, ITEM, HISTORY, OTHER_USERS = "user", "item", "history", "other users"


@dataclass(eq=False, slots=True)
class DrawnNode:
    """A node of a drawing.

    Attributes:
        title: what is written in it.
        caption: what is written below the title in small letters; may be empty.
        kind: "user", "item", "history", "other users", or else the node type: what its colour says.
        type: node type.
        id: external id; empty for what stands for several nodes, which the title counts, and for somebody new.
        column: 0 for the user, and how many hops from there.
    """

    title: str
    caption: str
    kind: str
    type: str
    id: str
    column: int


@dataclass(eq=False, slots=True)
class DrawnEdge:
    """An edge of a drawing; several edges of the graph where a path through other users is drawn as one.

    Attributes:
        near: the end at the user's side.
        far: the end at the item's side.
        phrases: of its edges, in order.
        share: of the score; None for an edge that carries none of its own.
        fraction: share / score, or None.
    """

    near: DrawnNode
    far: DrawnNode
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

    def add(self, phrase: str, share: float | None, fraction: float | None) -> None:
        """Let it stand for one more edge."""
        self.phrases[phrase] = None
        if share is not None:
            self.share = (self.share or 0.0) + share
            self.fraction = None if fraction is None else (self.fraction or 0.0) + fraction


class ReasonGraph:
    """The paths of an explanation, each node and edge once.

    Attributes:
        nodes: in the order in which paths come to them.
        edges: likewise.
        user, item: the two ends.
        by_paths: whether the shares are those of paths that carry the score; else those of the outer hops.
        last: column of the item.
    """

    def __init__(self, explanation: Explanation) -> None:
        self._explanation = explanation
        self._nodes: dict[Hashable, DrawnNode] = {}
        self._edges: dict[tuple[int, int], DrawnEdge] = {}
        reasons = explanation.path_reasons
        self.by_paths = reasons is not None
        strands = [(at, strand) for at, line in enumerate(reasons.lines if reasons else ()) for strand in line.strands]
        paths = () if self.by_paths else explanation.paths
        hops = [len(strand.labels) for _, strand in strands] + [3 if path.users else len(path.steps) for path in paths]
        self.last = max([2, *hops]) if hops else 1
        person, item = explanation.user, explanation.item
        title, user_id = (person.title, person.id) if explanation.in_graph else ("", "")
        self.user = self._node((USER,), DrawnNode("you", title, USER, person.type, user_id, 0))
        self.item = self._node((ITEM,), DrawnNode(item.title, item.type, ITEM, item.type, item.id, self.last))
        for number, strand in strands:
            self._add_strand(number, strand)
        for path in paths:
            self._add(path)

    @property
    def nodes(self) -> list[DrawnNode]:
        """See the class."""
        return list(self._nodes.values())

    @property
    def edges(self) -> list[DrawnEdge]:
        """See the class."""
        return list(self._edges.values())

    def to_json(self) -> dict[str, Any]:
        """Plain data: edges name their ends by position in `nodes`."""
        position = {id(node): at for at, node in enumerate(self._nodes.values())}
        names = ("title", "caption", "kind", "type", "id", "column")
        edges = [
            {
                "near": position[id(edge.near)],
                "far": position[id(edge.far)],
                "label": ", ".join(edge.phrases),
                "share": edge.share,
                "fraction": edge.fraction,
            }
            for edge in self._edges.values()
        ]
        return {"nodes": [{name: getattr(node, name) for name in names} for node in self.nodes], "edges": edges}

    def _add_strand(self, number: int, strand: PathStrand) -> None:
        """Paths that carry a share of the score, on every edge; edges that several of them take carry the sum."""
        nodes = [self.user]
        for column, node in enumerate(strand.nodes, 1):
            others = node.type == self._explanation.user.type
            kind = HISTORY if column == 1 else OTHER_USERS if others else node.type
            caption = "counted, not named" if others else node.type
            # What stands for several nodes is a box of its own in each sentence.
            key = (node.type, node.id) if node.id else (number, column, node.title)
            nodes.append(self._node(key, DrawnNode(node.title, caption, kind, node.type, node.id, column)))
        nodes.append(self.item)
        for (near, far), label in zip(pairwise(nodes), strand.labels, strict=True):
            self._joined(near, far).add(label, strand.share, strand.fraction)

    def _add(self, path: Connection) -> None:
        user, item = path.nodes[0], path.nodes[-1]
        if path.users:
            first = path.nodes[1]
            nodes = [self.user, self._inner(first, 1), self._others(path.steps[2]), self.item]
            self._edge(nodes[0], nodes[1], path.steps[0], self._share(self._explanation.history, path.steps[0], first))
            counted = Hop(path.steps[1].relation, False, f"{path.users} {path.steps[1].phrase}")
            self._edge(nodes[1], nodes[2], counted, None)
            share = self._share(self._explanation.neighbours, path.steps[2], None)
            self._edge(nodes[2], nodes[3], path.steps[2], share)
            return
        nodes = [self.user, *(self._inner(node, place) for place, node in enumerate(path.nodes[1:-1], 1)), self.item]
        for place, (step, (near, far)) in enumerate(zip(path.steps, pairwise(nodes), strict=True)):
            of_hop: Reason | None = None
            if place == 0:
                of_hop = self._share(self._explanation.history, step, path.nodes[1] if len(nodes) > 2 else item)
            elif place == len(path.steps) - 1:
                of_hop = self._share(self._explanation.neighbours, step, path.nodes[-2] if len(nodes) > 2 else user)
            self._edge(near, far, step, of_hop)

    def _node(self, key: Hashable, node: DrawnNode) -> DrawnNode:
        return self._nodes.setdefault(key, node)

    def _inner(self, node: Node, column: int) -> DrawnNode:
        kind = HISTORY if column == 1 else node.type
        return self._node((node.type, node.id), DrawnNode(node.title, node.type, kind, node.type, node.id, column))

    def _others(self, last: Hop) -> DrawnNode:
        count = sum(
            reason.users or 1
            for reason in self._explanation.neighbours
            if reason.relation == last.relation and (reason.users or self._is_other(reason.node))
        )
        title = f"{count} {OTHER_USERS}" if count > 1 else OTHER_USERS
        user_type = self._explanation.user.type
        return self._node((OTHER_USERS,), DrawnNode(title, "counted, not named", OTHER_USERS, user_type, "", 2))

    def _is_other(self, node: Node | None) -> bool:
        user = self._explanation.user
        return node is not None and node.type == user.type and node.id != user.id

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

    def _edge(self, near: DrawnNode, far: DrawnNode, step: Hop, of_hop: Reason | None) -> None:
        edge = self._joined(near, far)
        label = f"{step.phrase} ▸" if step.forward else f"◂ {step.phrase}"
        if label in edge.phrases:
            return
        if of_hop is None:
            edge.add(label, None, None)
        else:
            edge.add(label, of_hop.share, of_hop.fraction)

    def _joined(self, near: DrawnNode, far: DrawnNode) -> DrawnEdge:
        return self._edges.setdefault((id(near), id(far)), DrawnEdge(near, far))


def drawn_json(explanation: Explanation) -> dict[str, Any]:
    """An explanation as plain data, with its paths as a graph to draw (`drawing`)."""
    return explanation.to_json() | {"drawing": ReasonGraph(explanation).to_json()}
