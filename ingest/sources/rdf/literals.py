"""Literals as columns: one language a text, the type that fits all datatypes, lists where a node has several values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.report import first_examples
from ingest.sources.rdf.statements import RdfMapping
from ingest.sources.tables.values import keeps_digits
from kg.arrays import IntArray

BoolArray = npt.NDArray[np.bool_]

XSD = "http://www.w3.org/2001/XMLSchema#"
INTEGERS = {
    XSD + name
    for name in (
        *("integer", "int", "long", "short", "byte"),
        *("nonNegativeInteger", "positiveInteger", "nonPositiveInteger", "negativeInteger"),
        *("unsignedLong", "unsignedInt", "unsignedShort", "unsignedByte"),
    )
}
DECIMAL, YEAR = XSD + "decimal", XSD + "gYear"
FLOATS = {DECIMAL, XSD + "double", XSD + "float"}
BOOLEAN = XSD + "boolean"


def literal_column(mapping: RdfMapping, picked: IntArray, row: IntArray, size: int, name: str) -> Any | None:
    """One attribute of one node type: a plain column, or lists when a node has several values.

    Args:
        mapping: its facts, report and languages.
        picked: positions of the attribute's literals.
        row: position of each term in the node table.
        size: number of nodes.
        name: of the attribute.

    Returns:
        The column, or None when no value is left.
    """
    facts = mapping.facts
    rows, kinds = row[facts.literal_subject[picked]], facts.literal_kind[picked]
    values = facts.literal_value.take(pa.array(picked))
    if any(facts.kinds[n][0] for n in np.unique(kinds).tolist()):
        kept = _best_language(mapping, rows, kinds, size)
        rows, kinds, values = rows[kept], kinds[kept], values.filter(pa.array(kept))
    typed, bad, empty = _typed(values, kinds, facts.kinds)
    if empty.any():
        mapping.report.add(
            "literals without a number",
            int(empty.sum()),
            "NaN and infinity fit their datatype but are no number to work with; left out",
            [name],
        )
    if bad.any():
        where = np.flatnonzero(bad)
        examples = first_examples(
            f"{facts.terms[facts.literal_subject[picked[i]]]} {name} {values[int(i)].as_py()!r}" for i in where
        )
        mapping.report.set_aside(
            mapping.account, "unparsable literals", len(where), "do not fit their datatype; set aside", examples
        )
    if bad.any() or empty.any():
        rows, typed = rows[~bad & ~empty], typed.filter(pa.array(~bad & ~empty))
    if not len(rows):
        return None
    if np.bincount(rows, minlength=size).max() > 1:
        return lists_by_row(rows, typed, size)
    position = np.full(size, -1, dtype=np.int64)
    position[rows] = np.arange(len(rows))
    return typed.take(pa.array(position, mask=position < 0))


def _best_language(mapping: RdfMapping, rows: IntArray, kinds: Any, size: int) -> BoolArray:
    """Which values are in the best language that their node has a value in, (n,)."""
    facts = mapping.facts
    tags = sorted({tag for tag, _ in facts.kinds})
    rank = {tag: _language_rank(tag, mapping.languages) for tag in tags}
    ordered = sorted(tags, key=lambda tag: (rank[tag], tag))
    place = np.array([ordered.index(tag) for tag, _ in facts.kinds], dtype=np.int64)[kinds]
    best = np.full(size, len(ordered), dtype=np.int64)
    np.minimum.at(best, rows, place)
    result: BoolArray = place == best[rows]
    mapping.report.add("texts in other languages", int((~result).sum()), "left out: one language is kept per text")
    return result


def _language_rank(tag: str, languages: list[str]) -> tuple[int, int]:
    """Position in the stated order; an exact tag before a regional one; unlisted tags last."""
    if tag in languages:
        return languages.index(tag), 0
    for position, language in enumerate(languages):
        if language and tag.startswith(language + "-"):
            return position, 1
    return len(languages), 0


def _typed(values: Any, kinds: Any, all_kinds: list[tuple[str, str]]) -> tuple[Any, BoolArray, BoolArray]:
    """Literals as the Arrow type that fits all their datatypes and loses no digit, else as text.

    Returns:
        The values, which of them do not fit their datatype, and which are NaN or infinite; null where one does not.
    """
    datatypes = {all_kinds[n][1] for n in np.unique(kinds).tolist()}
    none = np.zeros(len(values), dtype=bool)
    if datatypes == {BOOLEAN}:
        result = pc.is_in(values, value_set=pa.array(["true", "1"]))
        bad = ~_mask(pc.is_in(values, value_set=pa.array(["true", "1", "false", "0"])))
        return result, bad, none
    if not datatypes <= INTEGERS | FLOATS | {YEAR}:
        return values, none, none
    # The number that a literal writes: without blanks, plus signs, leading zeros, and the zone of a year.
    datatype = np.array([all_kinds[n][1] for n in range(len(all_kinds))], dtype=object)[kinds]
    trimmed = pc.utf8_trim_whitespace(values)
    plain = pc.replace_substring_regex(trimmed, r"^\+?(-?)0*(\d.*)$", r"\1\2")
    years = datatype == YEAR
    if years.any():
        without_zone = pc.replace_substring_regex(plain, r"^(-?\d+)(Z|[+-]\d\d:\d\d)$", r"\1")
        plain = pc.if_else(pa.array(years), without_zone, plain)
    floats = np.isin(datatype, list(FLOATS))
    whole = _mask(pc.match_substring_regex(plain, r"^-?\d+$"))
    number = _mask(pc.match_substring_regex(plain, r"^-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"))
    good = np.where(floats, number, whole)
    empty = (
        floats & (datatype != DECIMAL) & _mask(pc.is_in(trimmed, value_set=pa.array(["NaN", "INF", "+INF", "-INF"])))
    )
    plain = pc.if_else(pa.array(good), plain, None)
    bad = ~good & ~empty
    if not floats.any():
        try:
            return plain.cast(pa.int64()), bad, empty
        except pa.ArrowInvalid:  # beyond 64 bits
            return plain, bad, empty
    exact = plain.filter(pa.array(np.isin(datatype, list(INTEGERS | {DECIMAL}))))
    if keeps_digits(exact):
        return plain.cast(pa.float64()), bad, empty
    return plain, bad, empty


def _mask(values: Any) -> BoolArray:
    result: BoolArray = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return result


def lists_by_row(rows: IntArray, values: Any, size: int) -> Any:
    """Lists of values by row, each sorted; null where a row has none."""
    text = pc.rank(values, sort_keys="ascending", tiebreaker="dense").to_numpy(zero_copy_only=False)
    order = np.lexsort((text, rows))
    keep = np.ones(len(order), dtype=bool)
    keep[1:] = (rows[order][1:] != rows[order][:-1]) | (text[order][1:] != text[order][:-1])
    order = order[keep]
    counts = np.bincount(rows[order], minlength=size)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    # A null offset makes a null list; the last offset must stay.
    missing = np.concatenate([counts == 0, [False]])
    return pa.ListArray.from_arrays(pa.array(offsets, mask=missing), values.take(pa.array(order)))
