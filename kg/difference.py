"""What was added to a graph, removed from it and changed in it, told from the graph before and the graph after.

Nodes are compared by external id, edges by the external ids of their ends (and of the user whose trace they are), so
where a node stands in its table makes no difference. What a relation of the same ends has more or fewer of counts as
added or removed; what is left is compared by its other columns.

    found = difference(before, after)
    found.nodes["movie"].added              # positions in the graph after
    found.ids("movie", "removed")           # external ids
    found.edges[key].changed                # rows of the table after; `was` are those of the table before
    found.touched("user")                   # whose own or whose edges changed
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kg.arrays import IntArray
from kg.graph import KnowledgeGraph, column, node_columns
from kg.schema import RelationKey

BoolArray = npt.NDArray[np.bool_]
Kind = Literal["added", "removed", "changed"]
KINDS: tuple[Kind, ...] = ("added", "removed", "changed")
NOTHING: IntArray = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """What happened to the nodes of a type.

    Attributes:
        before, after: how many there were and are.
        added: positions in the graph after, ascending.
        removed: positions in the graph before, ascending.
        changed: positions in the graph after of the nodes that were there and have other attributes or another text.
        text: of these, the positions of those with another text.
    """

    before: int
    after: int
    added: IntArray
    removed: IntArray
    changed: IntArray
    text: IntArray

    def __bool__(self) -> bool:
        return bool(len(self.added) or len(self.removed) or len(self.changed))


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeChange:
    """What happened to the edges of a relation.

    Attributes:
        before, after: how many there were and are.
        added: rows of the table after, ascending.
        removed: rows of the table before, ascending.
        changed: rows of the table after whose ends were joined before, with other values.
        was: the row of the table before for each of these.
    """

    before: int
    after: int
    added: IntArray
    removed: IntArray
    changed: IntArray
    was: IntArray

    def __bool__(self) -> bool:
        return bool(len(self.added) or len(self.removed) or len(self.changed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two graphs and what lies between them; false when they hold the same.

    Attributes:
        before, after: the graphs.
        nodes: by node type, of either graph.
        edges: by relation, of either graph.
    """

    before: KnowledgeGraph
    after: KnowledgeGraph
    nodes: dict[str, NodeChange]
    edges: dict[RelationKey, EdgeChange]

    def __bool__(self) -> bool:
        return any(self.nodes.values()) or any(self.edges.values())

    def ids(self, node_type: str, kind: Kind) -> Any:
        """External ids of the nodes that were added, removed or changed (Arrow strings, sorted)."""
        if node_type not in self.nodes:
            return pa.array([], pa.string())
        graph = self.before if kind == "removed" else self.after
        positions: IntArray = getattr(self.nodes[node_type], kind)
        return graph.vocabulary(node_type).take(positions) if len(positions) else pa.array([], pa.string())

    def rows(self, key: RelationKey, kind: Kind) -> Any:
        """The edges that were added, removed or changed as a table whose ends are external ids."""
        graph = self.before if kind == "removed" else self.after
        table = graph.edges[key].take(pa.array(getattr(self.edges[key], kind)))
        for name, node_type in node_columns(graph.schema, key).items():
            ids = graph.vocabulary(node_type).take(column(table, name))
            table = table.set_column(table.column_names.index(name), name, ids)
        return table

    def touched(self, node_type: str) -> BoolArray:
        """Which nodes of the graph after are new, have changed, or gained, lost or changed an edge, (nodes,)."""
        mask = np.zeros(self.after.num_nodes(node_type), bool)
        mask[self.nodes[node_type].added] = True
        mask[self.nodes[node_type].changed] = True
        for key, change in self.edges.items():
            for kind in KINDS:
                graph = self.before if kind == "removed" else self.after
                rows: IntArray = getattr(change, kind)
                if not len(rows):
                    continue
                for name, end in node_columns(graph.schema, key).items():
                    if end == node_type:
                        positions = np.unique(column(graph.edges[key], name)[rows])
                        if kind == "removed":
                            ids = self.before.vocabulary(end).take(positions)
                            positions = self.after.vocabulary(end).index(ids, missing="negative")
                        mask[positions[positions >= 0]] = True
        return mask

    def shares(self) -> dict[str, float]:
        """How much of the interactions and of the items was added, removed or changed, as shares of those before.

        Where there were none before, a share is 1 if there are any now, else 0.
        """
        key = self.after.schema.interaction
        found: dict[str, NodeChange | EdgeChange | None] = {
            "interactions": None if key is None else self.edges.get(key),
            "items": self.nodes.get(self.after.schema.item_type),
        }
        shares = {}
        for name, change in found.items():
            count = 0 if change is None else len(change.added) + len(change.removed) + len(change.changed)
            before = 0 if change is None else change.before
            shares[name] = count / before if before else float(count > 0)
        return shares

    def to_json(self, *, examples: int = 3) -> dict[str, Any]:
        """Counts by node type and relation, and a few ids; never those of users, and no traces of theirs.

        Args:
            examples: most ids of a kind.
        """
        user, events = self.after.schema.user_type, {*self.after.schema.events(), *self.before.schema.events()}
        nodes: dict[str, dict[str, Any]] = {}
        for name, change in self.nodes.items():
            counts: dict[str, int] = {kind: len(getattr(change, kind)) for kind in KINDS}
            nodes[name] = {"before": change.before, "after": change.after, **counts, "text": len(change.text)}
            if name != user:
                shown = {kind: self.ids(name, kind)[:examples].to_pylist() for kind in KINDS if counts[kind]}
                nodes[name] |= {"examples": shown}
        edges: dict[str, dict[str, Any]] = {}
        for key, links in self.edges.items():
            counts = {kind: len(getattr(links, kind)) for kind in KINDS}
            edges[str(key)] = {"before": links.before, "after": links.after, **counts}
            if key not in events and user not in (key.source, key.target):
                edges[str(key)] |= {
                    "examples": {kind: self._shown(key, kind, examples) for kind in KINDS if counts[kind]}
                }
        return {"nodes": nodes, "edges": edges, "shares": self.shares()}

    def _shown(self, key: RelationKey, kind: Kind, count: int) -> list[list[str]]:
        graph = self.before if kind == "removed" else self.after
        rows = graph.edges[key].take(pa.array(getattr(self.edges[key], kind)[:count]))
        ends = [graph.vocabulary(end).take(column(rows, name)).to_pylist() for name, end in _ends(key)]
        return [[source, target] for source, target in zip(*ends, strict=True)]


