"""What the graph holds about a node, what a user did, and nodes by a part of their id or title."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kg import KnowledgeGraph, RelationKey
from kg.arrays import IntArray
from kg.errors import ConfigError, UnknownIdError
from kg.history import InteractionHistory
from kg.schema import RESERVED_NODE_COLUMNS, TITLE_ATTRIBUTES
from kg.topology.adjacency import Adjacency
from recall.index.top_k import check_k

Role = Literal["user", "item"]
_EVENT_COLUMNS = ("rating", "timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The other ends of the edges of one relation at a node.

    Attributes:
        relation: its key.
        forward: whether the node is the source of these edges.
        type: node type of the other ends.
        count: how many there are.
        nodes: (id, title) of the first of them, by id; none where the other ends are users.
    """

    relation: RelationKey
    forward: bool
    type: str
    count: int
    nodes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What the graph holds about a node.

    Attributes:
        type: node type.
        id: external id.
        title: to show before people; the id where there is none.
        attributes: name -> value, without those that the node lacks.
        neighbours: by relation and direction.
        liked_by: how many users like it; None for what is no item.
    """

    type: str
    id: str
    title: str
    attributes: Mapping[str, Any]
    neighbours: tuple[Neighbours, ...]
    liked_by: int | None

    def to_json(self) -> dict[str, Any]:
        """The same as plain data; of a relation the name."""
        neighbours = [
            {**asdict(part), "relation": part.relation.name, "nodes": [{"id": id, "title": t} for id, t in part.nodes]}
            for part in self.neighbours
        ]
        return {**asdict(replace(self, neighbours=())), "attributes": dict(self.attributes), "neighbours": neighbours}


class Lookup:
    """Reads single nodes of a graph. Nothing in it changes, so threads can share one.

    Users are personal data: no neighbour that is a user is ever named, only counted.
    """

    def __init__(self, graph: KnowledgeGraph, history: InteractionHistory, adjacency: Adjacency) -> None:
        self._graph = graph
        self._history = history
        self._adjacency = adjacency

    def item(self, item_id: str, *, neighbours: int = 50) -> NodeFacts:
        """An item; see `node`."""
        return self.node(self._graph.schema.item_type, item_id, neighbours=neighbours)

    def node(self, node_type: str, node_id: str, *, neighbours: int = 50) -> NodeFacts:
        """A node of any type but that of users.

        Args:
            node_type: as in the schema.
            node_id: external id.
            neighbours: how many are named under each relation.

        Raises:
            UnknownIdError: there is no such node.
            ConfigError: there is no such node type, or it is that of the users.
        """
        graph = self._graph
        types = [name for name in graph.nodes if name != graph.schema.user_type]
        if node_type not in types:
            raise ConfigError(f"there is no node type {node_type!r} to look at: there are {', '.join(types)}")
        position = self._position(node_type, node_id)
        row = graph.nodes[node_type].slice(position, 1).to_pylist()[0]
        attributes = {name: value for name, value in row.items() if name != "id" and value not in (None, "", [])}
        is_item = node_type == graph.schema.item_type
        return NodeFacts(
            type=node_type,
            id=row["id"],
            title=graph.title(node_type, position),
            attributes=attributes,
            neighbours=tuple(self._neighbours(node_type, position, neighbours)),
            liked_by=int(self._likes["item"][position]) if is_item else None,
        )

    def user_history(self, user_id: str, *, limit: int | None = None) -> list[dict[str, Any]]:
        """What a user did under the interaction relation, latest first.

        Args:
            user_id: external id.
            limit: rows at most; None for all.

        Returns:
            `item_id`, `title`, `liked`, and `rating` and `timestamp` (UTC seconds) where the graph has them.

        Raises:
            UnknownIdError: the user is not in the graph.
        """
        graph = self._graph
        interactions = graph.interactions
        rows = np.flatnonzero(interactions.user == self._position(graph.schema.user_type, user_id))
        rows = rows[np.argsort(-interactions.timestamp[rows], kind="stable")][:limit]
        edges = graph.edges[graph.schema.interaction_key]
        columns = [name for name in _EVENT_COLUMNS if name in edges.column_names]
        table = edges.select(columns).take(pa.array(rows)) if columns else None
        values = {name: table[name].to_pylist() for name in columns} if table is not None else {}
        ids = graph.items.take(interactions.item[rows]).to_pylist()
        titles = graph.titles(graph.schema.item_type, interactions.item[rows])
        return [
            {
                "item_id": item,
                "title": title,
                "liked": bool(interactions.positive[row]),
                **{name: entries[at] for name, entries in values.items()},
            }
            for at, (row, item, title) in enumerate(zip(rows.tolist(), ids, titles, strict=True))
        ]

    def search(self, role: Role, text: str, *, limit: int = 20) -> list[dict[str, Any]]:
        """Users or items with a text in their id or title; case and accents do not count.

        Args:
            role: "user" or "item".
            text: part of an id or title; "" finds those with most likes.
            limit: how many at most.

        Returns:
            `id`, `title` and `likes`: whole ids first, then whole titles, then what begins with the text, then the
            others; of equal ones those with more likes.

        Raises:
            ConfigError: `limit` is below 1.
        """
        check_k(limit)
        schema, wanted = self._graph.schema, _folded(pa.array([text.strip()]))[0].as_py()
        node_type = schema.user_type if role == "user" else schema.item_type
        ids, titles = self._names[role]
        matching = pc.match_substring(ids, wanted)
        if titles is not None:
            matching = pc.or_(matching, pc.match_substring(titles, wanted))
        rows = np.flatnonzero(matching.to_numpy(zero_copy_only=False))
        likes = self._likes[role][rows]
        best = np.lexsort((rows, -likes, _closeness(ids, titles, rows, wanted)))[:limit]
        chosen = rows[best]
        found = zip(
            self._graph.vocabulary(node_type).take(chosen).to_pylist(),
            self._graph.titles(node_type, chosen),
            likes[best].tolist(),
            strict=True,
        )
        return [{"id": name, "title": title, "likes": count} for name, title, count in found]

    @cached_property
    def _names(self) -> dict[Role, tuple[Any, Any | None]]:
        """Folded ids and titles of users and items; None where there are no titles."""
        schema = self._graph.schema
        return {"user": self._folded_names(schema.user_type), "item": self._folded_names(schema.item_type)}

    def _folded_names(self, node_type: str) -> tuple[Any, Any | None]:
        graph = self._graph
        attribute = graph.schema.node_types[node_type].title
        table = graph.nodes[node_type]
        wanted = (attribute,) if attribute else TITLE_ATTRIBUTES
        titled = [name for name in wanted if name in table.column_names and name not in RESERVED_NODE_COLUMNS]
        ids = _folded(graph.vocabulary(node_type).ids)
        if not titled:
            return ids, None
        titles = graph.titles(node_type, np.arange(len(ids), dtype=np.int64))
        return ids, _folded(pa.array(titles, type=pa.string()))

    @cached_property
    def _likes(self) -> dict[Role, IntArray]:
        liked = self._history.liked
        of_items = np.bincount(liked.values, minlength=self._history.num_items)
        return {"user": np.diff(liked.offsets), "item": of_items}

    def _position(self, node_type: str, node_id: str) -> int:
        vocabulary = self._graph.vocabulary(node_type)
        try:
            return int(vocabulary.index([node_id])[0])
        except UnknownIdError:
            if node_id == node_id.strip():
                raise
            return int(vocabulary.index([node_id.strip()])[0])

    def _neighbours(self, node_type: str, position: int, most: int) -> list[Neighbours]:
        adjacency, graph = self._adjacency, self._graph
        numbering = adjacency.numbering
        at = adjacency.at(numbering.span(node_type).start + position)
        kinds = adjacency.relation[at].astype(np.int64) * 2 + ~adjacency.forward[at]
        result = []
        for kind in np.unique(kinds).tolist():
            key, forward = adjacency.relations[kind // 2], kind % 2 == 0
            other = key.target if forward else key.source
            places = adjacency.neighbour[at][kinds == kind] - numbering.span(other).start
            named = places[: 0 if other == graph.schema.user_type else most]
            ids, titles = graph.vocabulary(other).take(named).to_pylist(), graph.titles(other, named)
            nodes = tuple(zip(ids, titles, strict=True))
            result.append(Neighbours(relation=key, forward=forward, type=other, count=len(places), nodes=nodes))
        return result


def _folded(texts: Any) -> Any:
    """Texts without case and accents, an Arrow array of the same length."""
    plain = pc.replace_substring_regex(pc.utf8_normalize(texts, form="NFKD"), r"\p{Mn}", "")
    return pc.utf8_lower(plain)


def _closeness(ids: Any, titles: Any | None, rows: IntArray, wanted: str) -> IntArray:
    """How close each of some rows comes to a text: 0 the id, 1 the title, 2 begins with it, 3 holds it."""
    at = pa.array(rows)
    closeness = np.full(len(rows), 3, dtype=np.int64)
    for rank, names in ((1, titles), (0, ids)):
        if names is None:
            continue
        of_rows = names.take(at)
        begins = pc.starts_with(of_rows, wanted).to_numpy(zero_copy_only=False)
        equal = pc.equal(of_rows, wanted).to_numpy(zero_copy_only=False)
        closeness[begins] = np.minimum(closeness[begins], 2)
        closeness[equal] = rank
    return closeness
