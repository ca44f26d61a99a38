r"""Which Cypher may run where only reading is allowed, by its text, for Neo4j and Ladybug alike.

A second guard: on Neo4j the transaction is one for reading, and Ladybug's database is opened read-only. But Ladybug
still reads and writes files then, and Neo4j loads them. So what is not clearly safe is refused: words that write or
touch files (also where they are meant as names, which can be written in backticks), procedures and functions that are
not known to read, and text that the two databases may take apart differently.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from kg.cypher.bounds import check_length, check_nesting
from kg.errors import QueryRefusedError

BEGINNINGS = ("MATCH", "OPTIONAL", "WITH", "UNWIND", "RETURN", "CALL")
_BEFORE_BEGINNINGS = ("EXPLAIN", "PROFILE")
# Clauses that may stand in the middle of a query; whatever else writes can only begin one.
_WRITES = (
    *("CREATE", "MERGE", "INSERT", "SET", "DELETE", "DETACH", "NODETACH"),
    *("REMOVE", "DROP", "ALTER", "FOREACH"),
)
_FILES = ("LOAD", "COPY", "EXPORT", "IMPORT", "ATTACH", "INSTALL", "UNINSTALL", "CHECKPOINT")
_PROCEDURES_OF_NEO4J = (
    *("db.labels", "db.relationshipTypes", "db.propertyKeys", "db.info", "db.ping", "dbms.components"),
    *("db.schema.visualization", "db.schema.nodeTypeProperties", "db.schema.relTypeProperties"),
    *("db.index.vector.queryNodes", "db.index.vector.queryRelationships"),
    *("db.index.fulltext.queryNodes", "db.index.fulltext.queryRelationships"),
)
_PROCEDURES_OF_LADYBUG = (
    *("show_tables", "show_functions", "show_indexes", "show_connection", "table_info", "db_version"),
)
PROCEDURES = _PROCEDURES_OF_NEO4J + _PROCEDURES_OF_LADYBUG
_PROCEDURES = frozenset(name.lower() for name in PROCEDURES)
_FUNCTION_FAMILIES = ("date", "datetime", "localdatetime", "time", "localtime", "duration", "point", "vector")
_FUNCTIONS_WITH_EFFECT = ("nextval", "currval", "setseed", "current_setting")

# The databases agree on these tokens. Numbers are told apart from words that directly follow a digit.
_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\n]+|\r\n)
    | (?P<line_comment>//[^\n\r]*)
    | (?P<block_comment>/\*[^*]*\*/)
    | (?P<open_comment>/\*)
    | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<quoted>`(?:[^`]|``)*`)
    | (?P<parameter>\$(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+(?![A-Za-z0-9_])|`(?:[^`]|``)+`))
    | (?P<number>(?:0[xX][0-9A-Fa-f]+|0[oO][0-7]+|[0-9][0-9_]*(?:[eE][+-]?[0-9]+)?)[fFdD]?(?![A-Za-z0-9_]))
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>[^A-Za-z0-9_\s'"`$\\])
    | (?P<dynamic>\$(?=\())
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = set("\\'\"`bfnrtBFNRT")
_UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\r(?!\n)")

_AS_NAME = "write a name of your own in backticks"
_NAMES = "write a name in backticks"
_VALUES = "give values as parameters, $name"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a query.

    Attributes:
        kind: the name of its group in the pattern of tokens, "word", "quoted", "sign".
        text: as it is written.
        line: on which it begins, from 1.
    """

    kind: str
    text: str
    line: int

    @property
    def name(self) -> str:
        """The name that a word or a quoted name stands for."""
        return self.text[1:-1].replace("``", "`") if self.kind == "quoted" else self.text


