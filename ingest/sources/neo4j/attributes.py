"""Properties of nodes as attributes, and their other labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.report import MAX_EXAMPLES, QualityReport
from ingest.sources.neo4j.tables import PREFIX, shown_node
from kg.schema import snake_case
from kg.stores.neo4j.own_names import is_own

RESERVED = {"id", "text"}


def attribute_columns(label: str, table: Any, key: str, report: QualityReport) -> dict[str, Any]:
    """Properties under the names of attributes, in the order of the names, and the other labels as `types`."""
    properties = [
        field.name.removeprefix(PREFIX)
        for field in table.schema
        if field.name.startswith(PREFIX)
        and not is_own(field.name.removeprefix(PREFIX))
        and not pa.types.is_null(field.type)
        and field.name != PREFIX + "id" * (key == "id")
    ]
    reserved = set(RESERVED)
    if "types" in properties and table.schema.field(PREFIX + "types").type != pa.list_(pa.string()):
        reserved.add("types")
    names = _unique_names(properties, f"attributes of {label}", reserved, report)
    columns = {name: table[PREFIX + key].combine_chunks() for key, name in names.items()}
    types = _other_labels(label, table, report)
    if types is not None and "types" in columns:
        pairs = zip(types.to_pylist(), columns["types"].to_pylist(), strict=True)
        types = pa.array([sorted({*(a or ()), *(b or ())}) or None for a, b in pairs], type=pa.list_(pa.string()))
    if types is not None:
        columns["types"] = types
    first, last = ["iri"] * ("iri" in columns), ["types"] * ("types" in columns)
    return {name: columns[name] for name in [*first, *sorted({*columns} - {"iri", "types"}), *last]}


def _unique_names(properties: Sequence[str], place: str, reserved: set[str], report: QualityReport) -> dict[str, str]:
    """Names of properties in snake case, with a prefix where they are reserved or two would be the same."""
    names = {stored: snake_case(stored) for stored in properties}
    for name in sorted(set(names.values())):
        same = sorted(stored for stored in properties if names[stored] == name)
        if len(same) == 1 and name not in reserved:
            continue
        for at, stored in enumerate(same, start=1):
            names[stored] = f"neo4j_{name}" + f"_{at}" * (len(same) > 1)
            while list(names.values()).count(names[stored]) > 1:
                names[stored] += "_"
        report.add(
            "properties of one name",
            len(same),
            "reserved or the same in snake case: told apart by a prefix",
            [f"{place}: " + ", ".join(f"{stored} is {names[stored]}" for stored in same)],
        )
    return names


def _other_labels(label: str, table: Any, report: QualityReport) -> Any | None:
    """The labels of each node beside the one that it is read under; None when there are none."""
    labels = table["labels"].combine_chunks()
    flat = pc.list_flatten(labels)
    others = [name for name in pc.unique(flat).to_pylist() if name != label and not is_own(name)]
    kept = pc.is_in(flat, value_set=pa.array(others, type=pa.string())).to_numpy(zero_copy_only=False)
    if not kept.any():
        return None
    row = pc.list_parent_indices(labels).to_numpy()[kept]
    counts = np.bincount(row, minlength=len(labels))
    report.add(
        "nodes with several labels",
        int((counts > 0).sum()),
        "kept under the first label; the others are the attribute `types`",
        [shown_node(":".join(labels[int(at)].as_py()), table, int(at)) for at in np.flatnonzero(counts)[:MAX_EXAMPLES]],
    )
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    # A null offset makes a null list; the last offset must stay.
    empty = np.concatenate([counts == 0, [False]])
    return pa.ListArray.from_arrays(pa.array(offsets, mask=empty), flat.filter(pa.array(kept)))
