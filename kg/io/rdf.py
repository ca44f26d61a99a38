"""The graph as RDF.

What becomes what:

- A node is the IRI in its attribute `iri` (where a source named it otherwise than by its id), else its id when that
  is an http(s) IRI or a URN, else `urn:graphrecall:node:<type>:<id>`, percent-encoded. It has its class (`rdf_class` of
  the schema, else `urn:graphrecall:class:<type>`), a `schema:identifier` with the id, and one triple an attribute value
  under the predicate it came from, else `urn:graphrecall:attribute:<column>`: lists become several triples, missing
  values none.
- An edge of a relation without further columns is one triple under the relation's predicate, else
  `urn:graphrecall:relation:<name>`. RDF is a set: repeated edges are one triple.
- An interaction with further columns is a node of its own, since a user may rate an item twice, and a time belongs to
  the rating: a `schema:Review` with `schema:author`, `schema:itemReviewed`, `schema:dateCreated` and a `schema:Rating`
  when it has a rating, else a `schema:Action` with `schema:agent`, `schema:object` and `schema:startTime`.
- Any other edge with further columns is its plain triple, and an `rdf:Statement` about it that carries the columns.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kg.errors import InvalidDataError
from kg.graph import KnowledgeGraph
from kg.io.files import atomic_path
from kg.schema import Event, Relation, RelationKey

OWN = "urn:graphrecall:"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
SCHEMA = "https://schema.org/"
XSD = "http://www.w3.org/2001/XMLSchema#"
BLOCK = 100_000

# Characters that an IRI may hold as they are (RFC 3987 without private use); "%" only before two hex digits.
_CHARACTER = (
    r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2}|[\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef\U00010000-\U0001fffd])"
)
_HOST = r"(?:[A-Za-z0-9\-._~]|%[0-9A-Fa-f]{2}|[\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef])+(?::[0-9]{1,5})?"
_TAIL = rf"(?:{_CHARACTER}|/)*(?:\?(?:{_CHARACTER}|[/?])*)?(?:\#(?:{_CHARACTER}|[/?])*)?"
_IRI = re.compile(
    rf"https?://{_HOST}(?:/{_TAIL}|[?#]{_TAIL})?|urn:[A-Za-z0-9][A-Za-z0-9\-]{{1,31}}:{_CHARACTER}{_TAIL}"
)


def to_rdflib(graph: KnowledgeGraph, *, interactions: bool = True) -> Any:
    """The graph as an `rdflib.Graph`, some 40,000 triples a second; for large graphs use `write_ntriples`.

    Args:
        graph: what to export.
        interactions: whether users go along, and what they did: all relations with an event.

    Raises:
        InvalidDataError: a class or predicate of the schema is no IRI.
    """
    from rdflib import Graph

    result = Graph()
    for block in _blocks(graph, interactions):
        result.parse(BytesIO(block), format="nt")
    return result


def write_ntriples(graph: KnowledgeGraph, path: Path, *, interactions: bool = True) -> int:
    """Write N-Triples, compressed when the name ends in `.gz`; the same graph gives the same bytes.

    Args:
        graph: what to export.
        path: the file, replaced atomically.
        interactions: whether users go along, and what they did: all relations with an event.

    Returns:
        Lines written. A repeated edge or value repeats its line, so a store may count fewer triples.

    Raises:
        InvalidDataError: a class or predicate of the schema is no IRI.
    """
    lines = 0
    with atomic_path(path) as temporary, temporary.open("wb") as raw:
        stream: BinaryIO = raw
        if path.suffix == ".gz":
            # No name and no time in the header: the bytes depend on the graph alone.
            stream = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)  # type: ignore[assignment]
        for block in _blocks(graph, interactions):
            lines += block.count(b"\n")
            stream.write(block)
        if stream is not raw:
            stream.close()
    return lines


def node_iri(node_type: str, id: str) -> str:
    """The IRI of a node: its id if that is an IRI, else one under `urn:graphrecall:node:`."""
    return id if _IRI.fullmatch(id) else f"{OWN}node:{quote(node_type, safe='')}:{quote(id, safe='')}"


def _node_iris(name: str, table: Any) -> Iterator[str]:
    """The IRI of each node; one in the attribute `iri` that is none falls back to the id."""
    ids = table["id"].to_pylist()
    iris = table["iri"].to_pylist() if "iri" in table.column_names else [None] * len(ids)
    for id, iri in zip(ids, iris, strict=True):
        yield iri if isinstance(iri, str) and _IRI.fullmatch(iri) else node_iri(name, id)


def _blocks(graph: KnowledgeGraph, interactions: bool) -> Iterator[bytes]:
    """The graph's N-Triples in pieces of whole lines."""
    schema = graph.schema
    nodes = {
        name: pa.array((f"<{iri}>" for iri in _node_iris(name, table)), type=pa.string())
        for name, table in graph.nodes.items()
        if interactions or name != schema.user_type
    }
    for name, subjects in nodes.items():
        given = schema.node_types[name].rdf_class
        yield _lines(subjects, f"{RDF}type", pa.scalar(_checked(given, f"class:{name}", f"node type {name!r}")))
        yield _lines(subjects, f"{SCHEMA}identifier", _literals(graph.nodes[name]["id"]))
        for column in graph.nodes[name].column_names:
            if column not in ("id", "iri"):
                predicate = schema.node_types[name].predicates.get(column)
                where = f"attribute {column!r} of {name!r}"
                iri = _checked(predicate, f"attribute:{column}", where)[1:-1]
                yield from _attribute(subjects, iri, graph.nodes[name][column])
    for key, table in graph.edges.items():
        relation = schema.relations[key]
        if not interactions and (relation.event is not None or not {key.source, key.target} <= nodes.keys()):
            continue
        for start in range(0, table.num_rows, BLOCK):
            yield from _edges(graph, relation, table.slice(start, BLOCK), start, nodes)


