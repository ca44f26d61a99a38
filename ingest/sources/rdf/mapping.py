"""Triples into typed node and edge tables.

Rules, all independent of the order of the facts:

- `http://schema.org/` is read as `https://schema.org/`; repeated facts count once.
- A node lives in one table: of its classes, the first that `graph.nodes` names, else the most common one (with
  owl:Thing and the like last, ties by IRI); the other classes become the attribute `types`.
- Objects of link predicates (owl:sameAs, schema:sameAs, foaf:page, ...) are no nodes but list attributes.
- Other nodes without a class: an object goes where most typed objects of its most frequent predicate are, unless that
  is the user or item table; else into a type named after that predicate. A mere subject becomes a "resource".
- A predicate with more nodes than literals as objects is a relation; its odd literals are set aside.
- One language per text: the first of the stated order that is there ("en" takes en-GB too), else the first tag by name.
"""

from __future__ import annotations

from collections.abc import Sequence

from ingest.facts import Mapped
from ingest.report import QualityReport, SourceAccount
from ingest.settings import GraphSettings
from ingest.sources.rdf.node_types import assign_types
from ingest.sources.rdf.statements import (
    RdfMapping,
    Statements,
    drop_predicates,
    drop_repeated,
    links_to_literals,
    set_odd_literals_aside,
    take_classes,
)
from ingest.sources.rdf.tables import edge_tables, node_tables
from ingest.sources.rdf.triples import Triples


def map_triples(
    triples: Triples,
    settings: GraphSettings,
    report: QualityReport,
    source: SourceAccount,
    *,
    languages: Sequence[str] = ("en", ""),
) -> Mapped:
    """Turn triples into tables by the rules above.

    Args:
        triples: facts as integers; its arrays are released on the way.
        settings: names, classes and keys given by the user.
        report: findings.
        source: the account that set-aside facts are charged to.
        languages: order of preference of texts.
    """
    languages = [language.lower() for language in languages]
    mapping = RdfMapping(Statements.of(triples), settings, report, source, languages)
    drop_predicates(mapping)
    classes = take_classes(mapping.facts)
    links_to_literals(mapping.facts)
    drop_repeated(mapping)
    set_odd_literals_aside(mapping)
    types = assign_types(mapping, classes)
    nodes, row = node_tables(mapping, types)
    return Mapped(nodes, edge_tables(mapping, types, row))
