"""A person and an item on a graph: what every part of their explanation refers to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kg.graph import KnowledgeGraph
from kg.schema import RelationKey
from kg.topology.adjacency import Adjacency
from recall.explain.entries import Node

NOBODY = -2
"""Stands for a person who is no node of the graph."""


@dataclass(frozen=True)
class Pair:
    """The pair that is explained.

    Attributes:
        graph: the graph.
        adjacency: of that graph; nodes are numbered as in it.
        user: node number of the user, or `NOBODY`.
        item: node number.
        score: what the channel gives the pair.
        node_of: title, type and id of a node number.
        show_users: whether other users are named; otherwise they are only counted.
        disliked: node numbers of the items that the request gives as examples of what is not wanted.
        users: the node numbers of all users.
    """

    graph: KnowledgeGraph
    adjacency: Adjacency
    user: int
    item: int
    score: float
    node_of: Callable[[int], Node]
    show_users: bool
    disliked: frozenset[int] = frozenset()
    users: slice = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "users", self.adjacency.numbering.span(self.graph.schema.user_type))

    @property
    def in_graph(self) -> bool:
        """Whether the person is a user of the graph."""
        return self.user != NOBODY

    def fraction(self, share: float | None) -> float | None:
        """The share as a fraction of the score; None for a score that is not positive."""
        return share / self.score if share is not None and self.score > 0 else None

    def is_hidden(self, node: int) -> bool:
        """Whether a node is another user, who is counted and not named."""
        return self.users.start <= node < self.users.stop and node != self.user and not self.show_users

    def is_outgoing(self, center: int, node: int, relation: RelationKey) -> bool:
        """Whether an edge of a relation leads from the center to the node, where edges lead both ways also."""
        if relation.source != relation.target:
            return self.node_of(center).type == relation.source
        at = self.adjacency.at(center)
        number = self.adjacency.relations.index(relation)
        edges = (self.adjacency.neighbour[at] == node) & (self.adjacency.relation[at] == number)
        return bool(self.adjacency.forward[at][edges].any())
