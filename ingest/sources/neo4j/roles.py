"""Properties of relationships that play a role: rating, timestamp and weight, as numbers and times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from ingest.context import ReadingContext
from ingest.report import SourceAccount
from ingest.settings import Neo4jEvents, Neo4jInteractions
from ingest.sources.neo4j.plan import ROLES
from ingest.sources.neo4j.tables import PREFIX
from ingest.sources.tables import Cleaner, Rows, to_floats, to_seconds
from kg.errors import InvalidDataError


def role_properties(table: Any, roles: Sequence[str], entry: Neo4jInteractions | Neo4jEvents | None) -> dict[str, str]:
    """Which property plays which role: the one that is named, else the one of that name if most of its values fit."""
    properties = {}
    for role in roles:
        named = getattr(entry, role, None)
        column = PREFIX + (named or role)
        if column in table.column_names and (named is not None or _mostly_fits(table[column], role)):
            properties[role] = named or role
    return properties


def _mostly_fits(column: Any, role: str) -> bool:
    """Whether most values can be read as the role asks; a few of another type make a column of numbers one of text."""
    reader = to_seconds if role == "timestamp" else to_floats
    try:
        _, missing, bad = reader(_single(column))
    except InvalidDataError:
        return False
    filled = len(column) - column.null_count
    return bool((missing | bad).sum() - column.null_count <= filled // 2)


def _single(column: Any) -> Any:
    """A column of lists as the value of each list of one; other lists as text, which fits no role."""
    if not pa.types.is_list(column.type):
        return column
    values = [value[0] if value and len(value) == 1 else value for value in column.to_pylist()]
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def clean_roles(
    table: Any,
    account: SourceAccount,
    place: Callable[[int], str],
    context: ReadingContext,
    *,
    unit: str | None = None,
) -> Any:
    """The rows that can be used, with numbers and times made of the properties.

    Args:
        table: ids, and a column for each role.
        account: of the part of the database.
        place: of a row, for messages.
        context: report and limits.
        unit: what numbers that are times count: "s", "ms", "us" or "ns"; None: it is guessed.

    Raises:
        InvalidDataError: too many rows cannot be used.
    """
    for role in ROLES:
        if role in table.column_names:
            table = table.set_column(table.column_names.index(role), role, _single(table[role]))
    before = account.read
    cleaner = Cleaner(Rows(table, account.name, place), table, context.report, account)
    account.read = before  # counted when they were looked at first
    for column in table.column_names:
        if pa.types.is_nested(table.schema.field(column).type):
            raise InvalidDataError(f"{account.name}: {column} is a list, and one value is needed")
        if column == "timestamp":
            cleaner.seconds_or_null(column, now=context.now, unit=unit)
        elif column in ROLES:
            cleaner.numbers_or_null(column)
        elif column == "user" and "item" not in table.column_names:
            cleaner.ids(column)
    context.check(account)
    table = cleaner.result()
    for column in ROLES:
        if column in table.column_names:
            unknown = table[column].null_count
            context.report.add(f"unknown {column}s", unknown, "the property is not there; kept", [account.name])
            if unknown == table.num_rows:
                table = table.drop_columns([column])
    return table
