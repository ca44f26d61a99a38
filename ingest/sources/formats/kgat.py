"""Data sets in the form of KGAT and of RippleNet and KGCN: numbered users, items, entities and relations.

KGAT: `train.txt` and `test.txt` (a user and then the items, a line a user), `kg_final.txt` (head, relation, tail), and
lists of the original ids. RippleNet, KGCN: `ratings_final.txt` (user, item, 1 for liked and 0 for a sampled negative,
which is left out) beside the same file. Items and entities share one numbering that begins with the items: a number
up to the largest one of an item is an item, every other an entity.
Source: https://github.com/xiangwang1223/knowledge_graph_attention_network
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.settings import InteractionColumns
from ingest.sources.bounded import open_plain
from ingest.sources.formats.parts import (
    ENTITY,
    AttributesPart,
    DatasetFiles,
    InteractionsPart,
    Part,
    Roles,
    table_rows,
    typed_edges,
)
from ingest.sources.tables import read_lists
from ingest.sources.tables.plain_file import read_plain
from ingest.sources.tables.relations import relation_name
from kg.errors import InvalidDataError

PARTS = {"train.txt": "train", "valid.txt": "valid", "test.txt": "test"}


def read(files: DatasetFiles, roles: Roles) -> Iterator[Part]:
    """The tables of a data set.

    Raises:
        InvalidDataError: there are no interactions, or ids are no numbers.
    """
    largest = -1
    for name, path in files.need(*PARTS, "ratings_final.txt"):
        part, items = _interactions(name, path)
        largest = max(largest, int(items.max(initial=-1)))
        yield part
    for name, path in files.take("item_list.txt"):
        originals = _originals(name, path)
        largest = max(largest, int(_numbers(originals["number"], name).max(initial=-1)))
        yield _original_ids(originals, name, roles.item)
    for name, path in files.take("user_list.txt"):
        yield _original_ids(_originals(name, path), name, roles.user)
    for name, path in files.take("entity_list.txt"):
        originals = _originals(name, path)
        is_entity = _numbers(originals["number"], name) > largest
        if is_entity.any():
            yield _original_ids(originals.filter(pa.array(is_entity)), name, ENTITY)
    relations = {}
    for name, path in files.take("relation_list.txt"):
        originals = _originals(name, path)
        relations = dict(zip(originals["number"].to_pylist(), originals["original"].to_pylist(), strict=True))
    for name, path in files.take("kg_final.txt"):
        yield from _knowledge(name, path, relations, largest, roles)


def _interactions(name: str, path: Path) -> tuple[InteractionsPart, npt.NDArray[np.int64]]:
    part = PARTS.get(path.name.removesuffix(".gz"))
    if part is not None:
        rows = read_lists(path, name=name)
    else:
        rows = read_plain(path, name=name, separator="\t", header=["user_id", "item_id", "label"])
        rows.table = rows.table.filter(pc.equal(rows.table["label"], "1")).drop_columns(["label"])
    numbers = _numbers(rows.table["item_id"], name)
    return InteractionsPart(rows=rows, columns=InteractionColumns(), part=part), numbers


def _numbers(column: Any, name: str) -> npt.NDArray[np.int64]:
    try:
        result: npt.NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
    except pa.ArrowException as error:
        raise InvalidDataError(
            f"{name} has ids that are no numbers, so it is not in the format kgat: {error}"
        ) from error
    return result


def _originals(name: str, path: Path) -> Any:
    """A list of original ids: a table of `number` and `original`."""
    rows = read_plain(path, name=name, separator=" ", header=None)
    columns = rows.table.column_names
    if columns[:2] != ["org_id", "remap_id"]:
        raise InvalidDataError(f"{name} begins with {' '.join(columns)!r}, and org_id remap_id is expected")
    return pa.table({"number": rows.table["remap_id"], "original": rows.table["org_id"]})


def _original_ids(originals: Any, name: str, node: str) -> AttributesPart:
    return AttributesPart(rows=table_rows(originals, name), node=node, id="number", columns={"original_id": "original"})


def _knowledge(name: str, path: Path, relations: dict[str, str], largest: int, roles: Roles) -> Iterator[Part]:
    rows = read_plain(path, name=name, separator=_separator(path), header=["head", "relation", "tail"])
    names = _relation_names(pc.unique(rows.table["relation"].combine_chunks()).to_pylist(), relations)
    yield from typed_edges(
        (rows.table["head"], _numbers(rows.table["head"], name) <= largest),
        pa.array([names[value] for value in rows.table["relation"].to_pylist()], pa.string()),
        (rows.table["tail"], _numbers(rows.table["tail"], name) <= largest),
        name=name,
        item=roles.item,
    )


def _separator(path: Path) -> str:
    with io.TextIOWrapper(open_plain(path), encoding="utf-8") as file:
        return "\t" if "\t" in file.readline() else " "


def _relation_names(values: list[str], originals: dict[str, str]) -> dict[str, str]:
    """A name for each relation after its original one; a number is added where two would be the same."""
    names: dict[str, str] = {}
    for value in sorted(values):
        name = relation_name(originals.get(value, value))
        names[value] = f"{name}_{value}" if name in names.values() else name
    return names
