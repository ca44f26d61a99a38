"""The filter language, read by Lark: a grammar in which nothing can be called."""

from __future__ import annotations

import json
import math
from datetime import datetime
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, VisitError

from kg.errors import ConfigError
from recall.control.filters.expression import And, Compare, Filter, Missing, Moment, Not, Now, Or, Value, Within

_LONGEST = 100_000  # characters
_DEEPEST = 100  # parts in one another; what evaluates an expression walks down it

_GRAMMAR = r"""
start: or_
?or_: and_ ("or" and_)*
?and_: not_ ("and" not_)*
?not_: "not" not_ -> negated | comparison | "(" or_ ")"
?comparison: name OPERATOR value -> compared
    | name "in" list -> within
    | name "not" "in" list -> without
    | name "is" "missing" -> missing
    | name "is" "not" "missing" -> present
    | name TEXT -> having
    | name -> flagged
name: NAME | QUOTED
list: "[" value ("," value)* "]"
?value: TEXT -> text
    | NUMBER -> number
    | "true" -> true
    | "false" -> false
    | TIME -> time
    | "now" -> now
    | "now" SHIFT -> shifted
OPERATOR: "<=" | ">=" | "!=" | "==" | "=" | "<" | ">"
NAME: /\^?[^\W\d]\w*(\.[^\W\d]\w*)*/
QUOTED: /`[^`]+`/
TEXT: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/
TIME.2: /\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?/
SHIFT.2: /[+-]\s*\d{1,9}\s*[dhms]/
NUMBER: /[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?/i
%ignore /\s+/
"""

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_WRITE = 'write such as year >= 1990 and genre in ["Drama"] and not has_tag "slow"'


@v_args(inline=True)
class _Reading(Transformer[Token, Filter]):
    """What each rule means."""

    def start(self, part: Filter) -> Filter:
        return part

    def or_(self, *parts: Filter) -> Filter:
        return Or(parts)

    def and_(self, *parts: Filter) -> Filter:
        return And(parts)

    def negated(self, part: Filter) -> Filter:
        return Not(part)

    def compared(self, name: str, operator: Token, value: Value) -> Filter:
        return Compare(name, "=" if operator == "==" else str(operator), value)  # type: ignore[arg-type]

    def within(self, name: str, values: tuple[Value, ...]) -> Filter:
        return Within(name, values)

    def without(self, name: str, values: tuple[Value, ...]) -> Filter:
        return Not(Within(name, values))

    def missing(self, name: str) -> Filter:
        return Missing(name)

    def present(self, name: str) -> Filter:
        return Not(Missing(name))

    def having(self, name: str, text: Token) -> Filter:
        return Compare(name, "=", _unquoted(text))

    def flagged(self, name: str) -> Filter:
        return Compare(name, "=", True)

    def name(self, name: Token) -> str:
        return name.strip("`")

    def list(self, *values: Value) -> tuple[Value, ...]:
        return values

    def text(self, text: Token) -> Value:
        return _unquoted(text)

    def number(self, number: Token) -> Value:
        value = float(number)
        if not math.isfinite(value):
            raise ConfigError(f"a filter holds {_shortened(number)}, which is too large for a number")
        if set(number) & set(".eE") or abs(value) > 2**63 or abs(whole := int(number)) >= 2**63:
            return value  # beyond 64 bits only the size matters
        return whole

    def true(self) -> Value:
        return True

    def false(self) -> Value:
        return False

    def time(self, time: Token) -> Value:
        try:
            return Moment.of(datetime.fromisoformat(time))
        except (ValueError, OverflowError) as error:
            raise ConfigError(f"a filter holds {time}, which is no date or time: {error}") from error

    def now(self) -> Value:
        return Now()

    def shifted(self, shift: Token) -> Value:
        digits = "".join(sign for sign in shift if sign.isdigit())
        seconds = int(digits) * _UNITS[shift[-1]]
        return Now(-seconds if shift[0] == "-" else seconds)


def parse_filter(text: str) -> Filter:
    """Read a filter.

    A name is an attribute of the items or a relation that they have; `^name` is a relation among items against its
    direction, `source.name.target` one of several of the same name, and a name with other characters stands in
    backticks. Values are texts in quotes, numbers, `true`, `false`, dates and times such as `2024-05-01T12:00`, and
    `now`, `now - 30d` (d, h, m or s). There are `= != < <= > >=`, `in [...]`, `not in [...]`, `is missing`,
    `is not missing`; `name "text"` is short for `=`, and a name alone for `= true`. `not` binds before `and`, that
    before `or`; parentheses group.

    Raises:
        ConfigError: it is no such text; the message shows where.
    """
    if not isinstance(text, str):
        raise ConfigError(f"a filter is a text or made by where(...), not {text!r}")
    if not text.strip():
        raise ConfigError(f"the filter is empty: {_WRITE}")
    if len(text) > _LONGEST:
        raise ConfigError(f"the filter has {len(text):,} characters, more than {_LONGEST:,}: use candidates or exclude")
    try:
        result: Filter = _parser().parse(text)  # type: ignore[assignment]
    except UnexpectedInput as error:
        raise ConfigError(f"the filter {_marked(text, error)}: {_WRITE}") from None
    except VisitError as error:
        raise ConfigError(f"the filter {_shortened(text)!r}: {error.orig_exc}") from error.orig_exc
    if depth_of(result) > _DEEPEST:
        raise ConfigError(f"the filter has more than {_DEEPEST} parts in one another: use `in [...]`, or fewer")
    return result


def depth_of(expression: Filter) -> int:
    """How many parts of a filter lie in one another."""
    depth, level = 0, [expression]
    while level:
        depth += 1
        level = [part for part in level for part in _inside(part)]
    return depth


def _inside(part: Filter) -> tuple[Filter, ...]:
    return (part.part,) if isinstance(part, Not) else part.parts if isinstance(part, And | Or) else ()


@cache
def _parser() -> Lark:
    # The meaning is made while reading, so that depth costs no recursion.
    return Lark(_GRAMMAR, parser="lalr", transformer=_Reading(), maybe_placeholders=False)


def _unquoted(text: Token) -> str:
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    if text[0] == "'":
        inner = inner.replace("\\'", "'").replace('"', '\\"')
    try:
        result: Any = json.loads(f'"{inner}"', strict=False)
    except ValueError as error:
        raise ConfigError(f"{text} has a backslash before a character that needs none: write \\\\ for one") from error
    return str(result)


def _marked(text: str, error: UnexpectedInput) -> str:
    """The text around a mistake, and what stands there."""
    at = getattr(error, "pos_in_stream", None)
    if at is None or at < 0 or at >= len(text):
        return f"{_shortened(text)!r} ends too early"
    token = getattr(error, "token", None)
    wrong = text[at] if isinstance(error, UnexpectedCharacters) or token is None else str(token)
    if wrong in ("", "$END"):
        return f"{_shortened(text)!r} ends too early"
    before = text[max(0, at - 30) : at]
    return f"is not understood at character {at + 1}, at {_shortened(wrong)!r} after {before!r}"


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
