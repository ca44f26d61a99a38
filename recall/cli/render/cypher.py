"""Answers of Cypher queries, as tables and as JSON."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from recall.cli.render.tables import table
from recall.cli.screen import visible

if TYPE_CHECKING:
    from kg.cypher.ready import ReadyQuery

LONGEST_LIST = 20
LONGEST_ID = 40  # columns; longer texts go on in the next line


def ready_data(queries: Mapping[str, ReadyQuery]) -> dict[str, Any]:
    """The ready queries as plain data."""
    return {
        "ready": [
            {
                "name": query.name,
                "help": query.help,
                "parameters": list(query.parameters),
                "defaults": dict(query.defaults),
                "text": query.text,
            }
            for query in queries.values()
        ]
    }


def print_ready(queries: Mapping[str, ReadyQuery], *, console: Console) -> None:
    """The ready queries, one a line, with their parameters."""
    rows = table("--ready", "--param", "what it tells", wrap=["what it tells"])
    for query in queries.values():
        parameters = [f"{name}=..." for name in query.parameters]
        parameters += [f"{name}:={value}" for name, value in query.defaults.items()]
        rows.add_row(Text(query.name), Text("\n".join(parameters)), Text(query.help))
    console.print(rows)


def rows_data(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of an answer as JSON can hold them: times as ISO 8601, bytes as base64, NaN and infinity by name."""
    return [{name: _json_value(value) for name, value in row.items()} for row in rows]


def print_rows(rows: Sequence[Mapping[str, Any]], *, console: Console) -> None:
    """The rows of an answer; nodes and relationships as Cypher writes them."""
    if not rows:
        console.print("no rows")
        return
    names = {name: escape(visible(name)) for name in rows[0]}
    numeric = [heading for name, heading in names.items() if all(_is_number(row[name]) for row in rows)]
    cells = [[_cell(value) for value in row.values()] for row in rows]
    longest = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    prose = [heading for heading, width in zip(names.values(), longest, strict=True) if width > LONGEST_ID]
    shown = table(*names.values(), right=numeric, wrap=prose)
    for row in cells:
        shown.add_row(*map(Text, row))
    console.print(shown)
    console.print(Text(f"{len(rows):,} row{'s' if len(rows) > 1 else ''}", style="dim"))


def _json_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(_json_value(key)): _json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, timedelta):
        return f"P{value.days}DT{value.seconds + value.microseconds / 1e6:g}S"
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    """A value as Cypher writes it; a text that fills a cell is not quoted."""
    if value is None:
        return ""
    return visible(value if isinstance(value, str) else _as_cypher(value))


def _as_cypher(value: Any) -> str:
    if isinstance(value, Mapping):
        if value.keys() == {"labels", "properties"}:
            return f"({''.join(f':{label}' for label in value['labels'])}{_properties(value)})"
        if value.keys() == {"type", "properties"}:
            return f"[:{value['type']}{_properties(value)}]"
        if value.keys() == {"nodes", "relationships"}:
            steps = [_as_cypher(step) for step in value["relationships"]]
            nodes = [_as_cypher(node) for node in value["nodes"]]
            return nodes[0] + "".join(f"-{step}-{node}" for step, node in zip(steps, nodes[1:], strict=True))
        return "{" + ", ".join(f"{key}: {_as_cypher(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        items = [_as_cypher(inner) for inner in value[:LONGEST_LIST]]
        # A vector would fill the screen.
        more = [f"... {len(value):,} in all"] if len(value) > LONGEST_LIST else []
        return "[" + ", ".join([*items, *more]) + "]"
    return json.dumps(_json_value(value), ensure_ascii=False)


def _properties(entity: Mapping[str, Any]) -> str:
    return f" {_as_cypher(entity['properties'])}" if entity["properties"] else ""
