"""The classes of items by which two runs are compared: popularity, relations, attributes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kg import KnowledgeGraph, RelationKey
from kg.arrays import IntArray
from kg.schema import RESERVED_NODE_COLUMNS, TITLE_ATTRIBUTES
from kg.vocabulary import stable_hash
from recall.quality.monitor.report import Part, Stability
from recall.quality.monitor.stability import Masses, stability

TENTHS = 10
MOST_VALUES = 1000  # different values of an attribute; one with more names its items rather than classes of them
NONE = "none"


@dataclass(frozen=True, kw_only=True)
class WeightedItems:
    """The items of a run, each with how often it is there: among the likes, or among the candidates.

    Attributes:
        graph: of the run.
        likes: of each item, int64 (items,).
        weight: how often each is there, float64 (items,).
    """

    graph: KnowledgeGraph
    likes: IntArray
    weight: Masses


def item_stability(part: Part, before: WeightedItems, now: WeightedItems) -> Iterator[Stability]:
    """The index of every distribution that both runs have.

    Popularity is not compared of likes, for its classes are tenths of these.

    Args:
        part: what is weighed.
        before: items of the run before.
        now: items of this run, of the same node type.
    """
    if part != "input":
        tenths = [_popularity(side) for side in (before, now)]
        yield stability(part, "popularity", tenths, _tenth)
    keys = _item_relations(now.graph)
    names = [key.name for key in keys]
    for key in keys:
        if key in before.graph.edges:
            name = key.name if names.count(key.name) == 1 else str(key)
            yield _of_relation(part, name, key, before, now)
    tables = [side.graph.nodes[side.graph.schema.item_type] for side in (before, now)]
    title = now.graph.schema.node_types[now.graph.schema.item_type].title
    for attribute in tables[1].column_names:
        if attribute in (*RESERVED_NODE_COLUMNS, *TITLE_ATTRIBUTES, title) or attribute not in tables[0].column_names:
            continue
        columns = [table[attribute].combine_chunks() for table in tables]
        if all(_is_number(column.type) for column in columns):
            yield _of_numbers(part, attribute, columns, before, now)
        elif all(_is_label(column.type) for column in columns):
            yield from _of_labels(part, attribute, columns, before, now)


def _popularity(items: WeightedItems) -> Masses:
    """The weight in each tenth of the likes, most liked items first, and of items that nobody likes, (11,).

    Tenths of the likes stay where they are when everything grows, which classes of counts do not. Items with equally
    many likes are in the order of a hash of their ids, the same in every run.
    """
    order = np.lexsort((stable_hash(items.graph.items.ids, 0), -items.likes))
    likes = items.likes[order].astype(np.float64)
    middle = np.cumsum(likes) - likes / 2
    tenth = np.minimum((TENTHS * middle / max(likes.sum(), 1)).astype(np.int64), TENTHS - 1)
    tenth[likes == 0] = TENTHS
    masses: Masses = np.bincount(tenth, items.weight[order], minlength=TENTHS + 1).astype(np.float64)
    return masses


def _tenth(number: int) -> str:
    return "liked by nobody" if number == TENTHS else f"tenth {number + 1} of the likes"


def _item_relations(graph: KnowledgeGraph) -> list[RelationKey]:
    """The relations between items and others that are no users."""
    item, user = graph.schema.item_type, graph.schema.user_type
    return [
        key
        for key in graph.edges
        if item in (key.source, key.target) and user not in (key.source, key.target) and key.source != key.target
    ]


def _of_relation(part: Part, name: str, key: RelationKey, before: WeightedItems, now: WeightedItems) -> Stability:
    other = key.target if key.source == now.graph.schema.item_type else key.source
    mass_before, mass_now = _joined(before, key), _joined(now, key)
    graphs = before.graph, now.graph
    # Classes are the others of this run, then those that are gone, then none.
    place = graphs[1].vocabulary(other).index(graphs[0].vocabulary(other).ids, missing="negative")
    gone = np.flatnonzero(place < 0)
    count = len(mass_now) - 1
    place[gone] = count + np.arange(len(gone))
    aligned = [np.zeros(count + len(gone) + 1) for _ in range(2)]
    aligned[0][place], aligned[0][-1] = mass_before[:-1], mass_before[-1]
    aligned[1][:count], aligned[1][-1] = mass_now[:-1], mass_now[-1]

    def label(number: int) -> str:
        if number == len(aligned[0]) - 1:
            return NONE
        return graphs[1].title(other, number) if number < count else graphs[0].title(other, int(gone[number - count]))

    return stability(part, name, aligned, label)


def _joined(items: WeightedItems, key: RelationKey) -> Masses:
    """The weight at each of the others of a relation, an item's in equal parts at its own; last that of no other."""
    source, target = items.graph.positive_edges(key)
    of_items = key.source == items.graph.schema.item_type
    ours, others = (source, target) if of_items else (target, source)
    degree = np.bincount(ours, minlength=len(items.weight))
    count = items.graph.num_nodes(key.target if of_items else key.source)
    mass: Masses = np.bincount(others, items.weight[ours] / degree[ours], minlength=count).astype(np.float64)
    return np.append(mass, items.weight[degree == 0].sum())


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_label(kind: Any) -> bool:
    inner = kind.value_type if pa.types.is_list(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_boolean(inner))


