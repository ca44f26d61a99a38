"""N-Triples in columns: the plain lines of a block are cut at their spaces all at once, each distinct term once.

Nearly every line of a dump is `<subject> <predicate> <object> .` or `... "text"@en .` with single spaces. Those are cut
with array operations, some times faster than any parser that makes an object a triple. A distinct IRI outside a plain
alphabet, and each distinct language tag or datatype, is checked by the parser; all other lines (blank nodes,
escapes, comments, mistakes) are parsed by it. So what is accepted does not depend on which way a line went.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

BoolArray = npt.NDArray[np.bool_]
Int32Array = npt.NDArray[np.int32]

_PLAIN = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"
PLAIN_IRI = rf"^<https?://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/{_PLAIN})?(?:\?{_PLAIN})?(?:#{_PLAIN})?>$"
SPACE, NEWLINE, RETURN, QUOTE, DOT, OPEN, CLOSE, BACKSLASH = b' \n\r".<>\\'


@dataclass(slots=True)
class Lines:
    """Plain lines of a block as columns of distinct terms.

    Attributes:
        rest: numbers of the lines left to the parser, from 0, int64 (r,).
        subject, predicate: position in `iris`, int32 (lines,).
        literal: the object is a literal, bool (lines,).
        object: position in `iris` of those that are not, int32 (nodes,).
        iris: distinct IRIs, without brackets.
        value: lexical forms of the literals, Arrow strings (literals,).
        kind: position in `kinds`, int32 (literals,).
        kinds: pairs of language tag and datatype, "" for none.
    """

    rest: npt.NDArray[np.int64]
    subject: Int32Array
    predicate: Int32Array
    literal: BoolArray
    object: Int32Array
    iris: list[str]
    value: Any
    kind: Int32Array
    kinds: list[tuple[str, str]]


def cut_lines(block: bytes, parse: Callable[[bytes], list[Any]]) -> Lines | None:
    """Cut the plain lines of a block.

    Args:
        block: whole lines, the last one ending in a line break.
        parse: the N-Triples parser: quads of some bytes, or SyntaxError.

    Returns:
        The columns, or None when the block is not UTF-8 or hardly any line is plain.
    """
    data = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(data == NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    spaces = np.concatenate([np.flatnonzero(data == SPACE), np.full(3, len(data))])
    at = np.searchsorted(spaces, starts)
    first, second, third = spaces[at], spaces[at + 1], spaces[at + 2]
    plain = (ends - starts >= 12) & (second + 1 < ends - 2)
    # Where a line is too short these positions are meaningless but must stay inside the block.
    inside = np.where(plain, starts, 0), np.where(plain, first, 1), np.where(plain, second, 1)
    start, f, g = inside
    end = np.where(plain, ends, 3)
    plain &= (data[start] == OPEN) & (data[f - 1] == CLOSE) & (data[f + 1] == OPEN) & (data[g - 1] == CLOSE)
    plain &= (data[end - 1] == DOT) & (data[end - 2] == SPACE)
    head = data[np.minimum(g + 1, len(data) - 1)]
    literal = plain & (head == QUOTE)
    node = plain & (head == OPEN) & (data[end - 3] == CLOSE) & (third == end - 2)
    quotes = np.concatenate([np.flatnonzero(data == QUOTE), np.full(2, len(data))])
    opening = np.searchsorted(quotes, g + 1)
    closing = quotes[np.minimum(opening + 1, len(quotes) - 1)]
    # Exactly two quotes before the end of the line, and neither escapes nor carriage returns.
    literal &= (closing < end) & (quotes[np.minimum(opening + 2, len(quotes) - 1)] > end)
    for forbidden in (BACKSLASH, RETURN):
        places = np.flatnonzero(data == forbidden)
        if len(places):
            clean = np.searchsorted(places, start) == np.searchsorted(places, end)
            literal &= clean
            node &= clean
    plain = literal | node
    if 2 * int(plain.sum()) < len(plain):
        return None
    columns = _columns(data, plain, literal, starts, first, second, closing, ends)
    if columns is None:
        return None
    return _check(np.flatnonzero(~plain), np.flatnonzero(plain), literal[plain], columns, parse)


def _columns(
    data: npt.NDArray[np.uint8],
    plain: BoolArray,
    literal: BoolArray,
    starts: Any,
    first: Any,
    second: Any,
    closing: Any,
    ends: Any,
) -> tuple[Any, Any, Any, Any] | None:
    """Four pieces of each plain line as Arrow strings; None when they are not UTF-8.

    `<s> `, then `<p> ` with the opening quote of a literal, then the bare text or `<o>`, then the rest of the line.
    """
    length = ends - starts + 1
    if not plain.all():
        data = data[np.repeat(plain, length)]
    shift = starts[plain] - np.concatenate([[0], np.cumsum(length[plain])[:-1]])
    lit = literal[plain]
    offsets = np.empty((int(plain.sum()), 4), dtype=np.int32)
    offsets[:, 0] = starts[plain] - shift
    offsets[:, 1] = first[plain] + 1 - shift
    offsets[:, 2] = second[plain] + 1 + lit - shift
    offsets[:, 3] = np.where(lit, closing[plain], ends[plain] - 2) - shift
    flat = np.append(offsets.ravel(), np.int32(len(data)))
    pieces = pa.Array.from_buffers(pa.string(), len(flat) - 1, [None, pa.py_buffer(flat), pa.py_buffer(data)])
    try:
        pieces.validate(full=True)
    except pa.ArrowInvalid:
        return None
    lines = np.arange(0, len(flat) - 1, 4)
    subject, predicate, value, tail = (pieces.take(pa.array(lines + n)) for n in range(4))
    return subject, predicate, value, tail


def _check(
    rest: Any, numbers: Any, literal: BoolArray, columns: tuple[Any, Any, Any, Any], parse: Callable[[bytes], list[Any]]
) -> Lines:
    """Check every distinct term; lines with a bad one join the rest, where the parser says what is wrong."""
    subject, predicate, value, tail = columns
    s_code, s_terms = _encode(subject)
    p_code, p_terms = _encode(predicate)
    o_code, o_terms = _encode(value.filter(pa.array(~literal)))
    k_code, tails = _encode(tail.filter(pa.array(literal)))
    s_terms = pc.utf8_rtrim(s_terms, " ")
    p_terms = pc.replace_substring_regex(p_terms, ' "?$', "")
    iris = pa.concat_arrays([s_terms, p_terms, o_terms])
    iri_good = _good_iris(iris, parse)
    kinds = [_kind(text, parse) for text in tails.to_pylist()]
    s, p, o = s_code, p_code + len(s_terms), o_code + len(s_terms) + len(p_terms)
    good = iri_good[s] & iri_good[p]
    good[~literal] &= iri_good[o]
    good[literal] &= np.array([kind is not None for kind in kinds], dtype=bool)[k_code] if len(k_code) else True
    if not good.all():
        rest = np.union1d(rest, numbers[~good])
    return Lines(
        rest=rest,
        subject=s[good],
        predicate=p[good],
        literal=literal[good],
        object=o[good[~literal]],
        iris=pc.binary_slice(iris.cast(pa.binary()), 1, -1).cast(pa.string()).to_pylist() if len(iris) else [],
        value=value.filter(pa.array(literal & good)),
        kind=k_code[good[literal]],
        kinds=[kind or ("", "") for kind in kinds],
    )


def _encode(values: Any) -> tuple[Int32Array, Any]:
    encoded = pc.dictionary_encode(values)
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32), encoded.dictionary


def _good_iris(iris: Any, parse: Callable[[bytes], list[Any]]) -> BoolArray:
    good: BoolArray = pc.match_substring_regex(iris, PLAIN_IRI).to_numpy(zero_copy_only=False).copy()
    doubtful = np.flatnonzero(~good)
    good[doubtful] = _parsed([iris[int(n)].as_py() for n in doubtful], parse)
    return good


def _parsed(iris: list[str], parse: Callable[[bytes], list[Any]]) -> BoolArray:
    """Which IRIs the parser accepts; halves are tried until the bad ones are found."""
    lines = "".join(f"{iri} <a:p> <a:o> .\n" for iri in iris).encode()
    try:
        quads = parse(lines)
        if len(quads) == len(iris) and all(str(q.subject) == iri for q, iri in zip(quads, iris, strict=True)):
            return np.ones(len(iris), dtype=bool)
    except SyntaxError:
        pass
    if len(iris) == 1:
        return np.zeros(1, dtype=bool)
    half = len(iris) // 2
    return np.concatenate([_parsed(iris[:half], parse), _parsed(iris[half:], parse)])


def _kind(tail: str, parse: Callable[[bytes], list[Any]]) -> tuple[str, str] | None:
    """Language and datatype of what follows the text of a literal; None when it is no end of a statement."""
    try:
        quads = parse(f'<a:s> <a:p> "{tail}'.encode())
    except SyntaxError:
        return None
    if len(quads) != 1:
        return None
    literal = quads[0].object
    return (literal.language.lower(), "") if literal.language is not None else ("", literal.datatype.value)
