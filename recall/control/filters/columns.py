"""What the graph says of items, as columns that filters compare: attributes, and the other ends of relations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kg import KnowledgeGraph
from kg.arrays import IntArray
from kg.errors import ConfigError, UnknownIdError
from kg.graph import column
from kg.schema import RelationKey
from recall.control.filters.expression import Moment, Now, Operator, Value, text_of

Mask = npt.NDArray[np.bool_]

_COMPARE: dict[str, Any] = {
    "=": pc.equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_FEW = 50_000  # values that are looked through for a near one


@dataclass(frozen=True, slots=True)
class AttributeColumn:
    """The values of an attribute, none, one or several an item.

    Attributes:
        name: of the attribute.
        values: Arrow array, (m,).
        item: position of the item of each, int64 (m,).
        count: items.
    """

    name: str
    values: Any
    item: IntArray
    count: int

    @classmethod
    def of(cls, name: str, values: Any) -> AttributeColumn:
        """From a column of the table of items.

        Raises:
            ConfigError: it holds values that a filter cannot compare.
        """
        array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], type=array.type)
        item, count = np.arange(len(array)), len(array)
        if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
            item = pc.list_parent_indices(array).to_numpy().astype(np.int64)
            array = pc.list_flatten(array)
        if pa.types.is_dictionary(array.type):
            array = array.cast(array.type.value_type)
        if pa.types.is_decimal(array.type):
            array = array.cast(pa.float64())
        if pa.types.is_nested(array.type) or pa.types.is_binary(array.type):
            raise ConfigError(f"the attribute {name!r} holds {array.type}, which a filter cannot compare")
        there = pc.is_valid(array)
        return cls(name, array.filter(there), item[there.to_numpy(zero_copy_only=False)], count)

    def passing(self, operator: Operator, value: Value, now: float) -> Mask:
        """Items any of whose values compares so, bool (items,).

        Raises:
            ConfigError: the values are of another kind.
        """
        chosen = _COMPARE[operator](*self._alike(value, now))
        return self._marked(chosen.to_numpy(zero_copy_only=False))

    def within(self, values: Sequence[Value], now: float) -> Mask:
        """Items any of whose values is one of these, bool (items,)."""
        pairs = [self._alike(value, now) for value in values]
        result = np.zeros(self.count, dtype=bool)
        kinds = {str(left.type): left for left, _ in pairs}
        for kind, left in kinds.items():
            wanted = pa.array([right.as_py() for other, right in pairs if str(other.type) == kind], type=left.type)
            result |= self._marked(pc.is_in(left, value_set=wanted).to_numpy(zero_copy_only=False))
        return result

    def present(self) -> Mask:
        """Items with any value, bool (items,)."""
        return self._marked(np.ones(len(self.item), dtype=bool))

    def times(self) -> npt.NDArray[np.float64]:
        """The values as seconds since 1970, float64 (m,).

        Raises:
            ConfigError: they are no times.
        """
        seconds: npt.NDArray[np.float64] = self._times(Now(0)).to_numpy(zero_copy_only=False)
        return seconds

    def _marked(self, chosen: Mask) -> Mask:
        result = np.zeros(self.count, dtype=bool)
        result[self.item[chosen]] = True
        return result

    def _alike(self, value: Value, now: float) -> tuple[Any, Any]:
        """The values and one to compare them with, in the same Arrow type."""
        kind = self.values.type
        if isinstance(value, Now | Moment):
            seconds = now + value.seconds if isinstance(value, Now) else value.seconds
            return self._times(value), pa.scalar(seconds, type=pa.float64())
        if pa.types.is_temporal(kind):
            raise self._wrong(value, "times", "write a date without quotes, such as 2024-05-01, or now")
        if pa.types.is_boolean(kind):
            if isinstance(value, bool):
                return self.values, pa.scalar(value)
            raise self._wrong(value, "true and false", "compare it with true or false")
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            if isinstance(value, str | bool):
                raise self._wrong(value, "numbers", "write a number without quotes")
            if isinstance(value, int) and pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
                return self.values.cast(pa.int64()), pa.scalar(value, type=pa.int64())
            return self.values.cast(pa.float64(), safe=False), pa.scalar(float(value), type=pa.float64())
        if isinstance(value, str):
            return self.values.cast(pa.large_string()), pa.scalar(value, type=pa.large_string())
        raise self._wrong(value, "texts", "write a text in quotes")

    def _times(self, value: Now | Moment) -> Any:
        """The values as seconds since 1970: numbers are such seconds, texts ISO 8601, UTC where they name no zone."""
        kind = self.values.type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            return self.values.cast(pa.float64(), safe=False)
        if pa.types.is_boolean(kind):
            raise self._wrong(value, "true and false", "compare it with true or false")
        times = self.values
        if not pa.types.is_temporal(kind):
            try:
                times = pc.cast(times, pa.timestamp("us"))
            except pa.ArrowInvalid:
                try:
                    times = pc.cast(times, pa.timestamp("us", tz="UTC"))
                except pa.ArrowInvalid:
                    raise self._wrong(value, "texts that are no times", "write a text in quotes") from None
        elif pa.types.is_time(kind) or pa.types.is_duration(kind):
            raise self._wrong(value, f"{kind}", "use an attribute that holds dates or times")
        micros = times.cast(pa.timestamp("us", tz=getattr(times.type, "tz", None)), safe=False).cast(pa.int64())
        return pc.divide(micros.cast(pa.float64(), safe=False), 1e6)

    def _wrong(self, value: Value, holds: str, advice: str) -> ConfigError:
        example = f", such as {self.values[0].as_py()!r}" if len(self.values) else ""
        return ConfigError(
            f"the filter compares {self.name!r} with {text_of(value)}, but it holds {holds}{example}: {advice}"
        )


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """The other ends of a relation of items.

    Attributes:
        name: as the filter writes it.
        graph: of the relation.
        node_type: of the other ends.
        item: position of the item of each edge, int64 (edges,).
        other: position of its other end, int64 (edges,).
    """

    name: str
    graph: KnowledgeGraph
    node_type: str
    item: IntArray
    other: IntArray

    @classmethod
    def of(cls, name: str, graph: KnowledgeGraph, key: RelationKey, *, forward: bool) -> RelationColumn:
        """Of the edges of a relation; forward from the items at its source."""
        source, target = column(graph.edges[key], "src"), column(graph.edges[key], "dst")
        ends = (source, target) if forward else (target, source)
        return cls(name, graph, key.target if forward else key.source, *ends)

    def within(self, values: Sequence[Value], titles: Any, *, skip_unknown: bool) -> Mask:
        """Items joined to any of some nodes, bool (items,).

        Args:
            values: ids of nodes, or their titles where no id is written so.
            titles: of all nodes of the type, Arrow strings.
            skip_unknown: values that name no node match nothing; otherwise they are an error.

        Raises:
            UnknownIdError: a value names no node.
            ConfigError: a value is no text.
        """
        if wrong := [value for value in values if not isinstance(value, str)]:
            raise ConfigError(
                f"the filter compares the relation {self.name!r} with {text_of(wrong[0])}: write an id or a title of a "
                f"{self.node_type} in quotes"
            )
        texts = [str(value) for value in values]
        vocabulary = self.graph.vocabulary(self.node_type)
        by_id = vocabulary.index(texts, missing="negative")
        chosen = np.zeros(len(vocabulary), dtype=bool)
        chosen[by_id[by_id >= 0]] = True
        others = list(dict.fromkeys(text for text, place in zip(texts, by_id.tolist(), strict=True) if place < 0))
        if others:
            by_title = pc.index_in(titles, value_set=pa.array(others, type=pa.string()))
            place = pc.fill_null(by_title, -1).to_numpy(zero_copy_only=False)
            chosen |= place >= 0
            absent = sorted(set(range(len(others))) - set(place.tolist()))
            if absent and not skip_unknown:
                raise self._unknown(others[absent[0]], titles)
        return self._marked(chosen[self.other])

    def present(self) -> Mask:
        """Items with any edge, bool (items,)."""
        return self._marked(np.ones(len(self.item), dtype=bool))

    def _marked(self, chosen: Mask) -> Mask:
        result = np.zeros(len(self.graph.items), dtype=bool)
        result[self.item[chosen]] = True
        return result

    def _unknown(self, text: str, titles: Any) -> UnknownIdError:
        names = titles.slice(0, _FEW).to_pylist() + self.graph.vocabulary(self.node_type).ids.slice(0, _FEW).to_pylist()
        near = get_close_matches(text, dict.fromkeys(names), n=1, cutoff=0.6)
        hint = f" (nearest: {near[0]!r})" if near else ""
        return UnknownIdError(f"unknown {self.node_type} in the filter: {self.name} {text_of(text)}{hint}")
