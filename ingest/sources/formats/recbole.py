"""Atomic files of RecBole: `.inter`, `.item`, `.user`, `.kg` and `.link`, whose header gives a type with each column.

`item_id:token  movie_title:token_seq  release_year:token  class:token_seq` says that titles and classes are words
separated by blanks. Columns of items that hold one or several words of a common vocabulary become edges; `.link` says
which entities of `.kg` are items. Source: https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.settings import EdgeColumns, InteractionColumns
from ingest.sources.formats.parts import (
    AttributesPart,
    DatasetFiles,
    EdgesPart,
    InteractionsPart,
    Part,
    Roles,
    typed_edges,
)
from ingest.sources.tables import Rows
from ingest.sources.tables.plain_file import read_plain
from ingest.sources.tables.relations import relation_name
from kg.errors import InvalidDataError
from kg.schema import snake_case

TYPES = ("token", "token_seq", "float", "float_seq")
TITLE = re.compile(r"(^|_)(title|name)$")
TEXT = re.compile(r"(^|_)(title|name|description|text|summary|plot|overview|url|comment|review)$")


@dataclass(frozen=True, slots=True)
class _Atomic:
    """An atomic file: its rows under plain names, and the type of each column."""

    rows: Rows
    types: dict[str, str]

    def column(self, words: tuple[str, ...], kinds: tuple[str, ...]) -> str | None:
        """The first column of one of the types whose name holds one of the words."""
        named = [name for name, kind in self.types.items() if kind in kinds]
        return next((name for word in words for name in named if word in name.lower()), None)


def read(files: DatasetFiles, roles: Roles) -> Iterator[Part]:
    """The tables of a data set.

    Raises:
        InvalidDataError: there are no interactions, or a header has no types.
    """
    items = [_atomic(name, path) for name, path in files.take("*.item")]
    item_id = next((next(iter(file.types)) for file in items), "item")
    for name, path in files.need("*.inter"):
        file = _atomic(name, path)
        user = file.column(("user", "session"), ("token",)) or next(iter(file.types))
        tokens = [column for column, kind in file.types.items() if kind == "token" and column != user]
        if not tokens:
            raise InvalidDataError(f"{name} has no column of items: a second one of type token is needed")
        item = item_id if item_id in tokens else next((column for column in tokens if "item" in column), tokens[0])
        columns = InteractionColumns(
            user=user,
            item=item,
            rating=file.column(("rating", "stars"), ("float", "token")),
            timestamp=file.column(("timestamp", "time", "date"), ("float",)),
            weight=file.column(("weight", "play", "count"), ("float",)),
        )
        yield InteractionsPart(rows=file.rows, columns=columns, part=_part_of(path))
    for file in items:
        yield from _items(file, roles)
    for name, path in files.take("*.user"):
        file = _atomic(name, path)
        columns_of_users = {snake_case(column): column for column in list(file.types)[1:]}
        yield AttributesPart(rows=file.rows, node=roles.user, id=next(iter(file.types)), columns=columns_of_users)
    yield from _knowledge(files, roles)


def _atomic(name: str, path: Path) -> _Atomic:
    rows = read_plain(path, name=name, separator="\t", header=None)
    types = {}
    for column in rows.table.column_names:
        plain, _, kind = column.strip().rpartition(":")
        if not plain or kind not in TYPES:
            raise InvalidDataError(
                f"{name}: the column {column!r} has no type: an atomic file has a header such as user_id:token, with "
                f"one of {', '.join(TYPES)}, and tabs between the columns"
            )
        types[plain] = kind
    rows.table = rows.table.rename_columns(list(types))
    return _Atomic(rows, types)


def _part_of(path: Path) -> str | None:
    words = path.name.lower().split(".")
    return next((part for part in ("train", "valid", "test") if part in words), None)


def _items(file: _Atomic, roles: Roles) -> Iterator[Part]:
    """Attributes of items, and edges for the columns whose words several items share."""
    id, *others = file.types
    title = next((column for column in others if TITLE.search(column.lower())), None)
    columns = {"title" if column == title else _attribute(column): column for column in others}
    lists = {
        name: " "
        for name, column in columns.items()
        if file.types[column].endswith("_seq") and not TEXT.search(column.lower())
    }
    yield AttributesPart(rows=file.rows, node=roles.item, id=id, columns=columns, lists=lists)
    for name, column in columns.items():
        if file.types[column].startswith("token") and not TEXT.search(column.lower()):
            split = " " if name in lists else None
            if _are_shared(file.rows.table[column], split):
                filled = file.rows.table.filter(pc.is_valid(file.rows.table[column]))
                yield EdgesPart(
                    rows=Rows(filled, file.rows.name, lambda row: f"{file.rows.name}, row {row} with a value"),
                    source=roles.item,
                    relation=relation_name(name),
                    target=_type_of(name, roles),
                    columns=EdgeColumns(source=id, target=column),
                    split=split,
                )


def _attribute(column: str) -> str:
    name = snake_case(column)
    return f"{name}_" if name in ("id", "text", "types") else name


def _type_of(name: str, roles: Roles) -> str:
    name = relation_name(name)
    return f"{name}_value" if name in (roles.item, roles.user) else name


def _are_shared(column: Any, split: str | None) -> bool:
    """Whether values stand for several items each, on average at least two."""
    column = column.combine_chunks().drop_null()
    if split is not None:
        column = pc.list_flatten(pc.split_pattern(column, split))
    return bool(len(column) >= 2 * pc.count_distinct(column).as_py() > 2)


def _knowledge(files: DatasetFiles, roles: Roles) -> Iterator[Part]:
    """The triples of `.kg`; entities that `.link` joins to items are these items."""
    links = [_atomic(name, path) for name, path in files.take("*.link")]
    for name, path in files.take("*.kg"):
        table = _atomic(name, path).rows.table
        if table.num_columns < 3:
            raise InvalidDataError(f"{name} has {table.num_columns} columns, and head, relation and tail are needed")
        table = pa.table(dict(zip(("head", "relation", "tail"), table.columns[:3], strict=True)))
        relations = pc.unique(table["relation"].combine_chunks()).to_pylist()
        names = {value: relation_name(value) if value else None for value in relations}
        for end in ("head", "tail"):
            table = _with_items(table, end, links)
        yield from typed_edges(
            (table["head"], pc.is_valid(table["head item"]).to_numpy()),
            pa.array([names[value] for value in table["relation"].to_pylist()], pa.string()),
            (table["tail"], pc.is_valid(table["tail item"]).to_numpy()),
            name=name,
            item=roles.item,
        )


def _with_items(table: Any, end: str, links: list[_Atomic]) -> Any:
    """The triples with the id of the item in place of an entity's; one for each where an entity is several items."""
    if not links:
        return table.append_column(f"{end} item", pa.nulls(table.num_rows, pa.string()))
    pairs = pa.concat_tables(
        [pa.table({f"{end} item": file.rows.table.columns[0], end: file.rows.table.columns[1]}) for file in links]
    )
    table = table.join(pairs, end, join_type="left outer")
    return table.set_column(table.column_names.index(end), end, pc.coalesce(table[f"{end} item"], table[end]))
