"""How large a query may be: what is longer or nested deeper ends a database, or keeps it busy for ever."""

from __future__ import annotations

from collections.abc import Iterable

from kg.errors import QueryRefusedError

LONGEST = 100_000
DEEPEST = 64
DEEPEST_CASE = 12  # Ladybug's planning takes twice the time for each further one
LONGEST_CHAIN = 1_000

_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")
_PREFIXES = frozenset(("NOT", "-", "+", "!", "~"))
_OPERATORS = frozenset(("+", "-", "*", "/", "%", "^", "|", "&", "=", "<", ">", ".", "AND", "OR", "XOR", "IN", "IS"))
_ENDS = frozenset((",", "MATCH", "WITH", "RETURN", "UNWIND", "WHERE", "UNION", "CALL"))
_ADVICE = "give long lists and texts as parameters, $name, or ask in several queries"


def check_length(text: str) -> None:
    """Refuse a text that is too long to be looked at.

    Raises:
        QueryRefusedError: it has more than `LONGEST` characters.
    """
    if len(text) > LONGEST:
        raise QueryRefusedError(
            f"the query is not run, it has {len(text):,} characters, and {LONGEST:,} are the most: {_ADVICE}"
        )


def check_nesting(tokens: Iterable[tuple[str, str, int]]) -> None:
    """Refuse what is nested too deep, and chains of operators that are too long: a parser makes them trees as deep.

    Args:
        tokens: kind, text and line of each, without spaces and comments.

    Raises:
        QueryRefusedError: naming the line and the bound.
    """
    cases = prefixes = 0
    chains = [0]  # operators since the last comma or clause, in each open bracket
    for kind, text, line in tokens:
        word = text.upper() if kind in ("word", "sign") else ""
        if word in _OPENING:
            chains.append(0)
        elif word in _CLOSING and len(chains) > 1:
            chains.pop()
        elif word == "CASE":
            cases += 1
        elif word == "END":
            cases = max(cases - 1, 0)
        elif word in _ENDS:
            chains[-1] = 0
        if word in _OPERATORS:
            chains[-1] += 1
        prefixes = prefixes + 1 if word in _PREFIXES else 0
        if len(chains) - 1 + prefixes > DEEPEST:
            raise _refused(line, f"brackets and signs are nested more than {DEEPEST} deep")
        if cases > DEEPEST_CASE:
            raise _refused(line, f"CASE is nested more than {DEEPEST_CASE} deep")
        if chains[-1] > LONGEST_CHAIN:
            raise _refused(line, f"more than {LONGEST_CHAIN:,} operators follow each other")


def _refused(line: int, what: str) -> QueryRefusedError:
    return QueryRefusedError(f"the query is not run. Line {line}: {what}; {_ADVICE}")
