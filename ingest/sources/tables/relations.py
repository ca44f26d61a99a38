"""An edge table of many relations, taken apart by the column that names them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from kg.errors import ConfigError
from kg.schema import local_name, snake_case


def by_relation(table: Any, names: Mapping[str, str], *, source: str) -> dict[str, Any]:
    """The rows of each relation.

    Args:
        table: with a column `relation`, texts.
        names: value of that column -> name of the relation; others are named by `relation_name`.
        source: for messages.

    Returns:
        Name -> table without the column, in the order of the names.

    Raises:
        ConfigError: two values would be one relation, or `names` has one that is not there.
    """
    values = sorted(pc.unique(table["relation"]).to_pylist())
    if absent := sorted(set(names) - set(values)):
        raise ConfigError(
            f"relations names {absent[0]!r}, which is no relation of {source}; those there are {', '.join(values[:20])}"
        )
    value_of: dict[str, str] = {}
    for value in values:
        name = names.get(value) or relation_name(value)
        if name in value_of:
            raise ConfigError(
                f"the relations {value_of[name]!r} and {value!r} of {source} would both be called {name}: "
                "give them names of their own in relations"
            )
        value_of[name] = value
    return {
        name: table.filter(pc.equal(table["relation"], value_of[name])).drop_columns(["relation"])
        for name in sorted(value_of)
    }


def relation_name(value: str) -> str:
    """The name of a relation after its value: `http://rdf.freebase.com/ns/film.film.genre` -> `film_film_genre`."""
    name = re.sub(r"[^a-z0-9_]", "_", snake_case(local_name(value))).strip("_") or "unnamed"
    return name if name[0].isalpha() else f"relation_{name}"