def check_read_only(text: str) -> None:
    r"""Refuse a query that does anything but read the database it is sent to.

    Refused are: clauses that write, `LOAD`, `COPY` and other words for files and other databases, `USE`, procedures
    and functions that are not known to read only, transactions of its own, a second statement, and every `\u`, which
    Neo4j reads as a character before it looks for quotes. So is what is too long or nested too deep
    (`kg.cypher.bounds`).

    Args:
        text: the query, in the Cypher of Neo4j or Ladybug.

    Raises:
        QueryRefusedError: naming the offending word, its line, and what to do.
    """
    if not isinstance(text, str):
        raise QueryRefusedError(f"a query is a string of Cypher, not {type(text).__name__}")
    check_length(text)
    _check(text)


def as_explain(text: str) -> str:
    """The text that asks a database for the plan of a query, for one that `check_read_only` lets pass."""
    at = 0
    for token in tokens(text):
        if token.kind not in ("space", "line_comment", "block_comment"):
            if token.kind == "word" and token.text.upper() in _BEFORE_BEGINNINGS:
                at += len(token.text)
            break
        at += len(token.text)
    return f"EXPLAIN {text[at:]}"


@lru_cache(maxsize=512)  # the queries of explanations are few texts with ever other values
def _check(text: str) -> None:
    code = [token for token in tokens(text) if token.kind not in ("space", "line_comment", "block_comment")]
    code = _one_statement(code)
    check_nesting((token.kind, token.text, token.line) for token in code)
    _check_beginning(code)
    for at, token in enumerate(code):
        if token.kind == "word":
            _check_word(token, code[at - 1] if at else None)
            if token.text.upper() == "CALL":
                _check_call(code, at)
        if token.kind in ("word", "quoted"):
            _check_function(code, at)


def tokens(text: str) -> Iterator[Token]:
    r"""The tokens of a text, one after the other.

    Raises:
        QueryRefusedError: another reader might see other tokens.
    """
    if escape := re.search(r"\\u", text, re.IGNORECASE):
        raise _refused(_line(text, escape.start()), r"\u is read as a character by Neo4j, wherever it stands", _VALUES)
    if unreadable := _UNREADABLE.search(text):
        character = unreadable.group()
        raise _refused(_line(text, unreadable.start()), f"there is a control character, {character!r}", _VALUES)
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _refused(line, *_unread(text[at:]))
        kind, token_text = str(match.lastgroup), match.group()
        if kind == "open_comment":
            raise _refused(line, "a comment does not end, or holds an asterisk", "leave it out")
        if kind == "string":
            for escape in _ESCAPE.finditer(token_text):
                if escape[1] not in _ESCAPES:
                    raise _refused(line, f"{escape[0]!r} is no escape that both databases know", _VALUES)
        if kind == "sign":
            _check_sign(token_text, line)
        yield Token(kind, token_text, line)
        line += token_text.count("\n")
        at = match.end()


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _unread(rest: str) -> tuple[str, str]:
    """Why no token begins here."""
    if rest[0] in "'\"":
        return f"a string that begins with {rest[0]} does not end", "close it"
    if rest[0] == "`":
        return "a name that begins with ` does not end", "close it; a backtick in a name is written twice"
    if rest[0] == "$":
        return "$ is not followed by the name of a parameter", "write $name"
    run = re.match(r"\w+", rest)
    if run is not None and rest[0].isascii():
        return (
            f"{run.group()!r} is neither a number nor a name",
            "write a space between the two, or backticks around it",
        )
    if rest[0].isspace():
        return f"there is an unusual space, {rest[0]!a}", "write a plain one"
    return f"{rest[0]!r} cannot stand here", _NAMES


def _check_sign(sign: str, line: int) -> None:
    """Refuse what a database might fold to a letter of a keyword, and what nobody sees."""
    if sign.isascii():
        return
    # Only the German sharp s, a letter of many names, stands for two letters that no keyword has.
    for form in (sign.upper(), sign.lower()):
        if sign != "ß" and any(character.isascii() for character in form):
            raise _refused(line, f"{sign!r} can be taken for {form!r}", _NAMES)
    if unicodedata.category(sign) in ("Cf", "Co", "Cn"):
        raise _refused(line, f"there is a character that nobody sees, {sign!a}", "leave it out")


