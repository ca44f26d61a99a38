"""Amazon reviews and product metadata as JSON lines, in the three editions of 2014, 2018 and 2023.

The metadata of 2014 are Python literals, not JSON. What else was bought or viewed becomes an edge where that product is
described, too: the others are names and nothing else. Source: https://amazon-reviews-2023.github.io and what it links.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    table_rows,
)
from ingest.sources.tables import Rows
from ingest.sources.tables.json_lines import ENDINGS, read_json_lines
from ingest.sources.tables.spread import is_list, spread
from kg.errors import InvalidDataError

USERS = ("user_id", "reviewerID")
ITEMS = ("parent_asin", "asin")
RATINGS = ("rating", "overall")
TIMES = ("timestamp", "unixReviewTime")
VALUES = {"brand": ("brand", "store"), "category": ("categories", "category")}
OTHERS = {
    "also_bought": ("related.also_bought", "also_buy"),
    "also_viewed": ("related.also_viewed", "also_view"),
    "bought_together": ("related.bought_together", "bought_together"),
}


def read(files: DatasetFiles, roles: Roles) -> Iterator[Part]:
    """The tables of a data set.

    Raises:
        InvalidDataError: there are no reviews.
    """
    reviews = 0
    for name, path in files.need(*(f"*{ending}" for ending in ENDINGS)):
        rows = read_json_lines(path, name=name, literals=True)
        item = _first(rows, ITEMS)
        user = _first(rows, USERS)
        if item is None:
            raise InvalidDataError(f"{name} has neither {' nor '.join(ITEMS)}: it is no file of reviews or metadata")
        if user is None:
            yield from _metadata(rows, item, roles)
            continue
        reviews += 1
        columns = InteractionColumns(user=user, item=item, rating=_first(rows, RATINGS), timestamp=_first(rows, TIMES))
        yield InteractionsPart(rows=rows, columns=columns)
    if not reviews:
        raise InvalidDataError("the data set of format amazon has no reviews: name the file of reviews, too")


def _first(rows: Rows, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in rows.table.column_names), None)


def _metadata(rows: Rows, item: str, roles: Roles) -> Iterator[Part]:
    columns = {name: name for name in ("title", "price") if name in rows.table.column_names}
    yield AttributesPart(rows=rows, node=roles.item, id=item, columns=columns)
    for relation, names in VALUES.items():
        if (column := _first(rows, names)) is not None:
            yield from _edges(_pairs(rows, item, column), rows.name, roles.item, relation, relation)
    ids = pc.unique(rows.table[item].combine_chunks())
    for relation, names in OTHERS.items():
        if (column := _first(rows, names)) is not None:
            pairs = _pairs(rows, item, column)
            pairs = pairs.filter(pc.is_in(pairs["target"], value_set=ids))
            yield from _edges(pairs, rows.name, roles.item, relation, roles.item)


def _pairs(rows: Rows, item: str, column: str) -> Any:
    """Items and values, one row for each value that is there."""
    table = pa.table({"source": rows.table[item], "target": rows.table[column]})
    if is_list(table["target"]):
        _, table = spread(rows, table, "target", None)
    return table.filter(pc.is_valid(table["target"]))


def _edges(pairs: Any, name: str, source: str, relation: str, target: str) -> Iterator[EdgesPart]:
    if pairs.num_rows:
        rows = table_rows(pairs, name)
        yield EdgesPart(rows=rows, source=source, relation=relation, target=target, columns=EdgeColumns())