def _ends(key: RelationKey) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("src", key.source), ("dst", key.target)


def difference(before: KnowledgeGraph, after: KnowledgeGraph) -> Difference:
    """Compare two graphs; takes time in proportion to their size (times its logarithm), whatever changed.

    Equal are: null and a column that is not there; two NaN; an integer and the float of its value; a value and the list
    of it alone; an integer and its text. A change of the type of a column is therefore no change of its values.

    Args:
        before: the older graph.
        after: the newer graph.

    Returns:
        The difference; node types and relations that only one of them has are wholly added or removed.
    """
    names = [*after.nodes, *(name for name in before.nodes if name not in after.nodes)]
    place = {name: _places(before, after, name) for name in names}
    keys = [*after.edges, *(key for key in before.edges if key not in after.edges)]
    return Difference(
        before=before,
        after=after,
        nodes={name: _nodes(before, after, name, place[name]) for name in names},
        edges={key: _edges(before, after, key, place) for key in keys},
    )


def _places(before: KnowledgeGraph, after: KnowledgeGraph, name: str) -> IntArray:
    """The position in the graph after of each node of the graph before, -1 where it is gone."""
    if name not in before.nodes:
        return NOTHING
    if name not in after.nodes:
        return np.full(before.num_nodes(name), -1, np.int64)
    return after.vocabulary(name).index(before.vocabulary(name).ids, missing="negative")


def _nodes(before: KnowledgeGraph, after: KnowledgeGraph, name: str, place: IntArray) -> NodeChange:
    count = after.num_nodes(name) if name in after.nodes else 0
    was = np.flatnonzero(place >= 0)
    now = place[was]
    new = np.ones(count, bool)
    new[now] = False
    differs, text = np.zeros(len(now), bool), np.zeros(len(now), bool)
    if len(now):
        old, young = before.nodes[name].take(pa.array(was)), after.nodes[name].take(pa.array(now))
        for each in sorted({*old.column_names, *young.column_names} - {"id"}):
            other = ~_same(_column(old, each), _column(young, each))
            differs |= other
            if each == "text":
                text = other
    return NodeChange(
        before=len(place),
        after=count,
        added=np.flatnonzero(new),
        removed=np.flatnonzero(place < 0),
        changed=np.sort(now[differs]),
        text=np.sort(now[text]),
    )


