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

import re
from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.facts import EdgeTable, Mapped, NodeTable
from ingest.report import MAX_EXAMPLES, QualityReport, SourceAccount
from ingest.settings import GraphSettings
from ingest.sources.rdf.reader import Triples
from kg.arrays import IntArray, distinct
from kg.schema import TITLE_ATTRIBUTES, NodeType, RelationKey, local_name, snake_case

BoolArray = npt.NDArray[np.bool_]

RDF_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
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
OWN_ATTRIBUTES = {"id", "text", "types", "iri"}


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
    mapping = _Mapping(triples, settings, report, source, list(languages))
    return mapping.run()


class _Mapping:
    def __init__(
        self,
        triples: Triples,
        settings: GraphSettings,
        report: QualityReport,
        source: SourceAccount,
        languages: list[str],
    ) -> None:
        self.settings = settings
        self.report = report
        self.source = source
        self.languages = [language.lower() for language in languages]
        self.kinds = triples.kinds
        self.terms, number = _one_schema_org(triples.terms)
        self.s, self.p, self.o = (number[a] for a in (triples.subject, triples.predicate, triples.object))
        self.ls, self.lp = number[triples.literal_subject], number[triples.literal_predicate]
        self.lk, self.lv = triples.literal_kind, triples.literal_value
        self.g = np.where(triples.graph >= 0, number[triples.graph], -1) if len(triples.graph) else triples.graph
        self._predicates = distinct(np.concatenate([self.p, self.lp]))

    def run(self) -> Mapped:
        self._drop()
        classes = self._take_classes()
        self._take_links()
        self._drop_duplicates()
        self._drop_odd_literals()
        names = self._class_names(classes)
        table_of, order = self._assign(classes, names)
        return self._tables(table_of, order, classes, names)

    def _where(self, iris: set[str] | Sequence[str], predicates: Any) -> BoolArray:
        wanted = [n for n in self._predicates.tolist() if self.terms[n] in iris]
        return np.isin(predicates, np.array(wanted, dtype=predicates.dtype))

    def _filter_edges(self, kept: BoolArray) -> None:
        self.s, self.p, self.o, self.g = (a[kept] for a in (self.s, self.p, self.o, self.g))

    def _filter_literals(self, kept: BoolArray) -> None:
        self.ls, self.lp, self.lk = (a[kept] for a in (self.ls, self.lp, self.lk))
        self.lv = self.lv.filter(pa.array(kept))

    def _drop(self) -> None:
        if not self.settings.drop:
            return
        dropped = {_https_schema(iri) for iri in self.settings.drop}
        edges, literals = self._where(dropped, self.p), self._where(dropped, self.lp)
        count = int(edges.sum() + literals.sum())
        self.report.add("dropped predicates", count, "facts left out as graph.drop says", _few(dropped))
        self._filter_edges(~edges)
        self._filter_literals(~literals)

    def _take_classes(self) -> IntArray:
        """Remove rdf:type facts and return them as unique pairs (node, class), (n, 2)."""
        typed = self._where({RDF_TYPE}, self.p)
        pairs = np.stack([self.s[typed], self.o[typed]], axis=1).astype(np.int64)
        self._filter_edges(~typed)
        width = np.int64(len(self.terms) or 1)
        codes = distinct(pairs[:, 0] * width + pairs[:, 1])
        return np.stack([codes // width, codes % width], axis=1)

    def _take_links(self) -> None:
        links = self._where(LINK_PREDICATES, self.p)
        if not links.any():
            return
        values = pa.array([self.terms[n] for n in self.o[links].tolist()], type=pa.string())
        self.kinds = [*self.kinds, ("", "link")]
        self.ls = np.concatenate([self.ls, self.s[links]])
        self.lp = np.concatenate([self.lp, self.p[links]])
        self.lk = np.concatenate([self.lk, np.full(len(values), len(self.kinds) - 1, dtype=self.lk.dtype)])
        self.lv = pa.chunked_array([*self.lv.chunks, values], type=pa.string())
        self._filter_edges(~links)

    def _drop_duplicates(self) -> None:
        kept = _first_of_each(self.s, self.p, self.o, self.g)
        self.report.add("repeated triples", int((~kept).sum()), "stated more than once, kept once")
        self._filter_edges(kept)
        self.lv = self.lv.combine_chunks() if self.lv.num_chunks else pa.array([], type=pa.string())
        codes = pc.dictionary_encode(self.lv).indices.to_numpy(zero_copy_only=False)
        kept = _first_of_each(self.ls, self.lp, self.lk, codes)
        self.report.add("repeated triples", int((~kept).sum()), "stated more than once, kept once")
        if not kept.all():
            self._filter_literals(kept)

    def _drop_odd_literals(self) -> None:
        size = len(self.terms) or 1
        nodes, literals = np.bincount(self.p, minlength=size), np.bincount(self.lp, minlength=size)
        odd = ((nodes > literals) & (literals > 0))[self.lp]
        if not odd.any():
            return
        where = np.flatnonzero(odd)
        examples = _few(f"{self.terms[self.ls[i]]} {self.terms[self.lp[i]]} {self.lv[int(i)].as_py()!r}" for i in where)
        self.report.set_aside(
            self.source,
            "literals where nodes are expected",
            len(where),
            "their predicate mostly has nodes as objects; set aside",
            examples,
        )
        self._filter_literals(~odd)

    def _class_names(self, classes: IntArray) -> dict[int, str]:
        """The table name of each class."""
        given = {_https_schema(n.rdf_class): name for name, n in self.settings.nodes.items() if n.rdf_class}
        there = {self.terms[number] for number in distinct(classes[:, 1]).tolist()}
        if missing := sorted(set(given) - there):
            self.report.add(
                "classes that no node has",
                len(missing),
                f"named by rdf_class; the classes there are {', '.join(sorted(there)[:20]) or 'none'}",
                [f"graph.nodes.{given[iri]}.rdf_class = {iri}" for iri in missing[:5]],
                severity="warning",
            )
        names: dict[int, str] = {}
        by_name: dict[str, list[str]] = {}
        for number in distinct(classes[:, 1]).tolist():
            iri = self.terms[number]
            names[number] = given.get(iri) or snake_case(local_name(iri))
            by_name.setdefault(names[number], []).append(iri)
        for name, iris in sorted(by_name.items()):
            if len(iris) > 1:
                self.report.add(
                    "classes of one name",
                    len(iris),
                    "they share one table; name them apart with rdf_class",
                    [f"{name}: {', '.join(sorted(iris))}"],
                )
        return names

    def _assign(self, classes: IntArray, names: dict[int, str]) -> tuple[IntArray, list[str]]:
        """The table of every term (-1: no node) and the tables' names."""
        asked = [self.settings.item, self.settings.user, *self.settings.nodes]
        count = dict(zip(*(a.tolist() for a in np.unique(classes[:, 1], return_counts=True)), strict=True))

        def preference(number: int) -> tuple[int, bool, int, str]:
            name, iri = names[number], self.terms[number]
            place = asked.index(name) if name in asked else len(asked)
            return place, iri in CATCH_ALL_CLASSES, -count[number], iri

        ranked = sorted(names, key=preference)
        order = list(dict.fromkeys(names[number] for number in ranked))
        rank = np.zeros(len(self.terms) + 1, dtype=np.int64)
        rank[ranked] = np.arange(len(ranked))
        best = np.full(len(self.terms), len(ranked), dtype=np.int64)
        np.minimum.at(best, classes[:, 0], rank[classes[:, 1]])
        code = np.array([order.index(names[number]) for number in ranked] + [-1], dtype=np.int64)
        table_of = code[best]

        linked = np.zeros(len(self.terms), dtype=bool)
        linked[self.o] = True
        subjects = np.zeros(len(self.terms), dtype=bool)
        subjects[self.s] = True
        subjects[self.ls] = True
        untyped_objects = np.flatnonzero(linked & (table_of < 0))
        if len(untyped_objects):
            self._assign_objects(untyped_objects, table_of, order)
        lost = np.flatnonzero(subjects & (table_of < 0))
        if len(lost):
            table_of[lost] = _position(order, "resource")
            self.report.add(
                "unknown types",
                len(lost),
                "nodes without rdf:type that nothing points to; kept as type resource",
                _few(self.terms[n] for n in lost.tolist()),
                severity="warning",
            )
        return table_of, order

    def _assign_objects(self, untyped: IntArray, table_of: IntArray, order: list[str]) -> None:
        size = len(self.terms)
        objects_type = table_of[self.o]
        open_edges = objects_type < 0
        frequency = np.bincount(self.p[open_edges], minlength=size)
        predicates = sorted(distinct(self.p[open_edges]).tolist(), key=lambda n: (-frequency[n], self.terms[n]))
        position = np.full(size, len(predicates), dtype=np.int64)
        position[predicates] = np.arange(len(predicates))
        first = np.full(size, len(predicates), dtype=np.int64)
        np.minimum.at(first, self.o[open_edges], position[self.p[open_edges]])
        never = {self.settings.user, self.settings.item}
        for rank, predicate in enumerate(predicates):
            members = untyped[first[untyped] == rank]
            if not len(members):
                continue
            typed = objects_type[(self.p == predicate) & (objects_type >= 0)]
            name, common = snake_case(local_name(self.terms[predicate])), None
            if len(typed):
                counts = np.bincount(typed)
                common = order[int(counts.argmax())]
                if common in never or counts.max() * 2 < len(typed) + len(members):
                    common = None
            examples = _few(self.terms[n] for n in members.tolist())
            if common is None:
                name = f"{name}_reference" if name in never else name
                self.report.add(
                    "unknown types",
                    len(members),
                    "objects without rdf:type; kept as nodes of a type named after their relation",
                    [f"{name}: {example}" for example in examples],
                    severity="warning",
                )
            else:
                name = common
                self.report.add(
                    "dangling references",
                    len(members),
                    "nodes that are named but never described; kept with the type of their predicate's other objects",
                    [f"{name}: {example}" for example in examples],
                    severity="warning",
                )
            table_of[members] = _position(order, name)

    def _tables(self, table_of: IntArray, order: list[str], classes: IntArray, names: dict[int, str]) -> Mapped:
        result = Mapped()
        row = np.full(len(self.terms), -1, dtype=np.int64)
        literal_table = table_of[self.ls]
        for code, name in enumerate(order):
            members = np.flatnonzero(table_of == code)
            if not len(members):
                continue
            row[members] = np.arange(len(members))
            picked = np.flatnonzero(literal_table == code)
            result.nodes[name] = self._node_table(name, members, row, picked, classes, names)
        self._edge_tables(result, table_of, order, row)
        return result

    def _node_table(
        self, name: str, members: IntArray, row: IntArray, picked: IntArray, classes: IntArray, names: dict[int, str]
    ) -> NodeTable:
        iris = pa.array([self.terms[n] for n in members.tolist()], type=pa.string())
        predicate_of = self.lp[picked]
        by_predicate = np.argsort(predicate_of, kind="stable")
        predicates, starts = np.unique(predicate_of[by_predicate], return_index=True)
        groups = (
            dict(zip(predicates.tolist(), np.split(picked[by_predicate], starts[1:]), strict=True))
            if len(picked)
            else {}
        )
        ids, columns = self._keys(name, iris, groups, row), {}
        if not ids.equals(iris):
            columns["iri"] = iris
        attribute_names = self._unique_names(list(groups), f"attributes of {name}", OWN_ATTRIBUTES)
        for predicate in sorted(groups, key=lambda n: attribute_names[n]):
            column = self._column(groups[predicate], row, len(members), attribute_names[predicate])
            if column is not None:
                columns[attribute_names[predicate]] = column
        if (types := self._other_types(name, members, row, classes, names)) is not None:
            columns["types"] = types
        given = self.settings.nodes.get(name)
        rdf_class = given.rdf_class if given and given.rdf_class else self._main_class(name, classes, names)
        title = next(
            (
                attribute_names[n]
                for wanted in TITLE_ATTRIBUTES
                for n in sorted(groups, key=lambda n: self.terms[n])
                if local_name(self.terms[n]) == wanted and attribute_names[n] in columns
            ),
            None,
        )
        sources = {attribute_names[n]: self.terms[n] for n in groups if attribute_names[n] in columns}
        node_type = NodeType(name=name, rdf_class=rdf_class, title=title, predicates=dict(sorted(sources.items())))
        return NodeTable(node_type, pa.table({"id": ids, **columns}))

    def _main_class(self, name: str, classes: IntArray, names: dict[int, str]) -> str | None:
        numbers, counts = np.unique(classes[:, 1], return_counts=True)
        mine = [(-c, self.terms[n]) for n, c in zip(numbers.tolist(), counts.tolist(), strict=True) if names[n] == name]
        return min(mine)[1] if mine else None

    def _other_types(
        self, name: str, members: IntArray, row: IntArray, classes: IntArray, names: dict[int, str]
    ) -> Any | None:
        """The classes of each node beside the one that gave the table its name; None when there are none."""
        foreign = np.array([names[n] != name for n in classes[:, 1].tolist()], dtype=bool)
        inside = np.zeros(len(self.terms), dtype=bool)
        inside[members] = True
        pairs = classes[foreign & inside[classes[:, 0]]] if len(classes) else classes
        if not len(pairs):
            return None
        values = np.array([self.terms[n] for n in pairs[:, 1].tolist()], dtype=object)
        return _lists(row[pairs[:, 0]], pa.array(values, type=pa.string()), len(members))

    def _keys(self, name: str, iris: Any, groups: Mapping[int, IntArray], row: IntArray) -> Any:
        """External ids of the nodes of one table."""
        settings = self.settings.nodes.get(name)
        key = settings.key if settings else "id"
        if key == "id":
            return iris
        if "{id}" in key:
            head, tail = (_https_schema(part) if at == 0 else part for at, part in enumerate(key.split("{id}", 1)))
            pattern = re.compile(re.escape(head) + "(.+)" + re.escape(tail))
            found = [match and unquote(match[1]) for match in map(pattern.fullmatch, iris.to_pylist())]
        else:
            found = [None] * len(iris)
            predicate = next((n for n in groups if self.terms[n] == _https_schema(key)), None)
            if predicate is not None:
                at = groups[predicate]
                rows, values = row[self.ls[at]].tolist(), self.lv.take(pa.array(at)).to_pylist()
                for node, value in sorted(zip(rows, values, strict=True), reverse=True):
                    found[node] = value.strip() or None
        return self._unique_ids(name, key, iris.to_pylist(), found)

    def _unique_ids(self, name: str, key: str, iris: list[str], found: list[Any]) -> Any:
        """Keys where they are there and unique; the IRI for the others."""
        missing = [iri for iri, value in zip(iris, found, strict=True) if value is None]
        self.report.add(
            "nodes without a key",
            len(missing),
            f"{name} nodes that graph.nodes.{name}.key does not reach keep their IRI",
            _few(missing),
            severity="warning",
        )
        taken: dict[str, str] = {}
        collisions = []
        ids = list(iris)
        for at in sorted(range(len(iris)), key=iris.__getitem__):
            value = found[at]
            if value is None:
                continue
            if value in taken:
                collisions.append(f"{key} {value!r}: {taken[value]} and {iris[at]}")
            else:
                taken[value] = iris[at]
                ids[at] = value
        self.report.add(
            "key collisions",
            len(collisions),
            "nodes of one type with the same key: the first IRI in order takes it, the others keep their IRI",
            collisions,
            severity="warning",
        )
        return pa.array(ids, type=pa.string())

    def _column(self, picked: IntArray, row: IntArray, size: int, name: str) -> Any | None:
        """One attribute of one node type: a plain column, or lists when a node has several values."""
        rows, kinds = row[self.ls[picked]], self.lk[picked]
        values = self.lv.take(pa.array(picked))
        if any(self.kinds[n][0] for n in np.unique(kinds).tolist()):
            kept = self._best_language(rows, kinds, size)
            rows, kinds, values = rows[kept], kinds[kept], values.filter(pa.array(kept))
        typed, bad = _typed(values, kinds, self.kinds)
        if bad.any():
            where = np.flatnonzero(bad)
            examples = _few(f"{self.terms[self.ls[picked[i]]]} {name} {values[int(i)].as_py()!r}" for i in where)
            self.report.set_aside(
                self.source, "unparsable literals", len(where), "do not fit their datatype; set aside", examples
            )
            rows, typed = rows[~bad], typed.filter(pa.array(~bad))
        if not len(rows):
            return None
        if np.bincount(rows, minlength=size).max() > 1:
            return _lists(rows, typed, size)
        position = np.full(size, -1, dtype=np.int64)
        position[rows] = np.arange(len(rows))
        return typed.take(pa.array(position, mask=position < 0))

    def _best_language(self, rows: IntArray, kinds: Any, size: int) -> BoolArray:
        tags = sorted({tag for tag, _ in self.kinds})
        rank = {tag: _language_rank(tag, self.languages) for tag in tags}
        ordered = sorted(tags, key=lambda tag: (rank[tag], tag))
        place = np.array([ordered.index(tag) for tag, _ in self.kinds], dtype=np.int64)[kinds]
        best = np.full(size, len(ordered), dtype=np.int64)
        np.minimum.at(best, rows, place)
        result: BoolArray = place == best[rows]
        self.report.add("texts in other languages", int((~result).sum()), "left out: one language is kept per text")
        return result

    def _unique_names(self, numbers: list[int], place: str, reserved: set[str]) -> dict[int, str]:
        """Snake-case names of predicates, qualified by their vocabulary where two would be the same."""
        names = {n: snake_case(local_name(self.terms[n])) for n in numbers}
        taken: dict[str, list[int]] = {}
        for number, name in names.items():
            taken.setdefault(name, []).append(number)
        for name, same in sorted(taken.items()):
            if len(same) == 1 and name not in reserved:
                continue
            for number in same:
                names[number] = _qualified(self.terms[number], name)
            if len({names[n] for n in same}) < len(same):
                for at, number in enumerate(sorted(same, key=lambda n: self.terms[n])):
                    names[number] += f"_{at + 1}"
            self.report.add(
                "predicates of one name",
                len(same),
                "told apart by the name of their vocabulary",
                [f"{place}: " + ", ".join(sorted(f"{self.terms[n]} is {names[n]}" for n in same))],
            )
        return names

    def _edge_tables(self, result: Mapped, table_of: IntArray, order: list[str], row: IntArray) -> None:
        if not len(self.s):
            return
        width = np.int64(len(order))
        predicates, compact = np.unique(self.p, return_inverse=True)
        code = (compact.astype(np.int64) * width + table_of[self.s]) * width + table_of[self.o]
        by_relation = np.argsort(code, kind="stable")
        codes, starts = np.unique(code[by_relation], return_index=True)
        groups = list(zip(codes.tolist(), np.split(by_relation, starts[1:]), strict=True))
        pairs: dict[tuple[int, int], list[tuple[int, IntArray]]] = {}
        for value, rows in groups:
            both, target = divmod(value, int(width))
            predicate, source = divmod(both, int(width))
            pairs.setdefault((source, target), []).append((int(predicates[predicate]), rows))
        for (source, target), members in sorted(pairs.items()):
            names = self._unique_names(
                [n for n, _ in members], f"relations from {order[source]} to {order[target]}", set()
            )
            for predicate, rows in members:
                key = RelationKey(order[source], names[predicate], order[target])
                graphs = None
                if (self.g[rows] >= 0).any():
                    graphs = pa.array([self.terms[n] if n >= 0 else None for n in self.g[rows].tolist()], pa.string())
                result.edges[key] = EdgeTable(self.terms[predicate], row[self.s[rows]], row[self.o[rows]], graphs)


def _few(examples: Iterable[str]) -> list[str]:
    """The first examples in order, so that which ones are shown does not hang on the order of the facts."""
    return nsmallest(MAX_EXAMPLES, examples)


def _one_schema_org(terms: list[str]) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Terms with one spelling of schema.org, and the new number of each old one."""
    number = np.arange(len(terms), dtype=np.int32)
    old = [n for n, term in enumerate(terms) if term.startswith("http://schema.org/")]
    if old:
        terms = list(terms)
        positions = {term: n for n, term in enumerate(terms)}
        for n in old:
            new = _https_schema(terms[n])
            # The old spelling's number either goes over to a known term or becomes the new spelling itself.
            number[n] = positions.get(new, n)
            if number[n] == n:
                terms[n] = new
    return terms, number


def _https_schema(iri: str) -> str:
    return "https" + iri[4:] if iri.startswith("http://schema.org/") else iri


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


def _position(order: list[str], name: str) -> int:
    if name not in order:
        order.append(name)
    return order.index(name)


def _qualified(iri: str, name: str) -> str:
    namespace = iri[: len(iri.rstrip("#/:")) - len(local_name(iri))]
    prefix = PREFIXES.get(namespace)
    if prefix is None:
        parts = re.split(r"[#/:]+", namespace.strip("#/:"))
        prefix = snake_case(next((part for part in reversed(parts) if re.search(r"[A-Za-z]", part)), "other"))
    return f"{prefix}_{name}"


def _language_rank(tag: str, wanted: list[str]) -> tuple[int, int]:
    """Position in the stated order; an exact tag before a regional one; unlisted tags last."""
    if tag in wanted:
        return wanted.index(tag), 0
    for at, language in enumerate(wanted):
        if language and tag.startswith(language + "-"):
            return at, 1
    return len(wanted), 0


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


def _lists(rows: IntArray, values: Any, size: int) -> Any:
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
