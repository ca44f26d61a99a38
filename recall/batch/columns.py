"""Columns of queries as files have them, turned into the plain ones that queries are read from.

Files come from pandas, polars, Spark and others, which write the same texts and lists as different types of Arrow.
Texts and lists are converted; numbers never become texts, for an id that was a number may have lost its zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.types as types

from kg.errors import InvalidDataError
from recall.serve.query_tables import query_rows
from recall.serve.questions import Person, Query

TEXT, TEXTS = pa.string(), pa.list_(pa.string())
WHO = ("user_id", *Person.model_fields)
"""Columns of which each query needs one."""


def check_columns(schema: Any, keep: Sequence[str], where: str) -> None:
    """Make sure that queries can be read from columns.

    Args:
        schema: Arrow schema of the queries.
        keep: columns that are no part of a query and go along to the candidates.
        where: what to call the queries in an error.

    Raises:
        InvalidDataError: a column is missing, unknown, or of another type; the message names it.
    """
    if repeated := [name for name in schema.names if schema.names.count(name) > 1]:
        raise InvalidDataError(f"{where} has two columns {repeated[0]!r}: rename one")
    if absent := [name for name in keep if name not in schema.names]:
        raise InvalidDataError(f"{where} has no column {absent[0]!r} to keep; it has {', '.join(schema.names)}")
    if not set(schema.names) & set(WHO):
        raise InvalidDataError(
            f"{where} has no column that says who asks: name one `user_id`, or `history`, `liked`, `text` or another "
            f"of {', '.join(WHO)} for people who are not in the graph; it has {', '.join(schema.names) or 'none'}"
        )
    for field in schema:
        if field.name in keep:
            continue
        if field.name not in Query.model_fields:
            raise InvalidDataError(
                f"{where} has the column {field.name!r}, which is no part of a query; those are "
                f"{', '.join(Query.model_fields)}. Keep it (--keep {field.name}) to find it beside the candidates, or "
                "leave it out"
            )
        if _plain_type(field) is None:
            raise InvalidDataError(
                f"the column {field.name!r} of {where} is of the type {field.type!s:.80}: it must hold "
                f"{_EXPECTED[field.name]}"
            )


def plain_rows(batch: Any) -> list[dict[str, Any]]:
    """The queries of a record batch whose columns `check_columns` let pass, kept ones apart, as plain data."""
    fields = [field for field in batch.schema if field.name in Query.model_fields]
    columns = {field.name: _cast(batch.column(field.name), field) for field in fields}
    rows = query_rows(pa.table(columns))
    for row in rows:
        if "attributes" in row:
            row["attributes"] = _attributes(row["attributes"])
    return rows


def _cast(column: Any, field: Any) -> Any:
    wanted = _plain_type(field)
    return column if wanted == field.type else column.cast(wanted)


def _plain_type(field: Any) -> Any | None:
    """The type that a column is read as, None where it is of none."""
    return _KINDS[field.name](field.type)


def _text(given: Any) -> Any | None:
    if types.is_dictionary(given):
        return _text(given.value_type)
    is_text = types.is_string(given) or types.is_large_string(given) or types.is_string_view(given)
    return TEXT if is_text or types.is_null(given) else None


def _texts(given: Any) -> Any | None:
    if types.is_null(given):
        return TEXTS
    return TEXTS if _is_list(given) and _text(given.value_type) is not None else None


def _whole(given: Any) -> Any | None:
    return pa.int64() if types.is_integer(given) or types.is_null(given) else None


def _timed_or_texts(given: Any) -> Any | None:
    """A history: ids, or items with times as they are."""
    if _is_list(given) and types.is_struct(given.value_type):
        fields = {field.name: field.type for field in given.value_type}
        if set(fields) != {"item_id", "time"} or _text(fields["item_id"]) is None:
            return None
        time = fields["time"]
        return given if types.is_integer(time) or types.is_floating(time) or _text(time) is not None else None
    return _texts(given)


def _relations(given: Any) -> Any | None:
    """Attributes: a map of relations to ids, or a struct with a list for each relation, as they are."""
    if types.is_null(given):
        return given
    if types.is_map(given):
        return given if _text(given.key_type) is not None and _texts(given.item_type) is not None else None
    if types.is_struct(given):
        return given if all(_texts(field.type) is not None for field in given) else None
    return None


def _is_list(given: Any) -> bool:
    return bool(types.is_list(given) or types.is_large_list(given) or types.is_fixed_size_list(given))


def _attributes(value: Any) -> dict[str, list[str]]:
    pairs = value.items() if isinstance(value, Mapping) else value
    return {relation: ids for relation, ids in pairs if ids is not None}


_Kind = Callable[[Any], Any | None]
_KINDS: dict[str, _Kind] = {
    "user_id": _text,
    "history": _timed_or_texts,
    "liked": _texts,
    "disliked": _texts,
    "text": _text,
    "attributes": _relations,
    "k": _whole,
    "exclude": _texts,
    "candidates": _texts,
    "filter": _text,
}
_WORDS: dict[_Kind, str] = {_text: "text", _texts: "lists of texts", _whole: "whole numbers (int64)"}
_EXPECTED = {
    **{name: _WORDS.get(kind, "") for name, kind in _KINDS.items()},
    "user_id": "text (string): write ids as they stand in the sources, with their zeros",
    "history": "lists of ids (list<string>), or of structs of `item_id` and `time` (seconds since 1970, or text)",
    "attributes": "a map from relations to lists of ids, or a struct with a list of ids for each relation",
}
