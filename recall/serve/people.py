"""What a caller writes about people who are not in the graph, one or many, as lists of the same length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from kg import RelationKey
from kg.errors import ConfigError
from kg.times import utc_seconds
from recall.serve.ids import strings, whole_characters

Attributes = Mapping[str | RelationKey, Sequence[str]]
Time = date | int | float
History = Sequence[str] | Sequence[tuple[str, Time]] | Mapping[str, Time | str]

_GIVEN = ("history", "liked", "disliked", "text", "attributes")


@dataclass(frozen=True, slots=True)
class People:
    """Unknown people.

    Attributes:
        liked: ids of each one's history, oldest first, and then of the liked examples.
        disliked: ids of each one's disliked examples.
        texts: what each looks for, or is like; None: nobody has a text.
        attributes: what each looks for; None: nobody has any.
    """

    liked: list[list[str]]
    disliked: list[list[str]]
    texts: list[str | None] | None
    attributes: list[Attributes] | None

    def __len__(self) -> int:
        return len(self.liked)

    @classmethod
    def of(cls, *, history: Any, liked: Any, disliked: Any, text: Any, attributes: Any) -> People:
        """From the arguments of `Recommender.recommend_for`, each for one person or for many.

        Raises:
            ConfigError: all are missing, lengths differ, or one is written in no way that is understood.
        """
        given = dict(zip(_GIVEN, (history, liked, disliked, text, attributes), strict=True))
        if all(value is None for value in given.values()):
            raise ConfigError("recommend_for needs a history, liked items, a text or attributes")
        for name in ("text", "attributes"):
            if given[name] is not None and not isinstance(given[name], Iterable):
                raise ConfigError(f"{name} = {given[name]!r}: give one person's, or a list with one entry a person")
        many = _as_many(given)
        if len({len(values) for values in many.values()}) > 1:
            lengths = ", ".join(f"{name} for {len(values)}" for name, values in many.items())
            raise ConfigError(f"recommend_for was given {lengths}: give all of them for the same people")
        for entry in many.get("text", []):
            if entry is not None and not isinstance(entry, str):
                raise ConfigError(f"text holds {entry!r}: write a string, or None for a person without one")
        for entry in many.get("attributes", []):
            if not isinstance(entry, Mapping):
                raise ConfigError(f"attributes holds {entry!r}: write a relation and ids, {{'director': ['p7']}}")
        nobody: list[list[str]] = [[]] * len(next(iter(many.values())))
        histories = [_in_order(entry) for entry in many.get("history", nobody)]
        examples = [strings(ids, "liked") for ids in many.get("liked", nobody)]
        return cls(
            liked=[[*ids, *more] for ids, more in zip(histories, examples, strict=True)],
            disliked=[strings(ids, "disliked") for ids in many.get("disliked", nobody)],
            texts=None if "text" not in many else [whole_characters(entry) for entry in many["text"]],
            attributes=many.get("attributes"),
        )


def is_list(value: Any) -> bool:
    """Whether a value holds several others, and is no text."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes)


def _as_many(given: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Each argument that is there as a list with an entry for each person."""
    lists = {name: _entries(name, given[name]) for name in ("history", "liked", "disliked")}
    # Numbers among them are a mistake that `strings` reports, not a person's history.
    flat = {
        name: entries is not None and (isinstance(given[name], Mapping) or not any(map(_is_of_one, entries)))
        for name, entries in lists.items()
    }
    others = [given["text"], given["attributes"], *(lists[name] for name in lists)]
    lone = sum(value is not None for value in others) == 1
    single = {name: flat[name] and (bool(lists[name]) or lone) for name in lists}
    single |= {"text": isinstance(given["text"], str), "attributes": isinstance(given["attributes"], Mapping)}
    values: dict[str, Any] = {**lists, "text": given["text"], "attributes": given["attributes"]}
    if any(single.values()):
        for name in values:
            if single[name] or flat.get(name):
                values[name] = [given[name] if isinstance(given[name], Mapping) else values[name]]
    return {name: list(value) for name, value in values.items() if value is not None}


def _entries(name: str, value: Any) -> list[Any] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigError(f"{name} = {value!r} must be a list of ids: write [{str(value)!r}]")
    return value.to_pylist() if isinstance(value, pa.Array | pa.ChunkedArray) else list(value)


def _is_of_one(entry: Any) -> bool:
    """Whether an entry of a list is all that one person did, not an item with its time."""
    return is_list(entry) and not _is_timed(entry)


def _is_timed(entry: Any) -> bool:
    """Whether it is an id and a time, `("m1", 1700000000)`."""
    if not isinstance(entry, tuple | list) or len(entry) != 2 or not isinstance(entry[0], str):
        return False
    return isinstance(entry[1], date | int | float | np.number)


def _in_order(history: Any) -> list[str]:
    """The ids of one person's history, oldest first; without times they are in order already."""
    if isinstance(history, Mapping):
        timed = list(history.items())
    else:
        if isinstance(history, str):
            return strings(history, "history")
        timed = list(history) if is_list(history) else [history]
        if not any(map(_is_timed, timed)):
            return strings(history, "history")
        if without := [entry for entry in timed if not _is_timed(entry)]:
            raise ConfigError(
                f"history holds {without[0]!r} without a time: give all of a person's items a time, or none"
            )
    seconds = np.array([_seconds(name, at) for name, at in timed], dtype=np.float64)
    ids = strings([name for name, _ in timed], "history")
    return [ids[place] for place in np.argsort(seconds, kind="stable").tolist()]


def _seconds(name: Any, at: Any) -> float:
    """A time as seconds since 1970; without a zone it is UTC."""
    try:
        return utc_seconds(at)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"history gives {name!r} the time {at!r}: write seconds since 1970, or a date such as 2024-05-01T12:00"
        ) from error
