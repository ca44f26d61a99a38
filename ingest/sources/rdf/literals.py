"""Literals as columns: one language a text, the type that fits all datatypes, lists where a node has several values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.report import first_examples
from ingest.sources.rdf.statements import RdfMapping
from kg.arrays import IntArray

BoolArray = npt.NDArray[np.bool_]

XSD = "http://www.w3.org/2001/XMLSchema#"
INTEGERS = {
    XSD + name
    for name in (
        *("integer", "int", "long", "short", "byte", "gYear"),
        *("nonNegativeInteger", "positiveInteger", "nonPositiveInteger", "negativeInteger"),
        *("unsignedLong", "unsignedInt", "unsignedShort", "unsignedByte"),
    )
}
FLOATS = {XSD + name for name in ("decimal", "double", "float")}
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
    typed, bad = _typed(values, kinds, facts.kinds)
    if bad.any():
        where = np.flatnonzero(bad)
        examples = first_examples(
            f"{facts.terms[facts.literal_subject[picked[i]]]} {name} {values[int(i)].as_py()!r}" for i in where
        )
        mapping.report.set_aside(
            mapping.account, "unparsable literals", len(where), "do not fit their datatype; set aside", examples
        )
        rows, typed = rows[~bad], typed.filter(pa.array(~bad))
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


def _typed(values: Any, kinds: Any, all_kinds: list[tuple[str, str]]) -> tuple[Any, BoolArray]:
    """Literals as the Arrow type that fits all their datatypes, and which of them do not fit their own."""
    datatypes = {all_kinds[n][1] for n in np.unique(kinds).tolist()}
    good = np.zeros(len(values), dtype=bool)
    if datatypes == {BOOLEAN}:
        result = pc.is_in(values, value_set=pa.array(["true", "1"]))
        return result, ~pc.is_in(values, value_set=pa.array(["true", "1", "false", "0"])).to_numpy(zero_copy_only=False)
    if datatypes <= INTEGERS:
        stripped = pc.replace_substring_regex(values, r"^\s*\+?(-?\d+)\s*$", r"\1")
        good = pc.match_substring_regex(stripped, r"^-?\d{1,18}$").to_numpy(zero_copy_only=False)
        return pc.if_else(pa.array(good), stripped, None).cast(pa.int64()), ~good
    if datatypes <= INTEGERS | FLOATS:
        number = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$"
        good = pc.match_substring_regex(values, number).to_numpy(zero_copy_only=False)
        plain = pc.replace_substring_regex(values, r"^\s*\+?([^\s]+)\s*$", r"\1")
        return pc.if_else(pa.array(good), plain, None).cast(pa.float64()), ~good
    return values, good


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
