"""Comparing two graphs."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pyarrow as pa

from kg.arrays import IntArray
from kg.difference.changes import Difference, EdgeChange, NodeChange
from kg.difference.values import plain_column, same_values, value_codes
from kg.graph import KnowledgeGraph, column, node_columns
from kg.schema import RelationKey

NOTHING: IntArray = np.empty(0, np.int64)


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
    """The changes of one node type; `place` is what `_places` gives."""
    count = after.num_nodes(name) if name in after.nodes else 0
    rows_before = np.flatnonzero(place >= 0)
    rows_after = place[rows_before]
    is_new = np.ones(count, bool)
    is_new[rows_after] = False
    differs, text_differs = np.zeros(len(rows_after), bool), np.zeros(len(rows_after), bool)
    if len(rows_after):
        old = before.nodes[name].take(pa.array(rows_before))
        new = after.nodes[name].take(pa.array(rows_after))
        for attribute in sorted({*old.column_names, *new.column_names} - {"id"}):
            attribute_differs = ~same_values(plain_column(old, attribute), plain_column(new, attribute))
            differs |= attribute_differs
            if attribute == "text":
                text_differs = attribute_differs
    return NodeChange(
        before=len(place),
        after=count,
        added=np.flatnonzero(is_new),
        removed=np.flatnonzero(place < 0),
        changed=np.sort(rows_after[differs]),
        text=np.sort(rows_after[text_differs]),
    )


def _edges(before: KnowledgeGraph, after: KnowledgeGraph, key: RelationKey, place: dict[str, IntArray]) -> EdgeChange:
    """The changes of one relation; `place` is what `_places` gives for each node type."""
    count_before, count_after = (graph.edges[key].num_rows if key in graph.edges else 0 for graph in (before, after))
    ends = [node_columns(graph.schema, key) for graph in (before, after) if key in graph.edges]
    if not count_before or not count_after or ends[0] != ends[1]:
        # One graph has no such edges, or other columns say whose trace an edge is.
        return EdgeChange(
            before=count_before,
            after=count_after,
            added=np.arange(count_after, dtype=np.int64),
            removed=np.arange(count_before, dtype=np.int64),
            changed=NOTHING,
            was=NOTHING,
        )
    old, new = before.edges[key], after.edges[key]
    end_codes = _end_codes(before, after, key, ends[0], place)
    others = sorted({*old.column_names, *new.column_names} - set(ends[0]))
    codes, _ = reduce(
        _combined, (value_codes(plain_column(old, name), plain_column(new, name)) for name in others), end_codes
    )
    old_rows, new_rows = _unmatched(codes[:count_before], codes[count_before:])
    # Of the rows that are left, those of the same ends are the same edge with other values.
    old_ends, new_ends = end_codes[0][:count_before][old_rows], end_codes[0][count_before:][new_rows]
    removed, added = _unmatched(old_ends, new_ends)
    # Both sides hold the ends of the others equally often, so a stable sort by the ends pairs them.
    was, changed = (
        np.delete(rows, unmatched)[np.argsort(np.delete(codes_of_ends, unmatched), kind="stable")]
        for rows, codes_of_ends, unmatched in ((old_rows, old_ends, removed), (new_rows, new_ends, added))
    )
    by_row = np.argsort(changed, kind="stable")
    return EdgeChange(
        before=count_before,
        after=count_after,
        added=new_rows[added],
        removed=old_rows[removed],
        changed=changed[by_row],
        was=was[by_row],
    )


def _end_codes(
    before: KnowledgeGraph,
    after: KnowledgeGraph,
    key: RelationKey,
    ends: dict[str, str],
    place: dict[str, IntArray],
) -> tuple[IntArray, int]:
    """One number for the ends of each edge, of the graph before and then of the graph after, and their bound."""
    parts = []
    for name, node_type in ends.items():
        positions = column(before.edges[key], name)
        count = after.num_nodes(node_type)
        # Nodes that are gone are numbered after those of the graph after.
        old = np.where(place[node_type][positions] < 0, count + positions, place[node_type][positions])
        parts.append((np.concatenate([old, column(after.edges[key], name)]), count + before.num_nodes(node_type)))
    return reduce(_combined, parts)


def _combined(first: tuple[IntArray, int], second: tuple[IntArray, int]) -> tuple[IntArray, int]:
    """Two codes of the same rows as one, with its bound."""
    (codes, bound), (other_codes, other_bound) = first, second
    factor = max(other_bound, 1)
    if bound > np.iinfo(np.int64).max // factor:
        values, codes = np.unique(codes, return_inverse=True)
        bound = len(values)
    return codes * np.int64(factor) + other_codes, bound * factor


def _unmatched(old: IntArray, new: IntArray) -> tuple[IntArray, IntArray]:
    """Places of the values that have no partner on the other side, ascending; each value has one partner at most."""
    both = np.concatenate([old, new])
    order = np.argsort(both, kind="stable")
    values = both[order]
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else NOTHING
    group = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(values))))
    is_old = order < len(old)
    count_old = np.bincount(group[is_old], minlength=len(first))
    count_new = np.bincount(group[~is_old], minlength=len(first))
    # In a group those of the old side come first, so the place among one's own side is a subtraction.
    rank = np.arange(len(values)) - first[group]
    rank = np.where(is_old, rank, rank - count_old[group])
    alone = rank >= np.where(is_old, count_new[group], count_old[group])
    return np.sort(order[alone & is_old]), np.sort(order[alone & ~is_old]) - len(old)
