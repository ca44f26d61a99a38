"""Which relations of a graph lead from items to entities, from there to other entities, and from item to item."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from kg import KnowledgeGraph, RaggedArray, RelationKey
from kg.errors import ConfigError
from kg.topology.walk import Incidence

Shape = tuple[tuple[RelationKey, bool], ...]


class Way(NamedTuple):
    """Edges of some relations in a row, from items on.

    Attributes:
        name: relations by name, `^` before one that is walked from its target to its source, `>` between two.
        hops: relation and direction of each.
        end: node type at the end.
    """

    name: str
    hops: Shape
    end: str

    @property
    def meeting(self) -> Shape:
        """The hops there, and back to another item."""
        return (*self.hops, *((key, not forward) for key, forward in reversed(self.hops)))


def ways_from_items(graph: KnowledgeGraph, chosen: Collection[str] | None, *, chains: bool) -> list[Way]:
    """The ways from items along one relation, and along two.

    Interactions are left out, and what leads to users. Relations that record what users did to items (tags) count: what
    is held out is not in the graph.

    Args:
        graph: the graph.
        chosen: names of the only relations that are walked; None: all.
        chains: also two relations in a row, the second between entities.

    Raises:
        ConfigError: `chosen` names a relation that does not touch items.
    """
    item, user = graph.schema.item_type, graph.schema.user_type
    keys = [key for key in graph.edges if user not in (key.source, key.target) and graph.edges[key].num_rows]
    first = [way for key in keys if item in (key.source, key.target) for way in _ways(graph, key, item)]
    if chosen is not None:
        touching = {key.name for key in graph.edges if item in (key.source, key.target)}
        if missing := sorted(set(chosen) - touching):
            raise ConfigError(
                f"channels.walk.relations names {missing[0]!r}, which is no relation of {item!r}; there are "
                f"{', '.join(sorted(touching))}"
            )
        first = [way for way in first if way.hops[0][0].name in chosen]
    second = []
    if chains:
        between = [key for key in keys if item not in (key.source, key.target)]
        for way in first:
            for key in between:
                if way.end in (key.source, key.target):
                    second += [
                        Way(f"{way.name}>{more.name}", (*way.hops, *more.hops), more.end)
                        for more in _ways(graph, key, way.end)
                    ]
    return first + second


def incidence(graph: KnowledgeGraph, key: RelationKey, forward: bool) -> Incidence:
    """The edges of a relation, from its source to its target or backwards."""
    source, target = graph.positive_edges(key)
    start, end = (key.source, key.target) if forward else (key.target, key.source)
    near, far = (source, target) if forward else (target, source)
    return Incidence(RaggedArray.from_pairs(near, far, num_rows=graph.num_nodes(start)), graph.num_nodes(end))


def _ways(graph: KnowledgeGraph, key: RelationKey, start: str) -> Iterator[Way]:
    """A relation walked from one type of node, in one direction or both."""
    same_name = sum(other.name == key.name for other in graph.edges) > 1
    name = str(key) if same_name else key.name
    if key.source == start:
        yield Way(name, ((key, True),), key.target)
    if key.target == start:
        # from an item by somebody's "directed": the name alone says it, since there is no other direction
        backwards = f"^{name}" if key.source == key.target else name
        yield Way(backwards, ((key, False),), key.source)
