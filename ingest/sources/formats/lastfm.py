"""Last.fm of HetRec 2011: who played which artist how often, tags of users, and their friends.

Source: the README of https://grouplens.org/datasets/hetrec-2011/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingest.settings import EdgeColumns, EventColumns, InteractionColumns
from ingest.sources.formats.parts import (
    AttributesPart,
    DatasetFiles,
    EdgesPart,
    EventsPart,
    InteractionsPart,
    Part,
    Roles,
)
from ingest.sources.tables import Rows
from ingest.sources.tables.plain_file import read_plain

ENCODINGS = ("utf-8", "latin-1")  # the tags are in the second


def read(files: DatasetFiles, roles: Roles) -> Iterator[Part]:
    """The tables of a data set.

    Raises:
        InvalidDataError: there is no user_artists.dat.
    """
    for name, path in files.need("user_artists.dat"):
        columns = InteractionColumns(user="userID", item="artistID", weight="weight")
        yield InteractionsPart(rows=_rows(name, path), columns=columns)
    for name, path in files.take("artists.dat"):
        columns_of_artists = {"name": "name", "url": "url"}
        yield AttributesPart(rows=_rows(name, path), node=roles.item, id="id", columns=columns_of_artists)
    tags: dict[str, Any] = {}
    for name, path in files.take("tags.dat"):
        table = _rows(name, path).table
        tags.update(zip(table["tagID"].to_pylist(), table["tagValue"].to_pylist(), strict=True))
    # The two files hold the same tags, one of them with the time as a number.
    tagged = files.take("user_taggedartists-timestamps.dat")
    dates = files.take("user_taggedartists.dat")
    for name, path in tagged or dates:
        yield _tags(_rows(name, path), tags)
    for name, path in files.take("user_friends.dat"):
        yield EdgesPart(
            rows=_rows(name, path),
            source=roles.user,
            relation="friend",
            target=roles.user,
            columns=EdgeColumns(source="userID", target="friendID"),
        )


def _rows(name: str, path: Path) -> Rows:
    return read_plain(path, name=name, separator="\t", header=None, encodings=ENCODINGS)


def _tags(rows: Rows, tags: dict[str, Any]) -> EventsPart:
    """Tags by their text, by their number where that has none."""
    values = pa.array([tags.get(tag) or tag for tag in rows.table["tagID"].to_pylist()], pa.string())
    rows.table = rows.table.append_column("tag", values)
    timestamp = "timestamp" if "timestamp" in rows.table.column_names else None
    return EventsPart(
        rows=rows,
        columns=EventColumns(user="userID", item="artistID", timestamp=timestamp, value="tag"),
        relation="tagged",
        value_type="tag",
        value_relation="has_tag",
    )
