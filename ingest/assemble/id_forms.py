"""What to write when the ids of two sources do not match: another column, an IRI template, or another form."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow.compute as pc

from ingest.facts import Mention
from kg.settings.toml import toml_value

SAMPLE = 10_000
BETTER = 0.1  # an advice must make so much more fit, or chance would give some
MOST = 3


@dataclass(frozen=True, slots=True)
class _Form:
    """Another form of an id, in SQL and in Python; `{}` is the column."""

    sql: str
    change: Callable[[str], str | None]


FORMS = (
    _Form("ltrim({}, '0')", lambda id: id.lstrip("0") or None),
    _Form("lower({})", str.lower),
    _Form("upper({})", str.upper),
    _Form("regexp_extract({}, '[0-9]+$')", lambda id: match[0] if (match := re.search(r"[0-9]+$", id)) else None),
    _Form("ltrim(regexp_extract({}, '[0-9]+$'), '0')", lambda id: _number(id)),
    _Form("regexp_replace({}, '\\.0+$', '')", lambda id: re.sub(r"\.0+$", "", id)),
    _Form("regexp_extract({}, '[^/#:]+$')", lambda id: match[0] if (match := re.search(r"[^/#:]+$", id)) else None),
)


def advice(
    mention: Mention, references: Sequence[Mention], ids: Any, other_ids: Any, share: float
) -> Iterator[tuple[str, float]]:
    """Lines to write so that more ids fit, and the share that would, the best first; at most `MOST`.

    Args:
        mention: the ids of a source.
        references: what they are compared with.
        ids: the different ids of the source.
        other_ids: those of the others.
        share: that fits now.
    """
    sample, others = ids[:SAMPLE], set(other_ids.to_pylist())
    lines = [*_other_columns(mention, others), *_other_forms(mention, sample, others)]
    mine = set(ids.to_pylist())
    for reference in references:
        lines += [*_other_columns(reference, mine), *_other_forms(reference, pc.unique(reference.ids)[:SAMPLE], mine)]
    better = sorted((line for line in lines if line[1] >= share + BETTER), key=lambda line: -line[1])
    yield from list(dict.fromkeys(better))[:MOST]


def _share(values: Sequence[str | None], others: set[str], nodes: int | None = None) -> float:
    """The share of the smaller of two sets of ids that the other one has.

    Args:
        values: one side.
        others: the other side.
        nodes: how many nodes the first one has, some of which may have no id; default: as many as ids.
    """
    different = {value for value in values if value}
    return len(different & others) / max(min(len(different) if nodes is None else nodes, len(others)), 1)


def _other_columns(mention: Mention, others: set[str]) -> Iterator[tuple[str, float]]:
    """Other columns or properties of the source."""
    for name, column in mention.others.items():
        # A few values that are everywhere, such as years, are no ids.
        different = pc.unique(column).drop_null()
        is_repeated = mention.kind in ("interactions", "events", "edges")
        if is_repeated or 2 * len(different) >= len(column.drop_null()):
            nodes = None if is_repeated else len(column)
            yield _line(mention, name), _share(different.to_pylist(), others, nodes)


def _line(mention: Mention, value: str) -> str:
    if mention.kind in ("rdf", "neo4j"):
        return f"graph.nodes.{mention.node}.key = {toml_value(value)}"
    return f"{mention.key} = {toml_value(value)} for {mention.source}"


def _other_forms(mention: Mention, sample: Any, others: set[str]) -> Iterator[tuple[str, float]]:
    """The same ids in another form."""
    texts = sample.to_pylist()
    if mention.kind == "rdf":
        template = _template(texts, others)
        if template is not None:
            head, tail = template
            cut = [
                unquote(text[len(head) : len(text) - len(tail)])
                for text in texts
                if text.startswith(head) and text.endswith(tail)
            ]
            yield _line(mention, f"{head}{{id}}{tail}"), _share(cut, others, len(texts))
        return
    if mention.kind == "neo4j":
        return
    column = _column_of(mention, texts)
    for form in FORMS:
        changed = [form.change(text) for text in texts]
        if changed != texts:
            change = f"{form.sql.format(_quoted(column))} AS {_quoted(column)}"
            sql = f"SELECT * REPLACE ({change}) FROM file"  # noqa: S608 (a person is to write it)
            yield f"sql = {toml_value(sql)} for {mention.source}", _share(changed, others, len(texts))


def _template(iris: Sequence[str], others: set[str]) -> tuple[str, str] | None:
    """What stands before and after the id in most of the IRIs whose id the others have."""
    counts: Counter[tuple[str, str]] = Counter()
    for iri in iris:
        start = max(iri.rfind("/"), iri.rfind("#"), iri.rfind(":"), iri.rfind("=")) + 1
        tail = iri[start:]
        numbers = [*re.finditer(r"\d+", tail), *re.finditer(r"(?<=0)[1-9]\d*", tail)]
        cores = [(start, len(iri)), *((start + number.start(), start + number.end()) for number in numbers)]
        if "." in tail:
            cores.append((start, start + tail.rfind(".")))
        for first, last in dict.fromkeys(cores):
            if unquote(iri[first:last]) in others:
                counts[iri[:first], iri[last:]] += 1
    return counts.most_common(1)[0][0] if counts else None


def _column_of(mention: Mention, texts: Sequence[str]) -> str:
    """The column of the file that holds the ids."""
    ids = set(texts)
    for name, column in mention.others.items():
        if ids.issuperset(column[:100].drop_null().to_pylist()):
            return name
    return "id"


def _number(id: str) -> str | None:
    match = re.search(r"[0-9]+$", id)
    return (match[0].lstrip("0") or "0") if match else None


def _quoted(column: str) -> str:
    return column if re.fullmatch(r"[a-z_][a-z0-9_]*", column) else '"' + column.replace('"', '""') + '"'
