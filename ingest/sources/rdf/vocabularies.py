"""Terms of well-known vocabularies, and short names made of IRIs."""

from __future__ import annotations

import re

from ingest.report import QualityReport
from kg.schema import local_name, snake_case

RDF_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
LINK_PREDICATES = {
    "http://www.w3.org/2002/07/owl#sameAs",
    "https://schema.org/sameAs",
    "https://schema.org/url",
    "https://schema.org/image",
    "https://schema.org/thumbnailUrl",
    "http://www.w3.org/2000/01/rdf-schema#seeAlso",
    "http://www.w3.org/2004/02/skos/core#exactMatch",
    "http://www.w3.org/2004/02/skos/core#closeMatch",
    "http://www.w3.org/ns/prov#wasDerivedFrom",
    "http://xmlns.com/foaf/0.1/page",
    "http://xmlns.com/foaf/0.1/homepage",
    "http://xmlns.com/foaf/0.1/depiction",
    "http://xmlns.com/foaf/0.1/isPrimaryTopicOf",
    "http://dbpedia.org/ontology/thumbnail",
    "http://dbpedia.org/ontology/wikiPageExternalLink",
}
CATCH_ALL_CLASSES = {
    "http://www.w3.org/2002/07/owl#Thing",
    "http://www.w3.org/2002/07/owl#NamedIndividual",
    "http://www.w3.org/2000/01/rdf-schema#Resource",
    "https://schema.org/Thing",
}
PREFIXES = {
    "https://schema.org/": "schema",
    "http://dbpedia.org/ontology/": "dbo",
    "http://dbpedia.org/property/": "dbp",
    "http://xmlns.com/foaf/0.1/": "foaf",
    "http://purl.org/dc/terms/": "dcterms",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://www.w3.org/2000/01/rdf-schema#": "rdfs",
    "http://www.w3.org/2004/02/skos/core#": "skos",
    "http://www.w3.org/2002/07/owl#": "owl",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf",
    "http://www.wikidata.org/prop/direct/": "wdt",
}


def https_schema(iri: str) -> str:
    """An IRI of schema.org in its spelling with https."""
    return "https" + iri[4:] if iri.startswith("http://schema.org/") else iri


def unique_names(
    numbers: list[int], terms: list[str], place: str, reserved: set[str], report: QualityReport
) -> dict[int, str]:
    """Names of predicates in snake case, qualified by their vocabulary where two would be the same.

    Args:
        numbers: positions of the predicates in `terms`.
        terms: IRIs.
        place: for the report, "attributes of movie".
        reserved: names that a predicate may not have alone.
        report: findings.
    """
    names = {n: snake_case(local_name(terms[n])) for n in numbers}
    taken: dict[str, list[int]] = {}
    for number, name in names.items():
        taken.setdefault(name, []).append(number)
    for name, same in sorted(taken.items()):
        if len(same) == 1 and name not in reserved:
            continue
        for number in same:
            names[number] = _qualified(terms[number], name)
        if len({names[n] for n in same}) < len(same):
            for at, number in enumerate(sorted(same, key=lambda n: terms[n])):
                names[number] += f"_{at + 1}"
        report.add(
            "predicates of one name",
            len(same),
            "told apart by the name of their vocabulary",
            [f"{place}: " + ", ".join(sorted(f"{terms[n]} is {names[n]}" for n in same))],
        )
    return names


def _qualified(iri: str, name: str) -> str:
    """A name with the prefix of the vocabulary of its IRI, "dbo_name"."""
    namespace = iri[: len(iri.rstrip("#/:")) - len(local_name(iri))]
    prefix = PREFIXES.get(namespace)
    if prefix is None:
        parts = re.split(r"[#/:]+", namespace.strip("#/:"))
        prefix = snake_case(next((part for part in reversed(parts) if re.search(r"[A-Za-z]", part)), "other"))
    return f"{prefix}_{name}"
