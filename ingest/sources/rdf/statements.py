"""The facts of RDF as arrays, and the first steps of the mapping: what is left out, and what are classes and links."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.report import QualityReport, SourceAccount, first_examples
from ingest.settings import GraphSettings
from ingest.sources.rdf.triples import Triples
from ingest.sources.rdf.vocabularies import LINK_PREDICATES, RDF_TYPE, https_schema
from kg.arrays import IntArray, RaggedArray, distinct

BoolArray = npt.NDArray[np.bool_]
Int32Array = npt.NDArray[np.int32]


@dataclass(slots=True)
class Statements:
    """Facts as integers, which the steps of the mapping make fewer; see `Triples` for the arrays."""

    terms: list[str]
    subject: Int32Array
    predicate: Int32Array
    object: Int32Array
    graph: Int32Array
    literal_subject: Int32Array
    literal_predicate: Int32Array
    literal_kind: Int32Array
    literal_value: Any
    kinds: list[tuple[str, str]]
    predicates: IntArray = field(init=False)

    def __post_init__(self) -> None:
        self.predicates = distinct(np.concatenate([self.predicate, self.literal_predicate])).astype(np.int64)

    @classmethod
    def of(cls, triples: Triples) -> Statements:
        """The facts of triples, with one spelling of schema.org."""
        terms, number = _one_schema_org(triples.terms)
        graph = triples.graph
        return cls(
            terms=terms,
            subject=number[triples.subject],
            predicate=number[triples.predicate],
            object=number[triples.object],
            graph=np.where(graph >= 0, number[graph], -1) if len(graph) else graph,
            literal_subject=number[triples.literal_subject],
            literal_predicate=number[triples.literal_predicate],
            literal_kind=triples.literal_kind,
            literal_value=triples.literal_value,
            kinds=triples.kinds,
        )

    def has_predicate(self, iris: Collection[str], predicates: Any) -> BoolArray:
        """Which of `predicates` (positions of terms) are among `iris`, (n,)."""
        numbers = [n for n in self.predicates.tolist() if self.terms[n] in iris]
        return np.isin(predicates, np.array(numbers, dtype=predicates.dtype))

    def keep_edges(self, kept: BoolArray) -> None:
        """Keep some of the facts whose object is a node."""
        self.subject, self.predicate, self.object, self.graph = (
            column[kept] for column in (self.subject, self.predicate, self.object, self.graph)
        )

    def keep_literals(self, kept: BoolArray) -> None:
        """Keep some of the facts whose object is a literal."""
        self.literal_subject, self.literal_predicate, self.literal_kind = (
            column[kept] for column in (self.literal_subject, self.literal_predicate, self.literal_kind)
        )
        self.literal_value = self.literal_value.filter(pa.array(kept))


@dataclass(frozen=True, slots=True)
class RdfMapping:
    """What the steps of the mapping share.

    Attributes:
        facts: which the first steps make fewer.
        settings: names, classes and keys of node types.
        report: findings.
        account: of what is set aside.
        languages: order of preference of texts, in lower case.
    """

    facts: Statements
    settings: GraphSettings
    report: QualityReport
    account: SourceAccount
    languages: list[str]


def drop_predicates(mapping: RdfMapping) -> None:
    """Leave out the facts of the predicates in `graph.drop`."""
    facts, dropped = mapping.facts, {https_schema(iri) for iri in mapping.settings.drop}
    if not dropped:
        return
    edges = facts.has_predicate(dropped, facts.predicate)
    literals = facts.has_predicate(dropped, facts.literal_predicate)
    count = int(edges.sum() + literals.sum())
    mapping.report.add("dropped predicates", count, "facts left out as graph.drop says", first_examples(dropped))
    facts.keep_edges(~edges)
    facts.keep_literals(~literals)


def take_classes(facts: Statements) -> IntArray:
    """Remove rdf:type facts and return them as unique pairs (node, class), (n, 2)."""
    typed = facts.has_predicate({RDF_TYPE}, facts.predicate)
    classes = RaggedArray.from_pairs(facts.subject[typed], facts.object[typed], num_rows=len(facts.terms))
    facts.keep_edges(~typed)
    return np.stack([classes.rows(), classes.values], axis=1)


def links_to_literals(facts: Statements) -> None:
    """Make the objects of link predicates literals of the kind "link"."""
    links = facts.has_predicate(LINK_PREDICATES, facts.predicate)
    if not links.any():
        return
    values = pa.array([facts.terms[n] for n in facts.object[links].tolist()], type=pa.string())
    facts.kinds = [*facts.kinds, ("", "link")]
    facts.literal_subject = np.concatenate([facts.literal_subject, facts.subject[links]])
    facts.literal_predicate = np.concatenate([facts.literal_predicate, facts.predicate[links]])
    facts.literal_kind = np.concatenate(
        [facts.literal_kind, np.full(len(values), len(facts.kinds) - 1, dtype=facts.literal_kind.dtype)]
    )
    facts.literal_value = pa.chunked_array([*facts.literal_value.chunks, values], type=pa.string())
    facts.keep_edges(~links)


def drop_repeated(mapping: RdfMapping) -> None:
    """Keep each fact once."""
    facts = mapping.facts
    kept = _first_of_each(facts.subject, facts.predicate, facts.object, facts.graph)
    mapping.report.add("repeated triples", int((~kept).sum()), "stated more than once, kept once")
    facts.keep_edges(kept)
    facts.literal_value = (
        facts.literal_value.combine_chunks() if facts.literal_value.num_chunks else pa.array([], type=pa.string())
    )
    codes = pc.dictionary_encode(facts.literal_value).indices.to_numpy(zero_copy_only=False)
    kept = _first_of_each(facts.literal_subject, facts.literal_predicate, facts.literal_kind, codes)
    mapping.report.add("repeated triples", int((~kept).sum()), "stated more than once, kept once")
    if not kept.all():
        facts.keep_literals(kept)


def set_odd_literals_aside(mapping: RdfMapping) -> None:
    """Set aside the literals of predicates that have more nodes as objects."""
    facts = mapping.facts
    size = len(facts.terms) or 1
    nodes, literals = np.bincount(facts.predicate, minlength=size), np.bincount(facts.literal_predicate, minlength=size)
    odd = ((nodes > literals) & (literals > 0))[facts.literal_predicate]
    if not odd.any():
        return
    where = np.flatnonzero(odd)
    subjects, predicates = facts.literal_subject, facts.literal_predicate
    examples = first_examples(
        f"{facts.terms[subjects[i]]} {facts.terms[predicates[i]]} {facts.literal_value[int(i)].as_py()!r}"
        for i in where
    )
    mapping.report.set_aside(
        mapping.account,
        "literals where nodes are expected",
        len(where),
        "their predicate mostly has nodes as objects; set aside",
        examples,
    )
    facts.keep_literals(~odd)


def _one_schema_org(terms: list[str]) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Terms with one spelling of schema.org, and the new number of each old one."""
    number = np.arange(len(terms), dtype=np.int32)
    old = [n for n, term in enumerate(terms) if term.startswith("http://schema.org/")]
    if old:
        terms = list(terms)
        positions = {term: n for n, term in enumerate(terms)}
        for n in old:
            new = https_schema(terms[n])
            # The old spelling takes the number of the new one if that is a term, too, or else becomes it.
            number[n] = positions.get(new, n)
            if number[n] == n:
                terms[n] = new
    return terms, number


def _first_of_each(*columns: Any) -> BoolArray:
    """True for one row of each distinct combination, (n,)."""
    kept = np.ones(len(columns[0]), dtype=bool)
    if len(kept) < 2:
        return kept
    code = columns[0].astype(np.int64)
    for column in columns[1:]:
        # Combined codes are renumbered before each step, so that they never leave int64.
        values = column.astype(np.int64) - column.min()
        if int(code.max() + 1) * int(values.max() + 1) >= 2**62:
            code = np.unique(code, return_inverse=True)[1]
        code = code * (values.max() + 1) + values
    by_code = np.argsort(code, kind="stable")
    repeated = np.flatnonzero(code[by_code][1:] == code[by_code][:-1]) + 1
    kept[by_code[repeated]] = False
    return kept