def _of_numbers(part: Part, name: str, columns: list[Any], before: WeightedItems, now: WeightedItems) -> Stability:
    """Classes are the tenths of the weight before, fewer where many items have one number, and none."""
    values = [pc.fill_null(column.cast(pa.float64(), safe=False), np.nan).to_numpy() for column in columns]
    known = np.flatnonzero(np.isfinite(values[0]))
    order = known[np.argsort(values[0][known], kind="stable")]
    total = np.cumsum(before.weight[order])
    limits = np.arange(1, TENTHS) / TENTHS * (total[-1] if len(total) else 0)
    edges = np.unique(
        values[0][order][np.minimum(np.searchsorted(total, limits), len(order) - 1)] if len(order) else []
    )
    sides = []
    for side, of_items in zip((before, now), values, strict=True):
        number = np.where(np.isfinite(of_items), np.searchsorted(edges, of_items), len(edges) + 1)
        sides.append(np.bincount(number, side.weight, minlength=len(edges) + 2).astype(np.float64))

    def label(number: int) -> str:
        if number > len(edges):
            return NONE
        return f"up to {edges[number]:g}" if number < len(edges) else f"above {edges[-1]:g}" if len(edges) else "any"

    return stability(part, name, sides, label)


def _of_labels(
    part: Part, name: str, columns: list[Any], before: WeightedItems, now: WeightedItems
) -> Iterator[Stability]:
    """Classes are the values, an item of several in equal parts, and none."""
    masses: list[dict[str, float]] = []
    for side, column in zip((before, now), columns, strict=True):
        if pa.types.is_list(column.type):
            item, values = pc.list_parent_indices(column).to_numpy(), column.flatten()
        else:
            item, values = np.arange(len(column)), column
        there = values.is_valid().to_numpy(zero_copy_only=False)
        item, encoded = item[there], values.filter(pa.array(there)).cast(pa.string()).dictionary_encode()
        if len(encoded.dictionary) > min(MOST_VALUES, max(len(column) // 2, 2)):
            return
        degree = np.bincount(item, minlength=len(column))
        number = encoded.indices.to_numpy()
        mass = np.bincount(number, side.weight[item] / degree[item], minlength=len(encoded.dictionary))
        masses.append(dict(zip(encoded.dictionary.to_pylist(), mass.tolist(), strict=True)))
        masses[-1][NONE] = masses[-1].get(NONE, 0.0) + float(side.weight[degree == 0].sum())
    labels = sorted({*masses[0], *masses[1]})
    sides = [np.array([mass.get(value, 0.0) for value in labels]) for mass in masses]
    yield stability(part, name, sides, labels.__getitem__)