def _edges(graph: KnowledgeGraph, relation: Relation, table: Any, start: int, nodes: dict[str, Any]) -> Iterator[bytes]:
    key = relation.key
    source, target = nodes[key.source].take(table["src"]), nodes[key.target].take(table["dst"])
    predicate = _checked(relation.predicate, f"relation:{key.name}", f"relation {key}")
    further = [name for name in table.column_names if name not in ("src", "dst")]
    own = _edge_nodes(key, start, table.num_rows)
    kind = f"{RDF}type"
    if key == graph.schema.interaction and further:
        rated = "rating" in further
        yield _lines(own, kind, pa.scalar(f"<{SCHEMA}{'Review' if rated else 'Action'}>"))
        yield _lines(own, f"{SCHEMA}{'author' if rated else 'agent'}", source)
        yield _lines(own, f"{SCHEMA}{'itemReviewed' if rated else 'object'}", target)
        if rated:
            further.remove("rating")
            there = pc.is_valid(table["rating"])
            reviews = own.filter(there)
            ratings = pc.replace_substring_regex(reviews, ">$", ":rating>")
            yield _lines(reviews, f"{SCHEMA}reviewRating", ratings)
            yield _lines(ratings, kind, pa.scalar(f"<{SCHEMA}Rating>"))
            yield _lines(ratings, f"{SCHEMA}ratingValue", _literals(table["rating"].filter(there)))
        if "timestamp" in further:
            further.remove("timestamp")
            there = pc.is_valid(table["timestamp"])
            seconds = table["timestamp"].filter(there).to_numpy().astype(np.int64)
            times = _date_times(seconds.astype("datetime64[s]"), zone="Z")
            yield _lines(own.filter(there), f"{SCHEMA}{'dateCreated' if rated else 'startTime'}", times)
    else:
        yield _lines(source, predicate[1:-1], target)
        if further:
            yield _lines(own, kind, pa.scalar(f"<{RDF}Statement>"))
            yield _lines(own, f"{RDF}subject", source)
            yield _lines(own, f"{RDF}predicate", pa.scalar(predicate))
            yield _lines(own, f"{RDF}object", target)
    event = relation.event or Event()
    for column in further:
        if column == event.user:
            yield _lines(own, _own("attribute", column), nodes[graph.schema.user_type].take(table[column]))
        else:
            yield from _attribute(own, _own("attribute", column), table[column])