def _one_statement(tokens: list[Token]) -> list[Token]:
    while tokens and tokens[-1].text == ";":
        tokens = tokens[:-1]
    for token in tokens:
        if token.text == ";":
            raise _refused(token.line, "there is a second statement after ;", "run them one after the other")
    if not tokens:
        raise QueryRefusedError("the query is empty: write Cypher such as MATCH (n) RETURN n LIMIT 10")
    return tokens


def _check_beginning(tokens: list[Token]) -> None:
    first = tokens[0]
    if first.kind == "word" and first.text.upper() in _BEFORE_BEGINNINGS and len(tokens) > 1:
        first = tokens[1]
    if first.kind == "word" and (_meaning(first.text) or first.text.upper() in BEGINNINGS):
        return
    raise _refused(
        first.line, f"the query begins with {first.text!r}", f"a query that reads begins with {', '.join(BEGINNINGS)}"
    )


def _check_word(token: Token, before: Token | None) -> None:
    if meaning := _meaning(token.text):
        raise _refused(token.line, f"{token.text} {meaning}", _AS_NAME)
    in_transactions = token.text.upper() in ("TRANSACTION", "TRANSACTIONS")
    if in_transactions and before is not None and before.text.upper() in ("IN", "CONCURRENT"):
        raise _refused(token.line, f"IN {token.text} makes transactions of its own", _AS_NAME)


def _meaning(word: str) -> str | None:
    upper = word.upper()
    if upper in _WRITES:
        return "writes"
    if upper in _FILES:
        return "touches files or other databases"
    if upper == "USE":
        return "leaves the database"
    return None


def _check_call(tokens: list[Token], at: int) -> None:
    """CALL of a subquery, or of a procedure that reads."""
    after = tokens[at + 1] if at + 1 < len(tokens) else None
    if after is not None and after.text in ("{", "("):
        return
    name, end = _dotted(tokens, at + 1)
    if name.lower() not in _PROCEDURES:
        what = f"CALL of {name}" if name else "CALL of nothing that can be read as a procedure"
        raise _refused(
            tokens[at].line,
            f"{what}, which is not known to read only",
            f"known are {', '.join(PROCEDURES)}; {_AS_NAME}",
        )
    if end < len(tokens) and tokens[end].text == "=":
        raise _refused(tokens[at].line, f"CALL {name} = changes a setting", "leave it out")


def _check_function(tokens: list[Token], at: int) -> None:
    """A name with dots that is called is a function of a family, as long as it is no procedure after CALL."""
    before = tokens[at - 1] if at else None
    if before is not None and before.text == ".":
        return
    name, end = _dotted(tokens, at)
    if end >= len(tokens) or tokens[end].text != "(":
        return
    if before is not None and before.kind == "word" and before.text.upper() == "CALL":
        return
    lower = name.lower()
    if lower in _FUNCTIONS_WITH_EFFECT or ("." in name and lower.split(".", 1)[0] not in _FUNCTION_FAMILIES):
        raise _refused(tokens[at].line, f"the function {name} is not known to read only", "leave it out")


def _dotted(tokens: list[Token], at: int) -> tuple[str, int]:
    """The dotted name that begins at a token, and where it ends."""
    parts: list[str] = []
    while at < len(tokens) and tokens[at].kind in ("word", "quoted"):
        parts.append(tokens[at].name)
        at += 1
        if at + 1 < len(tokens) and tokens[at].text == "." and tokens[at + 1].kind in ("word", "quoted"):
            at += 1
            continue
        break
    return ".".join(parts), at


def _refused(line: int, what: str, advice: str) -> QueryRefusedError:
    return QueryRefusedError(f"the query is not run, only reading is allowed here. Line {line}: {what}; {advice}")
