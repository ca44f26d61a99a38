"""A filter as an expression of comparisons; `str` gives the text that `parse_filter` reads."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from kg.errors import ConfigError

Operator = Literal["=", "!=", "<", "<=", ">", ">="]

# Words of the language; a name that is one of them stands in backticks.
WORDS = frozenset({"and", "or", "not", "in", "is", "missing", "true", "false", "now"})
PLAIN_NAME = re.compile(r"\^?[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class Now:
    """The time of the request.

    Attributes:
        seconds: added to it, below 0 for the past.
    """

    seconds: int = 0

    def __str__(self) -> str:
        if not self.seconds:
            return "now"
        size = abs(self.seconds)
        unit = next(unit for unit, length in _SECONDS.items() if size % length == 0)
        return f"now {'+' if self.seconds > 0 else '-'} {size // _SECONDS[unit]}{unit}"


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time.

    Attributes:
        seconds: since 1970, UTC.
    """

    seconds: float

    @classmethod
    def of(cls, value: date) -> Moment:
        """A date, its first second, or a time; without a zone it is UTC."""
        if not isinstance(value, datetime):
            value = datetime.combine(value, time())
        return cls(value.replace(tzinfo=value.tzinfo or UTC).timestamp())

    def __str__(self) -> str:
        return (datetime(1970, 1, 1) + timedelta(seconds=self.seconds)).isoformat()


Value = str | int | float | bool | Moment | Now


class Filter:
    """Says which items pass; `&`, `|` and `~` join filters."""

    __slots__ = ()

    def __and__(self, other: Filter) -> Filter:
        return And((*_parts(self, And), *_parts(_filter(other), And)))

    def __or__(self, other: Filter) -> Filter:
        return Or((*_parts(self, Or), *_parts(_filter(other), Or)))

    def __invert__(self) -> Filter:
        return Not(self)

    def __bool__(self) -> bool:
        raise ConfigError("a filter is neither true nor false by itself: join filters with & | ~, each in parentheses")

    @property
    def depends_on_now(self) -> bool:
        """Whether other items pass at another time."""
        return False


@dataclass(frozen=True, slots=True)
class Compare(Filter):
    """The attribute, or any of several values that an item has, compares like this; an item without it fails.

    Attributes:
        name: of an attribute of items, or of a relation.
        operator: how.
        value: with what.
    """

    name: str
    operator: Operator
    value: Value

    @property
    def depends_on_now(self) -> bool:
        """See `Filter`."""
        return isinstance(self.value, Now)

    def __str__(self) -> str:
        return f"{_name(self.name)} {self.operator} {text_of(self.value)}"


@dataclass(frozen=True, slots=True)
class Within(Filter):
    """The attribute, or any of several values that an item has, is one of these.

    Attributes:
        name: of an attribute of items, or of a relation.
        values: at least one.
    """

    name: str
    values: tuple[Value, ...]

    @property
    def depends_on_now(self) -> bool:
        """See `Filter`."""
        return any(isinstance(value, Now) for value in self.values)

    def __str__(self) -> str:
        return f"{_name(self.name)} in [{', '.join(map(text_of, self.values))}]"


@dataclass(frozen=True, slots=True)
class Missing(Filter):
    """The item has no value of the attribute, or no edge of the relation."""

    name: str

    def __str__(self) -> str:
        return f"{_name(self.name)} is missing"


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """What the part does not pass, items without a value among them."""

    part: Filter

    @property
    def depends_on_now(self) -> bool:
        """See `Filter`."""
        return self.part.depends_on_now

    def __str__(self) -> str:
        return f"not {_bracketed(self.part)}"


@dataclass(frozen=True, slots=True)
class And(Filter):
    """All parts pass."""

    parts: tuple[Filter, ...]

    @property
    def depends_on_now(self) -> bool:
        """See `Filter`."""
        return any(part.depends_on_now for part in self.parts)

    def __str__(self) -> str:
        return " and ".join(map(_bracketed, self.parts))


@dataclass(frozen=True, slots=True)
class Or(Filter):
    """Any part passes."""

    parts: tuple[Filter, ...]

    @property
    def depends_on_now(self) -> bool:
        """See `Filter`."""
        return any(part.depends_on_now for part in self.parts)

    def __str__(self) -> str:
        return " or ".join(map(_bracketed, self.parts))


class Attribute:
    """An attribute or a relation of items, to be compared: `where("year") >= 1990`."""

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name or "`" in name:
            raise ConfigError(f"a filter compares an attribute by its name, not {name!r}")
        self.name = name

    def __eq__(self, value: Any) -> Compare:  # type: ignore[override]
        return Compare(self.name, "=", _value(value))

    def __ne__(self, value: Any) -> Compare:  # type: ignore[override]
        return Compare(self.name, "!=", _value(value))

    def __lt__(self, value: Any) -> Compare:
        return Compare(self.name, "<", _value(value))

    def __le__(self, value: Any) -> Compare:
        return Compare(self.name, "<=", _value(value))

    def __gt__(self, value: Any) -> Compare:
        return Compare(self.name, ">", _value(value))

    def __ge__(self, value: Any) -> Compare:
        return Compare(self.name, ">=", _value(value))

    def within(self, values: Iterable[Any]) -> Within:
        """The value is one of these.

        Raises:
            ConfigError: there are none, or they are no list.
        """
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ConfigError(f"where({self.name!r}).within needs a list: write [{values!r}]")
        if not (chosen := tuple(_value(value) for value in values)):
            raise ConfigError(f"where({self.name!r}).within was given no values: nothing could pass")
        return Within(self.name, chosen)

    def missing(self) -> Missing:
        """The item has no value."""
        return Missing(self.name)


def where(name: str) -> Attribute:
    """Begin a filter on an attribute or a relation of items.

    `(where("year") >= 1990) & where("genre").within(["Drama"]) & ~(where("has_tag") == "slow")`

    Args:
        name: as for `parse_filter`, without backticks.
    """
    return Attribute(name)


def text_of(value: Value) -> str:
    """A value as the language writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def _value(value: Any) -> Value:
    """A value as filters hold it: dates are moments, numbers of NumPy are numbers."""
    if isinstance(value, Moment | Now | str | bool):
        return value
    if isinstance(value, date):
        return Moment.of(value)
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, int):  # beyond 64 bits only its size matters
        return number if abs(number) < 2**63 else float(number)
    if isinstance(number, float) and math.isfinite(number):
        return number
    raise ConfigError(f"a filter compares with a text, a number, true, false or a time, not {value!r}")


def _filter(value: Any) -> Filter:
    if not isinstance(value, Filter):
        raise ConfigError(f"& and | join filters, not {value!r}: put each comparison in parentheses")
    return value


def _parts(value: Filter, kind: type[And] | type[Or]) -> tuple[Filter, ...]:
    return value.parts if isinstance(value, kind) else (value,)


def _name(name: str) -> str:
    return name if PLAIN_NAME.fullmatch(name) and name not in WORDS else f"`{name}`"


def _bracketed(part: Filter) -> str:
    return f"({part})" if isinstance(part, And | Or | Not) else str(part)
