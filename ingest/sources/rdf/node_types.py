"""Which table each node of RDF belongs to: by its classes, else by the predicates that lead to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingest.report import first_examples
from ingest.sources.rdf.statements import RdfMapping
from ingest.sources.rdf.vocabularies import CATCH_ALL_CLASSES, https_schema
from kg.arrays import IntArray, distinct
from kg.schema import local_name, snake_case


@dataclass(frozen=True, slots=True)
class NodeTypes:
    """The node types of RDF.

    Attributes:
        names: of the types.
        type_of: position in `names` of each term, -1 where it is no node, int64 (terms,).
        classes: unique pairs of node and class, positions of terms, int64 (n, 2).
        class_names: the node type that each class gives its name to.
    """

    names: list[str]
    type_of: IntArray
    classes: IntArray
    class_names: dict[int, str]


def assign_types(mapping: RdfMapping, classes: IntArray) -> NodeTypes:
    """Find the node type of every node; `classes` are unique pairs of node and class, int64 (n, 2)."""
    facts, settings = mapping.facts, mapping.settings
    class_names = _class_names(mapping, classes)
    preferred = [settings.item, settings.user, *settings.nodes]
    count = dict(zip(*(a.tolist() for a in np.unique(classes[:, 1], return_counts=True)), strict=True))

    def preference(number: int) -> tuple[int, bool, int, str]:
        name, iri = class_names[number], facts.terms[number]
        place = preferred.index(name) if name in preferred else len(preferred)
        return place, iri in CATCH_ALL_CLASSES, -count[number], iri

    ranked = sorted(class_names, key=preference)
    order = list(dict.fromkeys(class_names[number] for number in ranked))
    rank = np.zeros(len(facts.terms) + 1, dtype=np.int64)
    rank[ranked] = np.arange(len(ranked))
    best = np.full(len(facts.terms), len(ranked), dtype=np.int64)
    np.minimum.at(best, classes[:, 0], rank[classes[:, 1]])
    code = np.array([order.index(class_names[number]) for number in ranked] + [-1], dtype=np.int64)
    type_of = code[best]

    linked = np.zeros(len(facts.terms), dtype=bool)
    linked[facts.object] = True
    subjects = np.zeros(len(facts.terms), dtype=bool)
    subjects[facts.subject] = True
    subjects[facts.literal_subject] = True
    untyped_objects = np.flatnonzero(linked & (type_of < 0))
    if len(untyped_objects):
        _assign_objects(mapping, untyped_objects, type_of, order)
    unknown = np.flatnonzero(subjects & (type_of < 0))
    if len(unknown):
        type_of[unknown] = _position_of(order, "resource")
        mapping.report.add(
            "unknown types",
            len(unknown),
            "nodes without rdf:type that nothing points to; kept as type resource",
            first_examples(facts.terms[n] for n in unknown.tolist()),
            severity="warning",
        )
    return NodeTypes(order, type_of, classes, class_names)


def _class_names(mapping: RdfMapping, classes: IntArray) -> dict[int, str]:
    """The table name of each class."""
    facts, settings = mapping.facts, mapping.settings
    configured = {https_schema(n.rdf_class): name for name, n in settings.nodes.items() if n.rdf_class}
    iris = {facts.terms[number] for number in distinct(classes[:, 1]).tolist()}
    if missing := sorted(set(configured) - iris):
        mapping.report.add(
            "classes that no node has",
            len(missing),
            f"named by rdf_class; the classes there are {', '.join(sorted(iris)[:20]) or 'none'}",
            [f"graph.nodes.{configured[iri]}.rdf_class = {iri}" for iri in missing[:5]],
            severity="warning",
        )
    names: dict[int, str] = {}
    by_name: dict[str, list[str]] = {}
    for number in distinct(classes[:, 1]).tolist():
        iri = facts.terms[number]
        names[number] = configured.get(iri) or snake_case(local_name(iri))
        by_name.setdefault(names[number], []).append(iri)
    for name, same in sorted(by_name.items()):
        if len(same) > 1:
            mapping.report.add(
                "classes of one name",
                len(same),
                "they share one table; name them apart with rdf_class",
                [f"{name}: {', '.join(sorted(same))}"],
            )
    return names


def _assign_objects(mapping: RdfMapping, untyped: IntArray, type_of: IntArray, order: list[str]) -> None:
    """Give objects without a class the type of the other objects of their most frequent predicate, or its name."""
    facts, settings = mapping.facts, mapping.settings
    size = len(facts.terms)
    objects_type = type_of[facts.object]
    open_edges = objects_type < 0
    frequency = np.bincount(facts.predicate[open_edges], minlength=size)
    predicates = sorted(distinct(facts.predicate[open_edges]).tolist(), key=lambda n: (-frequency[n], facts.terms[n]))
    position = np.full(size, len(predicates), dtype=np.int64)
    position[predicates] = np.arange(len(predicates))
    first = np.full(size, len(predicates), dtype=np.int64)
    np.minimum.at(first, facts.object[open_edges], position[facts.predicate[open_edges]])
    never = {settings.user, settings.item}
    for rank, predicate in enumerate(predicates):
        members = untyped[first[untyped] == rank]
        if not len(members):
            continue
        typed = objects_type[(facts.predicate == predicate) & (objects_type >= 0)]
        name, common = snake_case(local_name(facts.terms[predicate])), None
        if len(typed):
            counts = np.bincount(typed)
            common = order[int(counts.argmax())]
            if common in never or counts.max() * 2 < len(typed) + len(members):
                common = None
        examples = first_examples(facts.terms[n] for n in members.tolist())
        if common is None:
            name = f"{name}_reference" if name in never else name
            mapping.report.add(
                "unknown types",
                len(members),
                "objects without rdf:type; kept as nodes of a type named after their relation",
                [f"{name}: {example}" for example in examples],
                severity="warning",
            )
        else:
            name = common
            mapping.report.add(
                "dangling references",
                len(members),
                "nodes that are named but never described; kept with the type of their predicate's other objects",
                [f"{name}: {example}" for example in examples],
                severity="warning",
            )
        type_of[members] = _position_of(order, name)


def _position_of(order: list[str], name: str) -> int:
    if name not in order:
        order.append(name)
    return order.index(name)
