"""The knowledge graph: typed Arrow tables of nodes and edges, and the roles among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kg.arrays import IntArray, PairIndex, RaggedArray, distinct
from kg.errors import InvalidDataError
from kg.interactions import Interactions
from kg.schema import RESERVED_NODE_COLUMNS, TITLE_ATTRIBUTES, RelationKey, Schema
from kg.vocabulary import Vocabulary


class KnowledgeGraph:
    """A heterogeneous graph of items, their attributes and what users did.

    Immutable: what changes it returns another one, sharing the tables that stay.

    Attributes:
        schema: node types, relations, roles.
        nodes: node type -> Arrow table with `id` (string, unique), optionally `text`, and attributes; sorted by id
            when made by `build`, so that the order of the facts in a source changes nothing.
        edges: relation key -> Arrow table with `src` and `dst` (int64 positions in the two node tables), optionally
            `weight`, `timestamp` (UTC seconds), `order` (place among the user's interactions in the source) and
            attributes.
        repeats: relation key -> Arrow table of the same columns: what a user did to an item before the edge of `edges`
            that stands for the pair. Only the sequence of a user's interactions (`kg.history`) looks at them; splits,
            the model, paths, counts and stores see one edge a pair.
    """

    def __init__(
        self,
        schema: Schema,
        nodes: Mapping[str, Any],
        edges: Mapping[RelationKey, Any],
        repeats: Mapping[RelationKey, Any] | None = None,
    ) -> None:
        self.schema = schema
        self.nodes: dict[str, Any] = {name: nodes[name] for name in schema.node_types if name in nodes}
        self.edges: dict[RelationKey, Any] = {key: edges[key] for key in schema.relations if key in edges}
        self.repeats: dict[RelationKey, Any] = {key: table for key, table in (repeats or {}).items() if table.num_rows}
        unknown = [str(k) for k in (*edges, *self.repeats) if RelationKey(*k) not in schema.relations] + [
            name for name in nodes if name not in schema.node_types
        ]
        if unknown:
            raise InvalidDataError(f"tables that the schema does not name: {', '.join(unknown)}")
        self._check()

    @classmethod
    def build(cls, schema: Schema, nodes: Mapping[str, Any], edges: Mapping[RelationKey, Any]) -> KnowledgeGraph:
        """Make a graph from tables whose edges name their ends by external id.

        Args:
            schema: roles, node types and relations of the tables.
            nodes: node type -> table with `id` and attributes, any order.
            edges: relation key -> table with `src` and `dst` (strings) and attributes, any order. The columns named
                by the relation's event hold strings too (user ids).

        Returns:
            The graph in canonical order: nodes by id, edges by source, target and the other columns.

        Raises:
            InvalidDataError: an id occurs twice, is null, or an edge names a node that is not there.
        """
        _check_roles(schema)
        sorted_nodes = {name: _string_ids(name, table).sort_by("id") for name, table in nodes.items()}
        vocabularies = {name: Vocabulary(name, table["id"]) for name, table in sorted_nodes.items()}
        resolved = {}
        for raw_key, table in edges.items():
            key = RelationKey(*raw_key)
            for column, node_type in node_columns(schema, key).items():
                if node_type not in vocabularies:
                    raise InvalidDataError(f"edges {key} name the node type {node_type!r}, which has no table")
                if column not in table.column_names:
                    raise InvalidDataError(
                        f"edges {key} need a column {column!r}; there are {', '.join(table.column_names)}"
                    )
                index = vocabularies[node_type].index(table[column], missing="negative")
                if (index < 0).any():
                    row = int(np.flatnonzero(index < 0)[0])
                    raise InvalidDataError(
                        f"{int((index < 0).sum())} of {len(index)} edges {key} have a {column} that is no "
                        f"{node_type}, the first is {table[column][row].as_py()!r}"
                    )
                table = table.set_column(table.column_names.index(column), column, pa.array(index))
            resolved[key] = sort_edges(table)
        return cls(schema, sorted_nodes, resolved)

    def _check(self) -> None:
        _check_roles(self.schema)
        for name in self.schema.node_types:
            if name not in self.nodes:
                raise InvalidDataError(f"node type {name!r} is in the schema but has no table")
        for name, table in self.nodes.items():
            if "id" not in table.column_names or not pa.types.is_string(table.schema.field("id").type):
                columns = ", ".join(f"{field.name} ({field.type})" for field in table.schema)
                raise InvalidDataError(f"node table {name!r} needs a string column 'id', it has {columns}")
            ids = table["id"]
            if ids.null_count:
                raise InvalidDataError(f"node table {name!r} has {ids.null_count} rows without an id")
            if pc.count_distinct(ids).as_py() != len(ids):
                counts = pc.value_counts(ids)
                twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))[0].as_py()
                raise InvalidDataError(f"node table {name!r} has ids more than once, the first is {twice!r}")
        for key, table in (*self.edges.items(), *self.repeats.items()):
            for column, node_type in node_columns(self.schema, key).items():
                if column not in table.column_names or not pa.types.is_int64(table.schema.field(column).type):
                    raise InvalidDataError(f"edge table {key} needs an int64 column {column!r}")
                if table[column].null_count:
                    raise InvalidDataError(f"edge table {key} has a {column} without a value")
                if table.num_rows:
                    bounds = pc.min_max(table[column]).as_py()
                    if bounds["min"] < 0 or bounds["max"] >= self.num_nodes(node_type):
                        raise InvalidDataError(
                            f"edge table {key} points outside the {self.num_nodes(node_type)} nodes of {node_type!r}"
                        )

    @cached_property
    def _vocabularies(self) -> dict[str, Vocabulary]:
        return {name: Vocabulary(name, table["id"]) for name, table in self.nodes.items()}

    def vocabulary(self, node_type: str) -> Vocabulary:
        """Ids of one node type."""
        return self._vocabularies[node_type]

    @property
    def users(self) -> Vocabulary:
        """Ids of the users."""
        return self._vocabularies[self.schema.user_type]

    @property
    def items(self) -> Vocabulary:
        """Ids of the items."""
        return self._vocabularies[self.schema.item_type]

    def num_nodes(self, node_type: str) -> int:
        """Nodes of one type."""
        return int(self.nodes[node_type].num_rows)

    def counts(self) -> dict[str, dict[str, int]]:
        """Nodes by type and edges by relation."""
        return {
            "nodes": {name: int(table.num_rows) for name, table in self.nodes.items()},
            "edges": {str(key): int(table.num_rows) for key, table in self.edges.items()},
        }

    def facts(self) -> dict[str, Any]:
        """The counts, and how many interactions there are, how many positive ones, and of how many users and items."""
        liked = self.interactions.select(self.interactions.positive)
        return {
            **self.counts(),
            "interactions": len(self.interactions),
            "positives": len(liked),
            "users": len(distinct(liked.user)),
            "items": len(distinct(liked.item)),
        }

    @cached_property
    def interactions(self) -> Interactions:
        """What users did to items under the interaction relation, positives marked."""
        key = self.schema.interaction_key
        if key not in self.edges:
            raise InvalidDataError(f"the interaction relation {key} has no table: add interactions first")
        table = self.edges[key]
        return Interactions.from_edges(table, positive=self.schema.positive.mask(table))

    def event_columns(self, key: RelationKey) -> tuple[IntArray, IntArray] | None:
        """The user and the item (positions) of each edge of a relation with an event, else None."""
        event = self.schema.relations[key].event
        if event is None:
            return None
        return column(self.edges[key], event.user), column(self.edges[key], event.item)

    def positive_edges(self, key: RelationKey) -> tuple[IntArray, IntArray]:
        """Ends (positions) of the edges that the model propagates along and paths walk on.

        All of them, but for the interaction relation: there only the positive ones. Parallel edges count once.
        """
        table = self.edges[key]
        if key == self.schema.interaction and not (positive := self.schema.positive.mask(table)).all():
            table = table.filter(pa.array(positive))
        source, target = column(table, "src"), column(table, "dst")
        same, later = source[1:] == source[:-1], source[1:] > source[:-1]
        if (later | (same & (target[1:] > target[:-1]))).all():  # as `build` leaves them
            return source, target
        targets = RaggedArray.from_pairs(source, target, num_rows=self.num_nodes(key.source))
        return targets.rows(), targets.values

    def keep_edges(self, kept: Mapping[RelationKey, npt.NDArray[np.bool_]]) -> KnowledgeGraph:
        """The same nodes with only the marked edges of the given relations; the others stay whole.

        Repeats of an edge stay or go with it.
        """
        edges = {key: table.filter(pa.array(kept[key])) if key in kept else table for key, table in self.edges.items()}
        repeats = dict(self.repeats)
        for key in kept.keys() & repeats.keys():
            pairs = PairIndex.of(column(edges[key], "src"), column(edges[key], "dst"), self.num_nodes(key.target))
            stays = pairs.contains(column(repeats[key], "src"), column(repeats[key], "dst"))
            repeats[key] = repeats[key].filter(pa.array(stays))
        return KnowledgeGraph(self.schema, self.nodes, edges, repeats)

    def keep_nodes(self, kept: Mapping[str, npt.NDArray[np.bool_]]) -> KnowledgeGraph:
        """The graph among the marked nodes of the given types; the other types stay whole.

        An edge stays when both its ends do, and the user of its event. Unlike in a view of a split, positions
        change: what was computed for this graph does not fit the result.

        Args:
            kept: node type -> bool (nodes,).

        Raises:
            InvalidDataError: there is no such node type, or a mask has another length than its table.
        """
        for name, mask in kept.items():
            if name not in self.nodes:
                raise InvalidDataError(f"there is no node type {name!r}: the graph has {', '.join(self.nodes)}")
            if mask.shape != (self.num_nodes(name),):
                raise InvalidDataError(f"the mask of {name!r} has shape {mask.shape}, not ({self.num_nodes(name)},)")
        position = {name: np.where(mask, np.cumsum(mask) - 1, -1) for name, mask in kept.items()}
        nodes = {n: table.filter(pa.array(kept[n])) if n in kept else table for n, table in self.nodes.items()}

        def moved(key: RelationKey, table: Any) -> Any:
            stays = np.ones(table.num_rows, dtype=bool)
            for end, node_type in node_columns(self.schema, key).items():
                if node_type in position:
                    new = position[node_type][column(table, end)]
                    table = table.set_column(table.column_names.index(end), end, pa.array(new))
                    stays &= new >= 0
            return table.filter(pa.array(stays))

        edges, repeats = (
            {key: moved(key, table) for key, table in tables.items()} for tables in (self.edges, self.repeats)
        )
        return KnowledgeGraph(self.schema, nodes, edges, repeats)

    def connected(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Which nodes have an edge: node type -> bool (nodes,); with `keep_nodes` the others are left out."""
        masks = {name: np.zeros(self.num_nodes(name), dtype=bool) for name in self.nodes}
        for key, table in self.edges.items():
            masks[key.source][column(table, "src")] = True
            masks[key.target][column(table, "dst")] = True
        return masks

    def without_relations(self, dropped: set[RelationKey]) -> KnowledgeGraph:
        """The same nodes without some relations."""
        relations = {key: r for key, r in self.schema.relations.items() if key not in dropped}
        interaction = None if self.schema.interaction in dropped else self.schema.interaction
        schema = replace(self.schema, relations=relations, interaction=interaction)
        edges, repeats = (
            {key: table for key, table in tables.items() if key in relations} for tables in (self.edges, self.repeats)
        )
        return KnowledgeGraph(schema, self.nodes, edges, repeats)

    def title(self, node_type: str, index: int) -> str:
        """The name of a node to show: its title attribute, else its id."""
        return self.titles(node_type, np.array([index], dtype=np.int64))[0]

    def titles(self, node_type: str, index: IntArray) -> list[str]:
        """The names of nodes to show, by position: (n,) to n names."""
        table = self.nodes[node_type]
        attribute = self.schema.node_types[node_type].title
        candidates = (attribute,) if attribute else TITLE_ATTRIBUTES
        names = [name for name in candidates if name in table.column_names and name not in RESERVED_NODE_COLUMNS]
        rows = table.select([*names, "id"]).take(pa.array(np.asarray(index, dtype=np.int64)))
        return [
            _first_text(values)
            for values in zip(*(rows.column(at).to_pylist() for at in range(rows.num_columns)), strict=True)
        ]

    def texts(self, node_type: str) -> Any | None:
        """The `text` column of a node type (Arrow strings), or None."""
        table = self.nodes[node_type]
        return table["text"].combine_chunks() if "text" in table.column_names else None

    def __repr__(self) -> str:
        nodes = sum(table.num_rows for table in self.nodes.values())
        edges = sum(table.num_rows for table in self.edges.values())
        return (
            f"KnowledgeGraph({len(self.nodes)} node types, {nodes} nodes, {len(self.edges)} relations, {edges} edges)"
        )


def column(table: Any, name: str) -> IntArray:
    """An int64 column of an Arrow table as a NumPy array."""
    result: IntArray = table[name].to_numpy().astype(np.int64, copy=False)
    return result


def node_columns(schema: Schema, key: RelationKey) -> dict[str, str]:
    """The columns of an edge table that name nodes, and of which type: both ends, and the user of an event."""
    columns = {"src": key.source, "dst": key.target}
    event = schema.relations[key].event if key in schema.relations else None
    if event is not None:
        columns[event.user] = schema.user_type
    return columns


def _check_roles(schema: Schema) -> None:
    """Refuse a schema whose interactions or events do not join users and items."""
    user_type, item_type = schema.user_type, schema.item_type
    key = schema.interaction
    if key is not None and (key.source, key.target) != (user_type, item_type):
        raise InvalidDataError(
            f"the interaction relation {key} must go from the user type {user_type!r} to the item type {item_type!r}"
        )
    for key, event in schema.events().items():
        ends = {"src": key.source, "dst": key.target}
        user, item = ends.get(event.user, user_type), ends.get(event.item)
        if (user, item) != (user_type, item_type):
            raise InvalidDataError(
                f"the event of {key} names {event.user!r} (a {user}) as the user and {event.item!r} (a {item}) as the "
                f"item; users are {user_type!r}, items {item_type!r}"
            )


def _string_ids(name: str, table: Any) -> Any:
    """The table with ids of Arrow's plain string type; data frames also hold large and view strings."""
    if "id" not in table.column_names:
        raise InvalidDataError(f"node table {name!r} needs a column 'id'; there are {', '.join(table.column_names)}")
    kind = table.schema.field("id").type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_dictionary(kind):
        return table.set_column(table.column_names.index("id"), "id", table["id"].cast(pa.string()))
    if not pa.types.is_string(kind):
        raise InvalidDataError(f"node table {name!r} needs strings in 'id', not {kind}: turn them into strings first")
    return table


def sort_edges(table: Any) -> Any:
    """Edges by source, target, then timestamp and the other columns, so that input order does not matter."""
    first = [name for name in ("src", "dst", "timestamp") if name in table.column_names]
    keys: dict[str, Any] = {}
    for name in first + sorted(set(table.column_names) - set(first)):
        kind = table.schema.field(name).type
        if pa.types.is_nested(kind):  # Arrow does not order lists; any fixed order of them will do
            keys[f"{len(keys)}"] = pa.array([repr(value) for value in table[name].to_pylist()], type=pa.string())
        elif pa.types.is_dictionary(kind):
            keys[f"{len(keys)}"] = table[name].cast(kind.value_type)
        elif not pa.types.is_null(kind):
            keys[f"{len(keys)}"] = table[name]
    order = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])
    return table.take(order).combine_chunks()


def _first_text(values: Sequence[Any]) -> str:
    """The first value that names a node; of a list its first entry."""
    for value in values:
        text = (value[0] if value else None) if isinstance(value, list) else value
        if text:
            return str(text)
    return ""