def _edges(before: KnowledgeGraph, after: KnowledgeGraph, key: RelationKey, place: dict[str, IntArray]) -> EdgeChange:
    counts = [graph.edges[key].num_rows if key in graph.edges else 0 for graph in (before, after)]
    old, young = (np.arange(count, dtype=np.int64) for count in counts)
    ends = [node_columns(graph.schema, key) for graph in (before, after) if key in graph.edges]
    if not all(counts) or ends[0] != ends[1]:
        # One of them has none, or they tell by other columns whose trace an edge is.
        return EdgeChange(before=counts[0], after=counts[1], added=young, removed=old, changed=NOTHING, was=NOTHING)
    tables = before.edges[key], after.edges[key]
    joined, width = _joined(tables, before, after, ends[0], place)
    others = sorted({name for table in tables for name in table.column_names} - set(ends[0]))
    whole = reduce(
        _with, (_codes(_column(tables[0], name), _column(tables[1], name)) for name in others), (joined, width)
    )[0]
    old, young = _unmatched(whole[: counts[0]], whole[counts[0] :])
    # Of what is left, edges of the same ends are the same edge with other values.
    old_ends, young_ends = joined[: counts[0]][old], joined[counts[0] :][young]
    gone, new = _unmatched(old_ends, young_ends)
    kept_old, kept_young = np.ones(len(old), bool), np.ones(len(young), bool)
    kept_old[gone], kept_young[new] = False, False
    was, changed = old[kept_old], young[kept_young]
    # Both hold the same ends equally often, so a stable sort by the ends pairs them.
    was = was[np.argsort(old_ends[kept_old], kind="stable")]
    order = np.argsort(young_ends[kept_young], kind="stable")
    changed = changed[order]
    back = np.argsort(changed, kind="stable")
    return EdgeChange(
        before=counts[0],
        after=counts[1],
        added=young[new],
        removed=old[gone],
        changed=changed[back],
        was=was[back],
    )


def _joined(
    tables: tuple[Any, Any],
    before: KnowledgeGraph,
    after: KnowledgeGraph,
    ends: dict[str, str],
    place: dict[str, IntArray],
) -> tuple[IntArray, int]:
    """One number for the ends of each edge, of the graph before and then of the graph after, and their bound."""
    parts = []
    for name, node_type in ends.items():
        old = place[node_type][column(tables[0], name)]
        count = after.num_nodes(node_type)
        # Nodes that are gone are numbered after those that are there.
        old = np.where(old < 0, count + column(tables[0], name), old)
        parts.append((np.concatenate([old, column(tables[1], name)]), count + before.num_nodes(node_type)))
    return reduce(_with, parts)


def _with(first: tuple[IntArray, int], second: tuple[IntArray, int]) -> tuple[IntArray, int]:
    """Two codes of the same rows as one, with its bound."""
    (one, width), (other, more) = first, second
    if width > np.iinfo(np.int64).max // max(more, 1):
        values, one = np.unique(one, return_inverse=True)
        width = len(values)
    return one * np.int64(max(more, 1)) + other, width * max(more, 1)


def _unmatched(old: IntArray, young: IntArray) -> tuple[IntArray, IntArray]:
    """Places of the values that the other side has no partner for, each partner serving once, ascending."""
    both = np.concatenate([old, young])
    order = np.argsort(both, kind="stable")
    values = both[order]
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else NOTHING
    group = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(values))))
    is_old = order < len(old)
    many_old = np.bincount(group[is_old], minlength=len(first))
    many_young = np.bincount(group[~is_old], minlength=len(first))
    # In a group those of the old side come first, so the place among one's own side is a subtraction.
    rank = np.arange(len(values)) - first[group]
    rank = np.where(is_old, rank, rank - many_old[group])
    lonely = rank >= np.where(is_old, many_young[group], many_old[group])
    return np.sort(order[lonely & is_old]), np.sort(order[lonely & ~is_old]) - len(old)


