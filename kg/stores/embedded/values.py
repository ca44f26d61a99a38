"""Values of queries on their way between a store and its process: JSON, with the types that JSON has not.

A value of such a type is an object of one key: `{"$date": "2020-01-01"}`. Objects whose keys are not all plain text are
lists of pairs. Plain data, so that what comes out of a process that ran a hostile query can do nothing but be read.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

_READ: dict[str, Callable[[Any], Any]] = {
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$interval": lambda parts: timedelta(days=parts[0], seconds=parts[1], microseconds=parts[2]),
    "$decimal": Decimal,
    "$uuid": UUID,
    "$bytes": b64decode,
    "$pairs": dict,
}


def encoded(value: Any) -> bytes:
    """A value as JSON.

    Raises:
        TypeError: there is something in it that no query takes or gives.
        RecursionError: it is nested too deep.
    """
    return written(_with_plain_keys(value))


def written(value: Any) -> bytes:
    """`encoded` of a value whose mappings went through `plain_keys`."""
    return json.dumps(value, default=_marked, separators=(",", ":"), check_circular=False).encode("ascii")


def plain_keys(values: dict[Any, Any]) -> dict[str, Any]:
    """A mapping whose keys JSON can have, and none of which can be taken for a type; its values are left alone."""
    if all(type(key) is str and not key.startswith("$") for key in values):
        return values
    return {"$pairs": [[_with_plain_keys(key), of_key] for key, of_key in values.items()]}


def decoded(data: bytes) -> Any:
    """The value that `encoded` was given; tuples have become lists.

    Raises:
        ValueError, TypeError, ArithmeticError: it is nothing that `encoded` gives.
    """
    # Most answers hold no such type, and a call for each object is most of the time of reading.
    return json.loads(data, object_hook=_unmarked if b'{"$' in data else None)


def _with_plain_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain_keys({key: _with_plain_keys(of_key) for key, of_key in value.items()})
    if isinstance(value, list | tuple):
        return [_with_plain_keys(inner) for inner in value]
    return value


def _marked(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"$datetime": value.isoformat()}
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    if isinstance(value, timedelta):
        return {"$interval": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, UUID):
        return {"$uuid": str(value)}
    if isinstance(value, bytes | bytearray):
        return {"$bytes": b64encode(value).decode("ascii")}
    if hasattr(value, "tolist"):  # an array or a number of NumPy's
        return value.tolist()
    raise TypeError(f"a value of the type {type(value).__module__}.{type(value).__qualname__}")


def _unmarked(values: dict[str, Any]) -> Any:
    if len(values) == 1:
        (key,) = values
        if key in _READ:
            return _READ[key](values[key])
    return values
