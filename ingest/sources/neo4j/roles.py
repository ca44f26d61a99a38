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
from ingest.sources.tables import Cleaner, Rows
from kg.errors import InvalidDataError


def role_properties(table: Any, roles: Sequence[str], entry: Neo4jInteractions | Neo4jEvents | None) -> dict[str, str]:
    """Which property plays which role: the one that is named, else the one of that name if it fits."""
    properties = {}
    for role in roles:
        named = getattr(entry, role, None)
        column = PREFIX + (named or role)
        if column not in table.column_names:
            continue
        kind = table.schema.field(column).type
        fits = _is_number(kind) or (role == "timestamp" and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)))
        if named is not None or fits:
            properties[role] = named or role
    return properties


def clean_roles(table: Any, account: SourceAccount, place: Callable[[int], str], context: ReadingContext) -> Any:
    """The rows that can be used, with numbers and times made of the properties."""
    before = account.read
    cleaner = Cleaner(Rows(table, account.name, place), table, context.report, account)
    account.read = before  # counted when they were looked at first
    for column in table.column_names:
        if pa.types.is_nested(table.schema.field(column).type):
            raise InvalidDataError(f"{account.name}: {column} is a list, and one value is needed")
        if column == "timestamp":
            cleaner.seconds_or_null(column, now=context.now)
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


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