def _edge_nodes(key: RelationKey, start: int, count: int) -> Any:
    base = f"<{OWN}edge:" + ":".join(quote(part, safe="") for part in key) + ":"
    numbers = pa.array(np.arange(start, start + count)).cast(pa.string())
    return pc.binary_join_element_wise(base, numbers, ">", "")


def _attribute(subjects: Any, predicate: str, column: Any) -> Iterator[bytes]:
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if any(of(values.type) for of in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)):
        subjects, values = subjects.take(pc.list_parent_indices(values)), pc.list_flatten(values)
    there = pc.is_valid(values)
    yield _lines(subjects.filter(there), predicate, _literals(values.filter(there)))


def _lines(subjects: Any, predicate: str, objects: Any) -> bytes:
    """One line a subject; Arrow keeps the strings of an array back to back, which is the text to write."""
    if not len(subjects):
        return b""
    lines = pc.binary_join_element_wise(subjects, f" <{predicate}> ", objects, " .\n", "")
    parts = lines.chunks if isinstance(lines, pa.ChunkedArray) else [lines]
    return b"".join(_bytes(part) for part in parts)


def _bytes(array: Any) -> bytes:
    if not len(array):
        return b""
    wide = array.cast(pa.large_string())
    offsets = np.frombuffer(wide.buffers()[1], dtype=np.int64)
    return bytes(memoryview(wide.buffers()[2])[offsets[wide.offset] : offsets[wide.offset + len(wide)]])


def _literals(values: Any) -> Any:
    """N-Triples literals of an Arrow column without missing values."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.array((_quoted(value) for value in values.to_pylist()), type=pa.string())
    if pa.types.is_integer(kind):
        return _typed(values.cast(pa.string()), "integer")
    if pa.types.is_boolean(kind):
        return _typed(values.cast(pa.string()), "boolean")
    if pa.types.is_floating(kind):
        return _typed(pa.array((_double(value) for value in values.to_pylist()), type=pa.string()), "double")
    if pa.types.is_timestamp(kind):
        moments = values.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64()).to_numpy()
        return _date_times(moments.astype("datetime64[us]"), zone="Z" if kind.tz else "")
    if pa.types.is_date(kind):
        return _typed(values.cast(pa.date32()).cast(pa.string()), "date")
    return pa.array((_quoted(_text(value)) for value in values.to_pylist()), type=pa.string())


def _typed(texts: Any, datatype: str) -> Any:
    return pc.binary_join_element_wise('"', texts, f'"^^<{XSD}{datatype}>', "")


def _date_times(moments: Any, *, zone: str) -> Any:
    """NumPy moments as xsd:dateTime."""
    texts = np.datetime_as_string(moments) if len(moments) else np.zeros(0, dtype=str)
    return _typed(pc.binary_join_element_wise(pa.array(texts, type=pa.string()), zone, ""), "dateTime")


def _double(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else ("INF" if value > 0 else "-INF")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else str(value)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _quoted(text: str) -> str:
    escaped = re.sub(
        r'[\x00-\x1f\x7f"\\\u0085\u2028\u2029]',
        lambda match: _ESCAPES.get(match[0], f"\\u{ord(match[0]):04X}"),
        text,
    )
    return f'"{escaped}"'


def _own(kind: str, name: str) -> str:
    return f"{OWN}{kind}:{quote(name, safe='')}"


def _checked(iri: str | None, fallback: str, where: str) -> str:
    """The schema's IRI between angle brackets, or one of our own."""
    if iri is None:
        kind, name = fallback.split(":", 1)
        return f"<{_own(kind, name)}>"
    if not _IRI.fullmatch(iri):
        raise InvalidDataError(f"{where} has {iri!r} in the schema, which is no http(s) IRI or URN")
    return f"<{iri}>"


__all__ = ["node_iri", "to_rdflib", "write_ntriples"]
