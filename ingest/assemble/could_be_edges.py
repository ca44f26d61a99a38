"""Attributes that say more as edges: what several nodes share joins them, and only edges carry that.

A table of movies with columns of genres and directors makes a graph without a single knowledge edge, unless a section
`sources.edges` says that these columns name other nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kg.settings.toml import toml_value

SEPARATORS = ("|", ";", ", ", ",", " / ")
NAMES = re.compile(r"(^|_)(title|name|label|description|summary|plot|overview|text|url|link|same_as|iri|date)s?$")
SAMPLE = 20_000
LONGEST_VALUE = 60
LEAST_NODES_A_VALUE = 2.0
MANY_CELLS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedValues:
    """An attribute whose values several nodes share.

    Attributes:
        node: node type.
        attribute: its name.
        separator: of the values in a cell; None where cells hold one value, or lists.
        values: how many different ones there are.
        nodes: how many nodes have one, at least.
        examples: the most common ones.
    """

    node: str
    attribute: str
    separator: str | None
    values: int
    nodes: int
    examples: tuple[str, ...]


def shared_values(node: str, table: Any, leave_out: set[str]) -> Iterator[SharedValues]:
    """The attributes of a node table that could be edges.

    Args:
        node: its type.
        table: `id` and attributes.
        leave_out: columns that are none, such as the title.
    """
    for name in table.column_names:
        if name in ("id", "types") or name in leave_out or NAMES.search(name.lower()):
            continue
        column = table[name][:SAMPLE].combine_chunks()
        shared = in_column(column)
        if shared is not None:
            separator, values, nodes, examples = shared
            yield SharedValues(
                node=node, attribute=name, separator=separator, values=values, nodes=nodes, examples=examples
            )


def in_column(column: Any) -> tuple[str | None, int, int, tuple[str, ...]] | None:
    """Separator, number of different values, number of cells and the most common values; None where few are shared."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        column = column.drop_null()
        flat = pc.list_flatten(column)
        return None if not pa.types.is_string(flat.type) else _shared(flat, None, len(column), enough=True)
    if pa.types.is_boolean(kind) or not pa.types.is_string(kind):
        return None
    column = column.drop_null()
    if not len(column) or pc.any(pc.match_substring(column, "://")).as_py() or _are_numbers(column):
        return None
    for separator in SEPARATORS:
        holds = pc.match_substring(column, separator)
        if pc.mean(holds.cast(pa.float64())).as_py() >= MANY_CELLS:
            cells = pc.utf8_trim_whitespace(pc.list_flatten(pc.split_pattern(column, separator)))
            shared = _shared(cells.filter(pc.not_equal(cells, "")), separator, len(column), enough=True)
            if shared is not None:
                return shared
    return _shared(column, None, len(column), enough=False)


def _are_numbers(column: Any) -> bool:
    return bool(pc.all(pc.match_substring_regex(column, r"^\s*[+-]?[\d.,:/-]+\s*$")).as_py())


def _shared(
    values: Any, separator: str | None, cells: int, *, enough: bool
) -> tuple[str | None, int, int, tuple[str, ...]] | None:
    """What is shared; `enough` where several values in a cell already show that they are names."""
    if not len(values):
        return None
    counts = pc.value_counts(values)
    different = len(counts)
    longest = pc.max(pc.utf8_length(values)).as_py()
    per_value = len(values) / different
    least = 1.2 if enough else LEAST_NODES_A_VALUE
    if different < 2 or per_value < least or longest > LONGEST_VALUE * (1 + enough):
        return None
    order = pc.sort_indices(counts.field("counts"), sort_keys=[("", "descending")])[:3]
    return separator, different, cells, tuple(counts.field("values").take(order).to_pylist())


def edges_section(
    values: SharedValues, *, files: Sequence[str], id: str, column: str, form: Mapping[str, Any] | None = None
) -> str:
    """The lines of a configuration that make edges of an attribute.

    Args:
        values: of the attribute.
        files: of its table.
        id: column of the nodes.
        column: of the attribute.
        form: further keys of the table, such as its separator.
    """
    name = re.sub(r"[^a-z0-9]+", "_", values.attribute.lower()).strip("_")
    name = name if name[:1].isalpha() else f"has_{name}"
    target = name if name != values.node else f"{name}_value"
    keys = {
        "source": values.node,
        "relation": name,
        "target": target,
        "files": list(files),
        "columns": {"source": id, "target": column},
        **({} if values.separator is None else {"split": values.separator}),
        **(form or {}),
    }
    return "\n".join(["[[sources.edges]]", *(f"{key} = {toml_value(value)}" for key, value in keys.items())])