def _column(table: Any, name: str) -> Any:
    """A column as one plain Arrow array; nulls where the table has none."""
    if name not in table.column_names:
        return pa.nulls(table.num_rows)
    found = table[name]
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    if pa.types.is_dictionary(found.type):
        found = found.dictionary_decode()
    kind = found.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return found.cast(pa.string())
    return found.cast(pa.list_(kind.value_type)) if pa.types.is_large_list(kind) else found


def _alike(one: Any, other: Any) -> tuple[Any, Any]:
    """Two columns as one type, in which equal values are those that `difference` takes for equal."""
    if pa.types.is_null(one.type):
        return pa.nulls(len(one), other.type), other
    if pa.types.is_null(other.type):
        return one, pa.nulls(len(other), one.type)
    if pa.types.is_list(one.type) and pa.types.is_list(other.type):
        elements = _alike(one.flatten(), other.flatten())
        return _of_elements(one, elements[0]), _of_elements(other, elements[1])
    if pa.types.is_list(one.type):
        return _alike(one, _alone(other))
    if pa.types.is_list(other.type):
        return _alike(_alone(one), other)
    if one.type == other.type:
        return one, other
    if _is_number(one.type) and _is_number(other.type):
        whole = pa.types.is_integer(one.type) and pa.types.is_integer(other.type)
        kind = pa.int64() if whole else pa.float64()
        return one.cast(kind, safe=False), other.cast(kind, safe=False)
    return _text(one), _text(other)


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _alone(array: Any) -> Any:
    """Each value as a list of it alone; null stays null."""
    offsets = np.concatenate([[0], np.cumsum(array.is_valid().to_numpy(zero_copy_only=False))]).astype(np.int32)
    missing = np.append(array.is_null().to_numpy(zero_copy_only=False), False)
    return pa.ListArray.from_arrays(pa.array(offsets, mask=missing), array.drop_null())


def _of_elements(array: Any, elements: Any) -> Any:
    """The same lists of other elements."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    missing = np.append(array.is_null().to_numpy(zero_copy_only=False), False)
    return pa.ListArray.from_arrays(pa.array(offsets, mask=missing), elements)


def _text(array: Any) -> Any:
    try:
        return array.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # structs and the like
        return pa.array([None if value is None else repr(value) for value in array.to_pylist()], pa.string())


def _same(one: Any, other: Any) -> BoolArray:
    """Where two columns of the same rows hold the same, (rows,)."""
    one, other = _alike(one, other)
    both_null: BoolArray = pc.and_(one.is_null(), other.is_null()).to_numpy(zero_copy_only=False)
    if pa.types.is_null(one.type):
        return both_null
    if pa.types.is_list(one.type):
        lengths = [pc.fill_null(pc.list_value_length(a), -1).to_numpy(zero_copy_only=False) for a in (one, other)]
        equal: BoolArray = lengths[0] == lengths[1]
        rows = np.flatnonzero(equal)
        parts = [array.take(pa.array(rows)).flatten() for array in (one, other)]
        owner = np.repeat(rows, np.maximum(lengths[0][rows], 0))
        equal[owner[~_same(*parts)]] = False
        return equal
    if pa.types.is_nested(one.type):
        one, other = _text(one), _text(other)
    same: BoolArray = pc.fill_null(pc.equal(one, other), False).to_numpy(zero_copy_only=False) | both_null
    if pa.types.is_floating(one.type):
        nan = [pc.fill_null(pc.is_nan(array), False).to_numpy(zero_copy_only=False) for array in (one, other)]
        same |= nan[0] & nan[1]
    return same


def _codes(one: Any, other: Any) -> tuple[IntArray, int]:
    """A number for each value of two columns, one after the other, the same for the same value, and their bound."""
    one, other = _alike(one, other)
    if pa.types.is_floating(one.type):
        # -0.0 and 0.0 are equal, and so are all NaN.
        one, other = (pc.if_else(pc.is_nan(a), pa.scalar(float("nan"), a.type), pc.add(a, 0.0)) for a in (one, other))
    if pa.types.is_nested(one.type):
        one, other = (pa.array([repr(value) for value in array.to_pylist()], pa.string()) for array in (one, other))
    both = pa.concat_arrays([one, other])
    if pa.types.is_null(both.type):
        return np.zeros(len(both), np.int64), 1
    found = both.dictionary_encode(null_encoding="encode")
    codes: IntArray = found.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, max(len(found.dictionary), 1)
