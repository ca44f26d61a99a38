"""Whether lists have the proportions of the histories they were made for.

Steck, "Calibrated recommendations", RecSys 2018: p is the distribution of classes over what a user liked, q that over
his list, where an item of several classes counts an equal part for each; C = sum of p ln(p / ((1 - a) q + a p)) with
a = 0.01. 0 is the same proportions, ln(100) a list without anything of what the user likes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, diags

from gnn.evaluation.held_out import Group
from gnn.evaluation.metrics import Values
from kg import KnowledgeGraph
from kg.arrays import IntArray, RaggedArray
from kg.errors import ConfigError
from kg.history import InteractionHistory
from recall.quality.measure import Lists
from recall.quality.places import Places

POPULARITY = "popularity"
MOST_CLASSES = 100
_MIX = 0.01
_FIFTHS = 5


class Classes(NamedTuple):
    """Classes of items.

    Attributes:
        name: of the relation they come from, or "popularity".
        shares: how much of each item is in each class, rows of sum 1 or 0, CSR float64 (items, classes).
    """

    name: str
    shares: Any


def item_classes(graph: KnowledgeGraph, history: InteractionHistory, relation: str | None = None) -> Classes:
    """Classes of the items of a graph.

    Args:
        graph: the graph.
        history: what its users did.
        relation: name of a relation between items and others, or "popularity": fifths of the items by their likes.
            None: the relation with 2 to 100 others that joins most items, at least half of them; else "popularity".

    Raises:
        ConfigError: no relation of the items has this name.
    """
    of_relations = {}
    for key in graph.edges:
        item, user = graph.schema.item_type, graph.schema.user_type
        if item in (key.source, key.target) and user not in (key.source, key.target) and key.source != key.target:
            source, target = graph.positive_edges(key)
            ours, others = (source, target) if key.source == item else (target, source)
            if len(ours):
                of_relations[key.name] = _classes(key.name, ours, others, len(graph.items))
    if relation is not None and relation != POPULARITY:
        if relation not in of_relations:
            names = ", ".join([*sorted(of_relations), POPULARITY])
            raise ConfigError(f"there is no relation {relation!r} between items and others to calibrate by: {names}")
        return of_relations[relation]
    joined = {
        name: int((np.diff(classes.shares.indptr) > 0).sum())
        for name, classes in sorted(of_relations.items())
        if 2 <= classes.shares.shape[1] <= MOST_CLASSES
    }
    if relation is None and joined and max(joined.values()) * 2 >= len(graph.items):
        return of_relations[max(joined, key=joined.__getitem__)]
    likes = np.bincount(history.liked.values, minlength=history.num_items)
    order = np.argsort(-likes, kind="stable")
    fifth = np.empty(len(order), dtype=np.int64)
    fifth[order] = np.arange(len(order)) * _FIFTHS // max(len(order), 1)
    return _classes(POPULARITY, np.arange(len(order)), fifth, len(order))


class Calibration:
    """Compares lists with histories, block by block."""

    def __init__(self, classes: Classes, history: InteractionHistory, ks: Sequence[int]) -> None:
        """Begin.

        Args:
            classes: of the items.
            history: of the users that the channels were trained on.
            ks: lengths of lists, ascending.
        """
        self._shares, self._history, self._ks = classes.shares, history, ks
        self._values: dict[int, dict[str, Values]] = {}  # by the identity of the group

    def see(self, group: Group, rows: IntArray, lists: Lists, places: Places) -> None:
        """See `recall.quality.measure.Watcher`."""
        liked = self._history.liked.take(group.user[rows]) if group.in_training else group.history.take(rows)
        wanted = self._distribution(liked)
        for name, items in lists.ranked.items():
            listed, start = np.zeros(wanted.shape), 0
            for k in self._ks:
                part = items[:, start:k]
                row, place = np.nonzero(part >= 0)
                listed += self._sums(row, part[row, place], len(part))
                of_group = self._values.setdefault(id(group), {})
                values = of_group.setdefault(f"{name}@{k}", np.full(len(group), np.nan))
                values[rows] = divergence(wanted, _normalised(listed))
                start = k

    def means(self, group: Group, ranker: str) -> Mapping[str, float]:
        """`calibration@k` of a ranker on a group: the mean over users with a liked item that has a class."""
        whole, rows = (group, None) if id(group) in self._values else group.part_of or (group, None)
        result = {}
        for k in self._ks:
            values = self._values.get(id(whole), {}).get(f"{ranker}@{k}", np.zeros(0))
            values = values if rows is None else values[rows]
            if np.isfinite(values).any():
                result[f"calibration@{k}"] = float(np.nanmean(values))
        return result

    def _distribution(self, lists: RaggedArray) -> Values:
        return _normalised(self._sums(lists.rows(), lists.values, len(lists)))

    def _sums(self, row: IntArray, item: IntArray, count: int) -> Values:
        width = self._shares.shape[0]
        chosen = csr_matrix((np.ones(len(row)), (row, item)), shape=(count, width))
        sums: Values = (chosen @ self._shares).toarray()
        return sums


def divergence(wanted: Values, listed: Values) -> Values:
    """C of each user, NaN without a distribution of what he wants.

    Args:
        wanted: p, rows of sum 1 or 0, float64 (n, classes).
        listed: q, the same.
    """
    mixed = (1 - _MIX) * listed + _MIX * wanted
    ratio = np.divide(wanted, mixed, out=np.ones_like(wanted), where=wanted > 0)
    result: Values = (wanted * np.log(ratio)).sum(axis=1)
    result[wanted.sum(axis=1) == 0] = np.nan
    return result


def _classes(name: str, items: IntArray, classes: IntArray, num_items: int) -> Classes:
    """From pairs of an item and a class; classes are numbered anew."""
    _, number = np.unique(classes, return_inverse=True)
    has = csr_matrix((np.ones(len(items)), (items, number)), shape=(num_items, int(number.max(initial=-1)) + 1))
    has.data[:] = 1  # twice the same pair is one
    counts: npt.NDArray[np.float64] = np.maximum(np.diff(has.indptr), 1)
    return Classes(name, (diags(1 / counts) @ has).tocsr())


def _normalised(sums: Values) -> Values:
    total = sums.sum(axis=1, keepdims=True)
    result: Values = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    return result
