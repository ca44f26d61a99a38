"""The items of a graph that pass a filter, found once for each filter and kept."""

from __future__ import annotations

import time
from collections import OrderedDict
from difflib import get_close_matches
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kg import KnowledgeGraph
from kg.arrays import IntArray, RaggedArray
from kg.errors import ConfigError
from kg.schema import RelationKey
from recall.control.filters.columns import AttributeColumn, Mask, RelationColumn
from recall.control.filters.expression import And, Compare, Filter, Missing, Not, Or, Within
from recall.control.filters.grammar import parse_filter

_KEPT = 64  # filters whose items are kept


class ItemFilters:
    """Finds the items of one graph that pass filters. Threads can share one."""

    def __init__(self, graph: KnowledgeGraph) -> None:
        self.graph = graph
        self._positions: OrderedDict[tuple[Filter, bool, int], IntArray] = OrderedDict()
        self._columns: dict[str, AttributeColumn | RelationColumn] = {}
        self._titles: dict[str, Any] = {}
        self._lock = Lock()

    def positions(self, wanted: str | Filter, *, skip_unknown: bool = False, now: float | None = None) -> IntArray:
        """The items that pass, by position.

        Args:
            wanted: a filter, or its text.
            skip_unknown: names of nodes that are not there match nothing; otherwise they are an error.
            now: what `now` means, seconds since 1970; None: this second.

        Returns:
            Sorted positions, read-only, int64 (m,).

        Raises:
            ConfigError: the text is no filter, names no attribute or relation, or compares what cannot be compared.
            UnknownIdError: it names a node that is not in the graph.
        """
        expression = parse_filter(wanted) if isinstance(wanted, str) else wanted
        if not isinstance(expression, Filter):
            raise ConfigError(f"a filter is a text, or made by where(...), not {wanted!r}")
        second = int(time.time()) if now is None else int(now)
        key = (expression, skip_unknown, second if expression.depends_on_now else 0)
        with self._lock:
            if key in self._positions:
                self._positions.move_to_end(key)
                return self._positions[key]
        positions: IntArray = np.flatnonzero(self._mask(expression, skip_unknown, float(second))).astype(np.int64)
        positions.flags.writeable = False
        with self._lock:
            self._positions[key] = positions
            while len(self._positions) > _KEPT:
                self._positions.popitem(last=False)
        return positions

    def names(self) -> list[str]:
        """What filters can name: the attributes of items, and their relations."""
        relations = [_label(key, forward, key.name) for key, forward in self._relations()]
        return list(dict.fromkeys([*self._attributes(), *relations]))

    def kinds(self, name: str) -> RaggedArray:
        """The values of an attribute, or the other ends of a relation, of each item, as numbers, (items,) lists.

        Raises:
            ConfigError: there is neither.
        """
        column, count = self._column(name), len(self.graph.items)
        if isinstance(column, AttributeColumn):
            codes = pc.fill_null(column.values.dictionary_encode().indices, -1).to_numpy(zero_copy_only=False)
            return RaggedArray.from_pairs(column.item, codes.astype(np.int64), num_rows=count)
        return RaggedArray.from_pairs(column.item, column.other, num_rows=count)

    def seconds(self, name: str) -> npt.NDArray[np.float64]:
        """The time of each item by an attribute, its latest, seconds since 1970, NaN without one, float64 (items,).

        Raises:
            ConfigError: there is no such attribute, or it holds no times.
        """
        column = self._column(name)
        if not isinstance(column, AttributeColumn):
            raise ConfigError(f"{name!r} is a relation of the items, not a time: name an attribute")
        times = np.full(len(self.graph.items), -np.inf)
        np.maximum.at(times, column.item, column.times())
        return np.where(times == -np.inf, np.nan, times)

    def _mask(self, part: Filter, skip_unknown: bool, now: float) -> Mask:
        """Which items pass, bool (items,)."""
        if isinstance(part, And | Or):
            join = np.logical_and if isinstance(part, And) else np.logical_or
            result: Mask = join.reduce([self._mask(one, skip_unknown, now) for one in part.parts])
            return result
        if isinstance(part, Not):
            return ~self._mask(part.part, skip_unknown, now)
        if not isinstance(part, Compare | Within | Missing):
            raise ConfigError(f"{part!r} is no filter: make it by where(...)")
        column = self._column(part.name)
        if isinstance(part, Missing):
            return ~column.present()
        values = part.values if isinstance(part, Within) else (part.value,)
        operator = "=" if isinstance(part, Within) else part.operator
        if isinstance(column, AttributeColumn):
            if isinstance(part, Within):
                return column.within(values, now)
            return (
                ~column.passing("=", values[0], now) if operator == "!=" else column.passing(operator, values[0], now)
            )
        if operator not in ("=", "!="):
            raise ConfigError(
                f"the filter orders the relation {part.name!r} by {operator}, but it leads to a {column.node_type}: "
                f"write {part.name} in [...] or {part.name} = ..."
            )
        joined = column.within(values, self._titles_of(column.node_type), skip_unknown=skip_unknown)
        return ~joined if operator == "!=" else joined

    def _column(self, name: str) -> AttributeColumn | RelationColumn:
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = self._made(name)
        return column

    def _made(self, name: str) -> AttributeColumn | RelationColumn:
        if name in self._attributes():
            return AttributeColumn.of(name, self.graph.nodes[self.graph.schema.item_type][name])
        matching = [
            (key, forward)
            for key, forward in self._relations()
            if name in (_label(key, forward, key.name), _label(key, forward, ".".join(key)))
        ]
        if len(matching) == 1:
            key, forward = matching[0]
            return RelationColumn.of(name, self.graph, key, forward=forward)
        if matching:
            choice = ", ".join(_label(key, forward, ".".join(key)) for key, forward in matching)
            raise ConfigError(f"{len(matching)} relations are called {name!r}: write one of {choice}")
        names = self.names()
        near = get_close_matches(name, names, n=1, cutoff=0.6)
        hint = f": did you mean {near[0]!r}?" if near else ""
        item = self.graph.schema.item_type
        raise ConfigError(f"{name!r} is no attribute or relation of {item!r}{hint}; there are {', '.join(names)}")

    def _attributes(self) -> list[str]:
        return list(self.graph.nodes[self.graph.schema.item_type].column_names)

    def _relations(self) -> list[tuple[RelationKey, bool]]:
        """Relations of items to other nodes than users, and whether the item is at the source.

        One among items has two ways, `name` and `^name`; any other has one, whatever its direction.
        """
        schema = self.graph.schema
        ways = []
        for key in self.graph.edges:
            if schema.user_type in (key.source, key.target):
                continue
            if key.source == schema.item_type:
                ways.append((key, True))
            if key.target == schema.item_type:
                ways.append((key, False))
        return ways

    def _titles_of(self, node_type: str) -> Any:
        if node_type not in self._titles:
            every = np.arange(self.graph.num_nodes(node_type))
            self._titles[node_type] = pa.array(self.graph.titles(node_type, every), type=pa.string())
        return self._titles[node_type]


def _label(key: RelationKey, forward: bool, name: str) -> str:
    return f"^{name}" if key.source == key.target and not forward else name
