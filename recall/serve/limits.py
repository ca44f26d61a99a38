"""Which items may answer requests: candidates, exclusions and filters, all inside the search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kg import RaggedArray
from kg.arrays import IntArray
from kg.errors import ConfigError
from recall.contracts import Query
from recall.control.filters import Filter, ItemFilters
from recall.index.top_k import check_k
from recall.serve.ids import ItemSet
from recall.serve.requests import Items, OnUnknown, Requests

ItemLists = Items | Mapping[str, Items] | Sequence[Sequence[str]]
"""Items for all requests, or for each: by user id, or a list for each person."""

Counts = int | Mapping[str, int] | Sequence[int]
"""Items wanted by all requests, or by each."""

_FEW = 256  # exclusions for all requests that are skipped after the search of a few more: a selector costs more


class Limits:
    """Turns what a caller writes about items into what the pipeline searches by."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._filters = ItemFilters(requests.graph)
        self._num_items = len(requests.graph.items)

    def shared(
        self, *, candidates: Items | None, exclude: Items | None, filter: str | Filter | None, on_unknown: OnUnknown
    ) -> IntArray | None:
        """Sorted positions of the items that are allowed for all requests, None for all.

        Raises:
            UnknownIdError: an item, or a name in the filter, is not in the graph, and `on_unknown` is "raise".
            ConfigError: ids are no list of strings, or the filter is none of this graph.
        """
        return self._allowed(
            self._positions(candidates, "candidates", on_unknown),
            self._positions(exclude, "exclude", on_unknown),
            self._passing(filter, on_unknown),
        )

    def apply(
        self,
        queries: Query,
        *,
        k: Counts,
        candidates: ItemLists | None,
        exclude: ItemLists | None,
        filter: str | Filter | None,
        on_unknown: OnUnknown,
    ) -> tuple[Query, int, IntArray | None]:
        """Requests with their own limits, k, and positions of the only items allowed for all of them.

        Raises:
            UnknownIdError, ConfigError: see `shared`; lists or counts do not fit the requests.
        """
        shared: dict[str, IntArray | None] = {}
        of_rows: dict[str, Any] = {}
        for name, items in (("candidates", candidates), ("exclude", exclude)):
            if _each(items):
                of_rows[name] = self._lists(queries, items, name, on_unknown)
            else:
                shared[name] = self._positions(items, name, on_unknown)
        passing, barred = self._passing(filter, on_unknown), shared.get("exclude")
        if barred is not None and len(barred) <= _FEW and passing is None and shared.get("candidates") is None:
            of_rows["exclude"], barred = _for_all(barred, len(queries)), None
        queries = replace(queries, **of_rows)
        queries, count = self._counts(queries, k)
        return queries, count, self._allowed(shared.get("candidates"), barred, passing)

    def _positions(self, items: Any, name: str, on_unknown: OnUnknown) -> IntArray | None:
        return None if items is None else self._requests.item_set(items, on_unknown, name)

    def _passing(self, filter: str | Filter | None, on_unknown: OnUnknown) -> IntArray | None:
        return None if filter is None else self._filters.positions(filter, skip_unknown=on_unknown != "raise")

    def _allowed(
        self, candidates: IntArray | None, barred: IntArray | None, passing: IntArray | None
    ) -> IntArray | None:
        """The items that are candidates, pass the filter and are not barred."""
        if barred is None and candidates is None:
            return passing
        allowed = np.ones(self._num_items, dtype=bool)
        for chosen in (candidates, passing):
            if chosen is not None:
                marked = np.zeros(self._num_items, dtype=bool)
                marked[chosen] = True
                allowed &= marked
        if barred is not None:
            allowed[barred] = False
        return np.flatnonzero(allowed).astype(np.int64, copy=False)

    def _lists(self, queries: Query, lists: Any, name: str, on_unknown: OnUnknown) -> RaggedArray:
        """The list of each request, by its key or in order."""
        if isinstance(lists, Mapping):
            absent = [key for key in queries.key if key not in lists]
            if absent and name == "candidates":
                raise ConfigError(
                    f"candidates has no list for {absent[0]!r}: give one for each user, or one list for all"
                )
            rows = [lists.get(key, ()) for key in queries.key]
        else:
            rows = list(lists)
            if len(rows) != len(queries):
                raise ConfigError(f"{name} has {len(rows)} lists for {len(queries)} requests: give one for each")
        positions = [np.unique(self._requests.item_set(row, on_unknown, name)) for row in rows]
        return RaggedArray.from_lists(positions)

    @staticmethod
    def _counts(queries: Query, k: Any) -> tuple[Query, int]:
        if not isinstance(k, Iterable) or isinstance(k, str):
            check_k(k)  # type: ignore[arg-type]
            return queries, int(k)
        if isinstance(k, Mapping):
            if absent := [key for key in queries.key if key not in k]:
                raise ConfigError(f"k has no number for {absent[0]!r}: give one for each user, or one for all")
            counts = [k[key] for key in queries.key]
        else:
            counts = list(k)
            if len(counts) != len(queries):
                raise ConfigError(f"k has {len(counts)} numbers for {len(queries)} requests: give one for each")
        for count in counts:
            check_k(count)
        return replace(queries, k=np.array(counts, dtype=np.int64)), max(counts, default=1)


def _each(lists: Any) -> bool:
    """Whether these are lists for each request, not one for all."""
    if isinstance(lists, Mapping):
        return True
    if not isinstance(lists, Sequence) or isinstance(lists, str) or not len(lists):
        return False
    return isinstance(lists[0], ItemSet | set | frozenset) or (
        isinstance(lists[0], Sequence) and not isinstance(lists[0], str)
    )


def _for_all(positions: IntArray, rows: int) -> RaggedArray:
    ordered = np.unique(positions)
    return RaggedArray(np.arange(rows + 1) * len(ordered), np.tile(ordered, rows))
