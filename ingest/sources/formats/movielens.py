"""MovieLens in all its editions: 100K (`u.data`, `u.item`), 1M and 10M (`.dat`), and the later ones (`.csv`).

Source: the READMEs of https://grouplens.org/datasets/movielens/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingest.settings import EdgeColumns, EventColumns, InteractionColumns
from ingest.sources.formats.parts import (
    AttributesPart,
    DatasetFiles,
    EdgesPart,
    EventsPart,
    InteractionsPart,
    Part,
    Roles,
    table_rows,
)
from ingest.sources.tables import Rows, read_file
from ingest.sources.tables.plain_file import read_plain

GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
NO_GENRE = ("unknown", "(no genres listed)")
ENCODINGS = ("utf-8", "latin-1")  # 10M is the first edition in UTF-8
RATINGS = ["user_id", "item_id", "rating", "timestamp"]
RATED = InteractionColumns(rating="rating", timestamp="timestamp")


def read(files: DatasetFiles, roles: Roles) -> Iterator[Part]:
    """The tables of a data set.

    Raises:
        InvalidDataError: there are no ratings.
    """
    ratings = files.take("u.data", "ratings.dat", "ratings.csv") or files.need("u*.base", "u*.test")
    for name, path in ratings:
        yield _ratings(name, path)
    for name, path in files.take("u.item", "movies.dat", "movies.csv"):
        yield from _movies(name, path, roles)
    for name, path in files.take("u.user", "users.dat"):
        yield _users(name, path, roles)
    for name, path in files.take("tags.dat", "tags.csv"):
        yield _tags(name, path)


def _cells(name: str, path: Path, columns: list[str]) -> Rows:
    """A file of cells without quotes: the separator is that of its edition."""
    kind = path.name.removesuffix(".gz")
    separator = "::" if kind.endswith(".dat") else ("|" if kind in ("u.item", "u.user") else "\t")
    return read_plain(path, name=name, separator=separator, header=columns, encodings=ENCODINGS)


def _ratings(name: str, path: Path) -> InteractionsPart:
    kind = path.name.removesuffix(".gz")
    if kind.endswith(".csv"):
        columns = InteractionColumns(user="userId", item="movieId", rating="rating", timestamp="timestamp")
        return InteractionsPart(rows=read_file(path, name=name), columns=columns)
    part = {"base": "train", "test": "test"}.get(kind.rpartition(".")[2])
    return InteractionsPart(rows=_cells(name, path, RATINGS), columns=RATED, part=part)


def _movies(name: str, path: Path, roles: Roles) -> Iterator[Part]:
    """Titles as attributes, and genres as edges."""
    if path.name.removesuffix(".gz") == "u.item":
        flags = [f"genre {genre}" for genre in GENRES]
        rows = _cells(name, path, ["item_id", "title", "release_date", "video_release_date", "imdb_url", *flags])
        columns = {"title": "title", "release_date": "release_date", "imdb_url": "imdb_url"}
        yield AttributesPart(rows=rows, node=roles.item, id="item_id", columns=columns)
        parts = [
            pa.table({"source": chosen, "target": pa.array([genre] * len(chosen), pa.string())})
            for genre, flag in zip(GENRES, flags, strict=True)
            if genre not in NO_GENRE
            for chosen in [rows.table["item_id"].filter(pc.fill_null(pc.equal(rows.table[flag], "1"), False))]
        ]
        yield _genres(pa.concat_tables(parts), name, roles, None)
        return
    if path.name.removesuffix(".gz").endswith(".csv"):
        rows, id = read_file(path, name=name), "movieId"
    else:
        rows, id = _cells(name, path, ["item_id", "title", "genres"]), "item_id"
    yield AttributesPart(rows=rows, node=roles.item, id=id, columns={"title": "title"})
    pairs = pa.table({"source": rows.table[id], "target": rows.table["genres"]})
    listed = pc.is_in(pairs["target"], value_set=pa.array([*NO_GENRE, None]))
    yield _genres(pairs.filter(pc.invert(listed)), name, roles, "|")


def _genres(pairs: object, name: str, roles: Roles, split: str | None) -> EdgesPart:
    return EdgesPart(
        rows=table_rows(pairs, name),
        source=roles.item,
        relation="genre",
        target="genre",
        columns=EdgeColumns(),
        split=split,
    )


def _users(name: str, path: Path, roles: Roles) -> AttributesPart:
    columns = ["user_id", "age", "gender", "occupation", "zip_code"]
    if path.name.startswith("users.dat"):
        columns = ["user_id", "gender", "age", "occupation", "zip_code"]
    rows = _cells(name, path, columns)
    return AttributesPart(rows=rows, node=roles.user, id="user_id", columns={column: column for column in columns[1:]})


def _tags(name: str, path: Path) -> EventsPart:
    if path.name.removesuffix(".gz").endswith(".csv"):
        rows, user, item = read_file(path, name=name), "userId", "movieId"
    else:
        rows, user, item = _cells(name, path, ["user_id", "item_id", "tag", "timestamp"]), "user_id", "item_id"
    return EventsPart(
        rows=rows,
        columns=EventColumns(user=user, item=item, timestamp="timestamp", value="tag"),
        relation="tagged",
        value_type="tag",
        value_relation="has_tag",
    )
