"""Node and edge tables of RDF."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from ingest.facts import EdgeTable, NodeTable
from ingest.report import QualityReport, first_examples
from ingest.sources.rdf.literals import lists_by_row, literal_column
from ingest.sources.rdf.node_types import NodeTypes
from ingest.sources.rdf.statements import RdfMapping, Statements
from ingest.sources.rdf.vocabularies import https_schema, unique_names
from kg.arrays import IntArray
from kg.schema import TITLE_ATTRIBUTES, NodeType, RelationKey, local_name

OWN_ATTRIBUTES = {"id", "text", "types", "iri"}


def node_tables(mapping: RdfMapping, types: NodeTypes) -> tuple[dict[str, NodeTable], IntArray]:
    """The table of every node type, and the row of each term in its table (-1 for none), int64 (terms,)."""
    facts = mapping.facts
    row = np.full(len(facts.terms), -1, dtype=np.int64)
    type_of_literal = types.type_of[facts.literal_subject]
    tables = {}
    for code, name in enumerate(types.names):
        members = np.flatnonzero(types.type_of == code)
        if len(members):
            row[members] = np.arange(len(members))
            picked = np.flatnonzero(type_of_literal == code)
            tables[name] = _node_table(mapping, types, name, members, picked, row)
    return tables, row


def edge_tables(mapping: RdfMapping, types: NodeTypes, row: IntArray) -> dict[RelationKey, EdgeTable]:
    """The table of every relation: a predicate between two node types; `row` is what `node_tables` gives."""
    facts = mapping.facts
    tables: dict[RelationKey, EdgeTable] = {}
    order = types.names
    if not len(facts.subject):
        return tables
    width = np.int64(len(order))
    predicates, compact = np.unique(facts.predicate, return_inverse=True)
    code = (compact.astype(np.int64) * width + types.type_of[facts.subject]) * width + types.type_of[facts.object]
    by_relation = np.argsort(code, kind="stable")
    codes, starts = np.unique(code[by_relation], return_index=True)
    groups = list(zip(codes.tolist(), np.split(by_relation, starts[1:]), strict=True))
    pairs: dict[tuple[int, int], list[tuple[int, IntArray]]] = {}
    for value, rows in groups:
        both, target = divmod(value, int(width))
        predicate, source = divmod(both, int(width))
        pairs.setdefault((source, target), []).append((int(predicates[predicate]), rows))
    for (source, target), members in sorted(pairs.items()):
        names = unique_names(
            [n for n, _ in members],
            facts.terms,
            f"relations from {order[source]} to {order[target]}",
            set(),
            mapping.report,
        )
        for predicate, rows in members:
            key = RelationKey(order[source], names[predicate], order[target])
            graphs = None
            if (facts.graph[rows] >= 0).any():
                graphs = pa.array([facts.terms[n] if n >= 0 else None for n in facts.graph[rows].tolist()], pa.string())
            tables[key] = EdgeTable(facts.terms[predicate], row[facts.subject[rows]], row[facts.object[rows]], graphs)
    return tables


def _node_table(
    mapping: RdfMapping, types: NodeTypes, name: str, members: IntArray, picked: IntArray, row: IntArray
) -> NodeTable:
    """The nodes `members` with their `picked` literals as a table."""
    facts = mapping.facts
    iris = pa.array([facts.terms[n] for n in members.tolist()], type=pa.string())
    predicate_of = facts.literal_predicate[picked]
    by_predicate = np.argsort(predicate_of, kind="stable")
    predicates, starts = np.unique(predicate_of[by_predicate], return_index=True)
    groups = (
        dict(zip(predicates.tolist(), np.split(picked[by_predicate], starts[1:]), strict=True)) if len(picked) else {}
    )
    ids, columns = _keys(mapping, name, iris, groups, row), {}
    if not ids.equals(iris):
        columns["iri"] = iris
    attribute_names = unique_names(list(groups), facts.terms, f"attributes of {name}", OWN_ATTRIBUTES, mapping.report)
    for predicate in sorted(groups, key=lambda n: attribute_names[n]):
        column = literal_column(mapping, groups[predicate], row, len(members), attribute_names[predicate])
        if column is not None:
            columns[attribute_names[predicate]] = column
    if (others := _other_classes(name, members, row, facts, types)) is not None:
        columns["types"] = others
    override = mapping.settings.nodes.get(name)
    rdf_class = override.rdf_class if override and override.rdf_class else _main_class(name, facts, types)
    title = next(
        (
            attribute_names[n]
            for attribute in TITLE_ATTRIBUTES
            for n in sorted(groups, key=lambda n: facts.terms[n])
            if local_name(facts.terms[n]) == attribute and attribute_names[n] in columns
        ),
        None,
    )
    sources = {attribute_names[n]: facts.terms[n] for n in groups if attribute_names[n] in columns}
    node_type = NodeType(name=name, rdf_class=rdf_class, title=title, predicates=dict(sorted(sources.items())))
    return NodeTable(node_type, pa.table({"id": ids, **columns}))


def _main_class(name: str, facts: Statements, types: NodeTypes) -> str | None:
    """The class that most nodes of a type have."""
    numbers, counts = np.unique(types.classes[:, 1], return_counts=True)
    candidates = [
        (-c, facts.terms[n])
        for n, c in zip(numbers.tolist(), counts.tolist(), strict=True)
        if types.class_names[n] == name
    ]
    return min(candidates)[1] if candidates else None


def _other_classes(name: str, members: IntArray, row: IntArray, facts: Statements, types: NodeTypes) -> Any | None:
    """The classes of each node beside the one that gave the table its name; None when there are none."""
    classes = types.classes
    foreign = np.array([types.class_names[n] != name for n in classes[:, 1].tolist()], dtype=bool)
    inside = np.zeros(len(facts.terms), dtype=bool)
    inside[members] = True
    pairs = classes[foreign & inside[classes[:, 0]]] if len(classes) else classes
    if not len(pairs):
        return None
    values = np.array([facts.terms[n] for n in pairs[:, 1].tolist()], dtype=object)
    return lists_by_row(row[pairs[:, 0]], pa.array(values, type=pa.string()), len(members))


def _keys(mapping: RdfMapping, name: str, iris: Any, groups: Mapping[int, IntArray], row: IntArray) -> Any:
    """External ids of the nodes of one table."""
    facts, override = mapping.facts, mapping.settings.nodes.get(name)
    key = override.key if override else "id"
    if key == "id":
        return iris
    if "{id}" in key:
        head, tail = (https_schema(part) if at == 0 else part for at, part in enumerate(key.split("{id}", 1)))
        pattern = re.compile(re.escape(head) + "(.+)" + re.escape(tail))
        keys = [match and unquote(match[1]) for match in map(pattern.fullmatch, iris.to_pylist())]
    else:
        keys = [None] * len(iris)
        predicate = next((n for n in groups if facts.terms[n] == https_schema(key)), None)
        if predicate is not None:
            at = groups[predicate]
            rows, values = row[facts.literal_subject[at]].tolist(), facts.literal_value.take(pa.array(at)).to_pylist()
            for node, value in sorted(zip(rows, values, strict=True), reverse=True):
                keys[node] = value.strip() or None
    return _unique_ids(name, key, iris.to_pylist(), keys, mapping.report)


def _unique_ids(name: str, key: str, iris: list[str], keys: list[Any], report: QualityReport) -> Any:
    """Keys where they are there and unique; the IRI for the others."""
    missing = [iri for iri, value in zip(iris, keys, strict=True) if value is None]
    report.add(
        "nodes without a key",
        len(missing),
        f"{name} nodes that graph.nodes.{name}.key does not reach keep their IRI",
        first_examples(missing),
        severity="warning",
    )
    taken: dict[str, str] = {}
    collisions = []
    ids = list(iris)
    for at in sorted(range(len(iris)), key=iris.__getitem__):
        value = keys[at]
        if value is None:
            continue
        if value in taken:
            collisions.append(f"{key} {value!r}: {taken[value]} and {iris[at]}")
        else:
            taken[value] = iris[at]
            ids[at] = value
    report.add(
        "key collisions",
        len(collisions),
        "nodes of one type with the same key: the first IRI in order takes it, the others keep their IRI",
        collisions,
        severity="warning",
    )
    return pa.array(ids, type=pa.string())
