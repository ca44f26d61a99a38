"""What is wrong with settings, in one line a key: where, what is there, what is allowed, and no secret."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from kg.settings.secrets import ADVICE, is_confidential, masked

Place = tuple[int | str, ...]

_LIMITS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}
_SHOULD = "Input should "


class ProblemsWithinError(ValueError):
    """Raised by a validator of a mapping that finds several problems in it: a line each, beginning with the key."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = tuple(lines)


def own_first(kind: type[BaseModel]) -> list[str]:
    """The keys of a section: what sets it apart before what it shares with others."""
    shared = [name for name in kind.model_fields if name not in kind.__annotations__]
    return [*(name for name in kind.model_fields if name in kind.__annotations__), *shared]


def explain(error: ValidationError, kind: type[BaseModel], data: Any, *, section: str = "") -> list[str]:
    """Every problem once, in the order of the fields.

    Args:
        error: of the validation.
        kind: the class that was validated.
        data: what was validated, to tell keys that were written from names that pydantic adds.
        section: where `data` stands in a file.
    """
    entries = error.errors(include_url=False)
    # A list whose entries are refused is empty for pydantic, which says so as well.
    emptied = {entry["loc"][:-1] for entry in entries if entry["loc"]}
    entries = [entry for entry in entries if entry["type"] != "too_short" or entry["loc"] not in emptied]
    lines = [line for entry in entries for line in _lines(entry, kind, data, section)]
    return list(dict.fromkeys(lines))


def _lines(entry: Any, kind: type[BaseModel], data: Any, section: str) -> Iterator[str]:
    place = _written_place(entry["loc"], data, missing=entry["type"] == "missing")
    key = ".".join(str(part) for part in ((section, *place) if section else place))
    problem, message = entry["type"], str(entry["msg"])
    if problem == "extra_forbidden":
        yield (
            f"{key}: {ADVICE}" if is_confidential(place[-1]) else unknown_key(key, place[-1], keys_at(kind, place[:-1]))
        )
    elif problem == "missing":
        yield f"{key}: missing"
    elif problem == "value_error":
        # A check of our own says itself what is wrong; the value may be a whole section, or hold a password.
        cause = entry["ctx"]["error"]
        for line in cause.lines if isinstance(cause, ProblemsWithinError) else ():
            yield f"{key}.{line}"
        if not isinstance(cause, ProblemsWithinError):
            yield f"{key or 'config'}{' ' if str(cause).startswith(('is ', 'are ', 'names ')) else ': '}{cause}"
    else:
        yield f"{key} = {_shown(entry.get('input'))}{_allowed(problem, message, entry.get('ctx', {}))}"


def _allowed(problem: str, message: str, context: Mapping[str, Any]) -> str:
    if problem in _LIMITS:
        words, name = _LIMITS[problem]
        limit = context[name]
        return f" must be {words} {int(limit) if limit == int(limit) else limit}"
    if message.startswith(_SHOULD):
        return f" must {message.removeprefix(_SHOULD)}"
    return f": {message[:1].lower()}{message[1:]}"


def unknown_key(key: str, name: object, names: Iterable[str]) -> str:
    """The line about a key that is none of the names, with the nearest of them."""
    names = list(names)
    if near := get_close_matches(str(name), names, n=1, cutoff=0.6):
        return f"{key}: unknown key, did you mean {near[0]!r}?"
    return f"{key}: unknown key; the keys there are {', '.join(names)}" if names else f"{key}: unknown key"


def beyond_int64(data: Any, key: str = "") -> Iterator[str]:
    """A line for each integer that Python's TOML parser takes although TOML has none so large."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            yield from beyond_int64(value, f"{key}.{name}" if key else str(name))
    elif isinstance(data, list):
        for at, value in enumerate(data):
            yield from beyond_int64(value, f"{key}.{at}")
    elif isinstance(data, int) and not -(2**63) <= data < 2**63:
        yield f"{key} = {data} is larger than any number that TOML has"


def _shown(value: Any) -> str:
    text = json.dumps(masked(value), ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _written_place(loc: Sequence[int | str], data: Any, *, missing: bool) -> Place:
    """The part of pydantic's location that the user wrote; tags of unions and validators are pydantic's own."""
    place: list[int | str] = []
    for part in loc:
        named = isinstance(data, Mapping) and part in data
        if named or (isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)):
            data = data[part]
            place.append(part)
    return (*place, loc[-1]) if missing else tuple(place)


def keys_at(kind: Any, place: Sequence[int | str]) -> list[str]:
    """Keys that may stand at a place such as ("sources", "rdf", 0), read from the types of the fields."""
    origin, arguments = get_origin(kind), [option for option in get_args(kind) if option is not Ellipsis]
    if origin is Annotated:
        return keys_at(arguments[0], place)
    if origin in (Union, UnionType):
        return list(dict.fromkeys(key for option in arguments for key in keys_at(option, place)))
    if origin is not None:  # a list, tuple or mapping: its content
        return keys_at(arguments[-1], place[1:]) if arguments and place else []
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return []
    fields = kind.model_fields
    if not place:
        return own_first(kind)
    return keys_at(fields[str(place[0])].annotation, place[1:]) if str(place[0]) in fields else []
