"""Where Ladybug differs from Neo4j: functions under other names, and parameters.

Patterns differ too, and no translation of a text would be safe: Ladybug may bind one relationship twice, walks
variable lengths with repetitions unless `* TRAIL` is written, and counts lists from 1. The queries that graphrecall
makes (`kg.cypher.query`, `kg/queries`) mean the same in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kg.errors import StoreError

# Functions of Neo4j that a database of ours gets as macros; `type` is another.
_MACROS = (
    "toString(x) AS CAST(x AS STRING)",
    "toInteger(x) AS CAST(x AS INT64)",
    "toFloat(x) AS CAST(x AS DOUBLE)",
    "startNode(r) AS start_node(r)",
    "endNode(r) AS end_node(r)",
    "elementId(x) AS CAST(id(x) AS STRING)",
)
# Texts that `kg.cypher.guard` has passed hold nothing else in which a $ is no parameter.
_PARAMETER = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`]|``)*`|//[^\n]*|/\*.*?\*/|\$(?:(?P<plain>\w+)|`(?P<quoted>(?:[^`]|``)+)`)""",
    re.DOTALL,
)


def macros(types: Mapping[str, str]) -> tuple[str, ...]:
    """Functions of Neo4j that a database gets as macros.

    Args:
        types: relationship type -> its name in the database, where that is another.
    """
    cases = "".join(f" WHEN {string(stored)} THEN {string(name)}" for name, stored in types.items())
    return (*_MACROS, f"type(r) AS CASE label(r){cases} ELSE label(r) END" if cases else "type(r) AS label(r)")


def string(text: str) -> str:
    """A text without control characters as a string of Cypher."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def bound(text: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a query under their names in Ladybug.

    Args:
        text: of a query that `kg.cypher.guard.check_read_only` has passed.
        values: by name.

    Raises:
        StoreError: the query names a parameter that has no value; Ladybug would take it for null.
    """
    result = dict(values)
    missing = []
    for match in _PARAMETER.finditer(text):
        name = match["plain"] or (match["quoted"] or "").replace("``", "`")
        if name and name not in values:
            missing.append(f"${name}")
        elif match["quoted"]:
            result[f"`{match['quoted']}`"] = values[name]  # Ladybug takes the backticks for a part of the name
    if missing:
        raise StoreError(f"the query names {', '.join(dict.fromkeys(missing))}, but no such value was given")
    return result
