"""Node tables: the attributes of all sources side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.facts import Facts
from ingest.report import QualityReport
from kg.errors import InvalidDataError


def node_table(name: str, ids: Any, facts: Facts, report: QualityReport) -> Any:
    """The table of one node type: `id` and attributes, those from RDF first.

    Raises:
        InvalidDataError: an attribute is a list in one source and not in another.
    """
    columns: dict[str, Any] = {"id": ids}
    if name in facts.mapped.nodes:
        columns |= _aligned(facts.mapped.nodes[name].table, ids)
    for table in facts.attributes.get(name, []):
        for attribute, column in _aligned(table, ids).items():
            if attribute in columns:
                column = _joined(name, ids, attribute, columns[attribute], column, report)
            columns[attribute] = column
    return pa.table(columns)


def _joined(name: str, ids: Any, attribute: str, first: Any, second: Any, report: QualityReport) -> Any:
    """One column of an attribute of two sources; where they disagree the first one stands."""
    if first.type != second.type:
        if pa.types.is_nested(first.type) or pa.types.is_nested(second.type):
            raise InvalidDataError(
                f"attribute {attribute!r} of {name} is a list in one source and not in another: rename one of them"
            )
        numbers = all(pa.types.is_integer(c.type) or pa.types.is_floating(c.type) for c in (first, second))
        common = pa.float64() if numbers else pa.string()
        first, second = first.cast(common), second.cast(common)
    if not pa.types.is_nested(first.type):
        differs = pc.fill_null(pc.not_equal(first, second), False).to_numpy(zero_copy_only=False)
        examples = [
            f"{name} {ids[i]} {attribute}: {first[i].as_py()!r}, {second[i].as_py()!r}"
            for i in np.flatnonzero(differs)[:5].tolist()
        ]
        report.add(
            "attributes that differ",
            int(differs.sum()),
            "two sources disagree: the first one stands",
            examples,
            severity="warning",
        )
    return pc.coalesce(first, second)


def _aligned(table: Any, ids: Any) -> dict[str, Any]:
    """The columns of a table but its id, aligned to `ids`; null where it has no row."""
    row = pc.index_in(ids, value_set=table["id"].combine_chunks())
    return {name: table[name].combine_chunks().take(row) for name in table.column_names if name != "id"}
