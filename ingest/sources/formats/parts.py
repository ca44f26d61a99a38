"""What a data set holds: the files that are given, and the tables that a format makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingest.settings import EdgeColumns, EventColumns, InteractionColumns
from ingest.sources.tables import Rows
from kg.errors import InvalidDataError

ENTITY = "entity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Names in the graph.

    Attributes:
        user, item: node types.
        relation: from users to items.
    """

    user: str
    item: str
    relation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InteractionsPart:
    """What users did to items; `part` is that of a published split."""

    rows: Rows
    columns: InteractionColumns = field(default_factory=InteractionColumns)
    part: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsPart:
    """Further traces of users on items, whose values become nodes."""

    rows: Rows
    columns: EventColumns
    relation: str
    value_type: str
    value_relation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributesPart:
    """Attributes of nodes: attribute -> column, and attribute -> separator of the values in a cell."""

    rows: Rows
    node: str
    id: str
    columns: Mapping[str, str]
    lists: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgesPart:
    """Knowledge edges, of one relation or of a column of relations."""

    rows: Rows
    source: str
    target: str
    columns: EdgeColumns
    relation: str | None = None
    split: str | None = None


Part = InteractionsPart | EventsPart | AttributesPart | EdgesPart


class DatasetFiles:
    """The files of a data set by their names; those that nothing asks for are left.

    Args:
        files: name in messages -> path.
        format: of the data set, for messages.
    """

    def __init__(self, files: Mapping[str, Path], format: str) -> None:
        self._files = dict(files)
        self._format = format
        self._used: set[str] = set()

    def take(self, *patterns: str) -> list[tuple[str, Path]]:
        """The files whose name, without its folder and without `.gz`, fits a pattern, in order; they count as read."""
        taken = [
            (name, path)
            for name, path in self._files.items()
            if any(fnmatchcase(path.name.removesuffix(".gz"), pattern) for pattern in patterns)
        ]
        self._used.update(name for name, _ in taken)
        return taken

    def need(self, *patterns: str) -> list[tuple[str, Path]]:
        """The same, but at least one must be there.

        Raises:
            InvalidDataError: there is none.
        """
        if taken := self.take(*patterns):
            return taken
        raise InvalidDataError(
            f"the data set of format {self._format} has no {' or '.join(patterns)}; its files are "
            f"{', '.join(self._files) or 'none'}: correct sources.datasets.files"
        )

    @property
    def unused(self) -> list[str]:
        """Names of the files that nothing asked for."""
        return [name for name in self._files if name not in self._used]


def table_rows(table: Any, name: str) -> Rows:
    """A table that was made of a file."""
    return Rows(table, name, lambda row: f"{name}, row {row} of what was made of it")


def typed_edges(
    heads: tuple[Any, npt.NDArray[np.bool_]],
    relations: Any,
    tails: tuple[Any, npt.NDArray[np.bool_]],
    *,
    name: str,
    item: str,
) -> Iterator[EdgesPart]:
    """Triples by the types of their ends, where some entities are items.

    Args:
        heads: ids (n,), and which of them are items.
        relations: names of the relations, (n,).
        tails: as `heads`.
        name: of the file.
        item: node type of items; the others are entities.
    """
    table = pa.table({"source": heads[0], "relation": relations, "target": tails[0]})
    for head_is_item in (True, False):
        for tail_is_item in (True, False):
            chosen = (heads[1] == head_is_item) & (tails[1] == tail_is_item)
            if chosen.any():
                yield EdgesPart(
                    rows=table_rows(table.filter(pa.array(chosen)), name),
                    source=item if head_is_item else ENTITY,
                    target=item if tail_is_item else ENTITY,
                    columns=EdgeColumns(relation="relation"),
                )
