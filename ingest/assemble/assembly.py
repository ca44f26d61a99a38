"""Facts of all sources, already clean, into one `KnowledgeGraph`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.facts import Mapped, StoreNames
from ingest.people import People
from ingest.report import QualityReport
from ingest.settings import GraphSettings
from kg.arrays import IntArray, distinct
from kg.errors import ConfigError, InvalidDataError
from kg.graph import KnowledgeGraph, sort_edges
from kg.schema import (
    TITLE_ATTRIBUTES,
    Event,
    NodeType,
    PositiveRule,
    Relation,
    RelationKey,
    Schema,
    render_text,
)

PARTS = ("train", "valid", "test")


def assemble(
    settings: GraphSettings,
    report: QualityReport,
    *,
    mapped: Mapped,
    interactions: Mapping[str, Sequence[Any]],
    values: Mapping[RelationKey, Sequence[Any]],
    edges: Mapping[RelationKey, Sequence[Any]],
    attributes: Mapping[str, Sequence[Any]],
    store: StoreNames,
    strict: bool,
    people: People | None = None,
) -> KnowledgeGraph:
    """Join the facts.

    Args:
        settings: roles and overrides.
        report: findings.
        mapped: tables from RDF.
        interactions: relation -> tables of `user`, `item` (ids), perhaps `rating`, `timestamp`, `weight`,
            `part`, `value`.
        values: relation with the item at one end -> tables of `src`, `dst`, `user` (ids), such as nodes made of a
            column of events.
        edges: relation -> tables of `src`, `dst` (ids).
        attributes: node type -> tables of `id` and attributes.
        store: names in the graph database that was read.
        strict: refuse items that no source describes.
        people: who may come in, and under which name; None: everybody as they are.

    Raises:
        InvalidDataError: there are no items, or (strict) some that nothing describes.
        ConfigError: an override names what is not there.
    """
    return _Assembly(settings, report, mapped, interactions, values, edges, attributes, store, strict, people).run()


class _Assembly:
    def __init__(
        self,
        settings: GraphSettings,
        report: QualityReport,
        mapped: Mapped,
        interactions: Mapping[str, Sequence[Any]],
        values: Mapping[RelationKey, Sequence[Any]],
        edges: Mapping[RelationKey, Sequence[Any]],
        attributes: Mapping[str, Sequence[Any]],
        store: StoreNames,
        strict: bool,
        people: People | None,
    ) -> None:
        self.settings = settings
        self.report = report
        self.mapped = mapped
        self.store = store
        self.strict = strict
        self.people = people
        self.user, self.item = settings.user, settings.item
        self.attributes = {name: list(tables) for name, tables in attributes.items()}
        # Relation -> tables whose `src`, `dst` (and `user`) are ids, until `_resolve` makes them positions.
        self.named: dict[RelationKey, list[Any]] = {}
        self.events: dict[RelationKey, Event] = {}
        self.predicates: dict[RelationKey, str] = {key: e.predicate for key, e in mapped.edges.items()}
        for relation, tables in interactions.items():
            key = RelationKey(self.user, relation, self.item)
            self.named.setdefault(key, []).extend(t.rename_columns({"user": "src", "item": "dst"}) for t in tables)
            self.events[key] = Event()
        for key, tables in values.items():
            self.named.setdefault(key, []).extend(tables)
            self.events[key] = Event("user", "src" if key.source == self.item else "dst")
        for key, tables in edges.items():
            self.named.setdefault(key, []).extend(tables)
        for key in (*self.named, *mapped.edges):
            if {key.source, key.target} == {self.user, self.item} and key not in self.events:
                self.events[key] = Event() if key.source == self.user else Event("dst", "src")
        first = next(iter(interactions), None)
        self.interaction = self._interaction(first)
        self.ids: dict[str, Any] = {}
        self.repeats: dict[RelationKey, Any] = {}
        self.rdf_row: dict[str, IntArray] = {}

    def _interaction(self, first: str | None) -> RelationKey | None:
        found = [key for key in self.events if (key.source, key.target) == (self.user, self.item)]
        wanted = self.settings.interaction or first
        if wanted is not None:
            key = RelationKey(self.user, wanted, self.item)
            if key not in found:
                raise ConfigError(
                    f"graph.interaction = {wanted!r}: no source has such a relation from {self.user} to {self.item}; "
                    f"there are {', '.join(k.name for k in found) or 'none'}"
                )
            return key
        if len(found) > 1:
            raise ConfigError(
                f"several relations lead from {self.user} to {self.item} ({', '.join(sorted(k.name for k in found))}): "
                "name the one to learn in graph.interaction"
            )
        return found[0] if found else None

    def run(self) -> KnowledgeGraph:
        self._collect_ids()
        nodes = {name: self._node_table(name) for name in self.ids}
        tables = self._edge_tables()
        self._fold_reified(tables)
        schema = self._schema(nodes, tables)
        for name, node_type in schema.node_types.items():
            if node_type.text is not None:
                nodes[name] = self._with_text(node_type, nodes, tables)
        graph = KnowledgeGraph(schema, nodes, {key: tables[key] for key in schema.relations}, self.repeats)
        self._check_overrides(graph)
        if self.people is not None:
            graph = self.people.admit(graph, self.report)
        self._findings(graph)
        self.report.counts = graph.counts()
        return graph

    # Nodes

    def _collect_ids(self) -> None:
        """The ids of every node type, sorted; those that only edges name are counted."""
        described: dict[str, list[Any]] = {}
        for name, found in self.mapped.nodes.items():
            described.setdefault(name, []).append(found.table["id"].combine_chunks())
        for name, tables in self.attributes.items():
            described.setdefault(name, []).extend(table["id"].combine_chunks() for table in tables)
        mentioned: dict[str, list[tuple[bool, Any]]] = {}
        for key, tables in self.named.items():
            event = key in self.events
            for table in tables:
                mentioned.setdefault(key.source, []).append((event, table["src"]))
                mentioned.setdefault(key.target, []).append((event, table["dst"]))
                if "user" in table.column_names:
                    mentioned.setdefault(self.user, []).append((event, table["user"]))
        names = dict.fromkeys(
            [
                self.user,
                self.item,
                *[name for name in self.settings.nodes if name in described or name in mentioned],
                *sorted({*described, *mentioned}),
            ]
        )
        for name in names:
            known = _unique(described.get(name, []))
            for event in (True, False):
                others = _unique([ids for is_event, ids in mentioned.get(name, []) if is_event == event])
                # Where tables are all there is, items that only interactions name are no surprise.
                if len(known) or (name == self.item and self.mapped.nodes):
                    new = others.filter(pc.invert(pc.is_in(others, value_set=known)))
                    self._count_unknown(name, new, event)
                    others = new
                known = _unique([known, others])
            self.ids[name] = known.take(pc.sort_indices(known))
        if not len(self.ids[self.item]):
            there = ", ".join(name for name, ids in self.ids.items() if len(ids)) or "none"
            raise InvalidDataError(
                f"graph.item = {self.item!r}, but no source has such nodes; the types there are {there}"
            )

    def _count_unknown(self, name: str, new: Any, event: bool) -> None:
        if not len(new):
            return
        examples = [f"{name} {entry}" for entry in new.take(pc.sort_indices(new))[:5].to_pylist()]
        if event and name == self.item:
            if self.strict:
                raise InvalidDataError(
                    f"{len(new)} items of the interactions are in no other source and quality.strict is on: "
                    f"{', '.join(examples)}. Check graph.nodes.{name}.key"
                )
            self.report.add(
                "items the graph lacks", len(new), "kept as nodes with only their id", examples, severity="warning"
            )
        elif event and name == self.user:
            self.report.add("users the graph lacks", len(new), "kept as nodes with only their id", examples)
        else:
            self.report.add(
                "dangling references",
                len(new),
                "nodes that are named but never described; kept with the type of their predicate's other objects",
                examples,
                severity="warning",
            )

    def _node_table(self, name: str) -> Any:
        ids = self.ids[name]
        columns: dict[str, Any] = {"id": ids}
        if name in self.mapped.nodes:
            table = self.mapped.nodes[name].table
            self.rdf_row[name] = _index(table["id"], ids)
            columns |= _spread(table, ids)
        for table in self.attributes.get(name, []):
            for attribute, column in _spread(table, ids).items():
                if attribute in columns:
                    column = self._joined(name, attribute, columns[attribute], column)
                columns[attribute] = column
        return pa.table(columns)

    def _joined(self, name: str, attribute: str, first: Any, second: Any) -> Any:
        if first.type != second.type:
            if pa.types.is_nested(first.type) or pa.types.is_nested(second.type):
                raise InvalidDataError(
                    f"attribute {attribute!r} of {name} is a list in one source and not in another: rename one of them"
                )
            numbers = all(pa.types.is_integer(c.type) or pa.types.is_floating(c.type) for c in (first, second))
            common = pa.float64() if numbers else pa.string()
            first, second = first.cast(common), second.cast(common)
        if not pa.types.is_nested(first.type):
            both = pc.fill_null(pc.not_equal(first, second), False).to_numpy(zero_copy_only=False)
            examples = [
                f"{name} {self.ids[name][i]} {attribute}: {first[i].as_py()!r}, {second[i].as_py()!r}"
                for i in np.flatnonzero(both)[:5].tolist()
            ]
            self.report.add(
                "attributes that differ",
                int(both.sum()),
                "two sources disagree: the first one stands",
                examples,
                severity="warning",
            )
        return pc.coalesce(first, second)

    # Edges

    def _edge_tables(self) -> dict[RelationKey, Any]:
        """Edges by position, repeated ones removed, in canonical order."""
        parts: dict[RelationKey, list[Any]] = {}
        for key, found in self.mapped.edges.items():
            columns: dict[str, Any] = {
                "src": self.rdf_row[key.source][found.src],
                "dst": self.rdf_row[key.target][found.dst],
            }
            if found.graph is not None:
                columns["graph"] = found.graph
            parts.setdefault(key, []).append(pa.table(columns))
        for key, tables in self.named.items():
            for table in tables:
                ends = {"src": key.source, "dst": key.target, "user": self.user}
                for column, node_type in ends.items():
                    if column in table.column_names:
                        at = table.column_names.index(column)
                        index = _index(table[column], self.ids[node_type])
                        table = table.set_column(at, column, pa.array(index))
                parts.setdefault(key, []).append(table)
        return {
            key: self._without_repeats(key, pa.concat_tables(tables, promote_options="default").combine_chunks())
            for key, tables in parts.items()
        }

    def _in_order(self, table: Any) -> Any:
        """Rows of sources that list a user's items in order: `order` becomes the place among the user's rows."""
        rows = np.flatnonzero(pc.is_valid(table["order"]).to_numpy())
        user = table["src"].to_numpy()[rows]
        by_user = np.argsort(user, kind="stable")
        first = np.searchsorted(user[by_user], user[by_user])
        places = np.empty(len(rows), dtype=np.int64)
        places[by_user] = np.arange(len(rows)) - first
        order = np.full(table.num_rows, -1, dtype=np.int64)
        order[rows] = places
        return table.set_column(table.column_names.index("order"), "order", pa.array(order, mask=order < 0))

    def _without_repeats(self, key: RelationKey, table: Any) -> Any:
        """One edge a pair (or a pair and user, value or graph): the latest, then train first, then the highest.

        What users did to the same items before stays in `repeats`.
        """
        if "order" in table.column_names:
            table = self._in_order(table)
        identity = [table["src"].to_numpy(), table["dst"].to_numpy()]
        there = table.column_names
        identity += [_codes(table[name]) for name in ("user", "value", "graph") if name in there]
        preference: list[npt.NDArray[Any]] = [
            -table[name].fill_null(-np.inf).to_numpy() for name in ("weight", "rating") if name in there
        ]
        if "part" in table.column_names:
            preference.append(pc.index_in(table["part"], value_set=pa.array(PARTS)).to_numpy())
        if "timestamp" in table.column_names:
            preference.append(-table["timestamp"].fill_null(np.iinfo(np.int64).min + 1).to_numpy())
        order = np.lexsort([*preference, *reversed(identity)])
        again = np.zeros(len(order), dtype=bool)
        if len(order) > 1:
            again[1:] = np.logical_and.reduce([c[order][1:] == c[order][:-1] for c in identity])
        if again.any():
            kind = "duplicate interactions" if key in self.events else "repeated edges"
            ends = (self.user, self.item)
            rows = order[again][:5]
            examples = [
                f"{key.source} {self.ids[key.source][int(identity[0][i])].as_py()} {key.name} "
                f"{key.target} {self.ids[key.target][int(identity[1][i])].as_py()}"
                for i in rows
            ]
            self.report.add(
                kind,
                int(again.sum()),
                "the latest stands for the pair" if (key.source, key.target) == ends else "the latest is kept",
                examples,
                severity="warning" if key in self.events else "info",
            )
            if key in self.events and (key.source, key.target) == ends and "value" not in there:
                self.repeats[key] = sort_edges(table.take(pa.array(order[again])))
            table = table.take(pa.array(order[~again]))
        if key in self.events and "value" in table.column_names:
            table = table.drop_columns(["value"])
        return sort_edges(table)

    def _fold_reified(self, tables: dict[RelationKey, Any]) -> None:
        """Nodes that stand between one user and items, such as reviews and orders, are traces of users too.

        A node of several items must lead to them: items that share what only one user is linked to, such as a town,
        say nothing about that user. Their edges to the item get the user as a column and an event, so that splits
        cover them; their edges to the user say nothing more and go.
        """
        for name in [n for n in self.ids if n not in (self.user, self.item)]:
            to_user = [k for k in tables if {k.source, k.target} == {name, self.user} and k not in self.events]
            to_item = [k for k in tables if {k.source, k.target} == {name, self.item} and k not in self.events]
            if not to_user or not to_item:
                continue
            owner = np.full(len(self.ids[name]), -1, dtype=np.int64)
            ends = []
            for keys, other in ((to_user, self.user), (to_item, self.item)):
                pairs = [_pair(tables[k], k, name) for k in keys]
                ends.append(distinct(np.concatenate([p[0] * (len(self.ids[other]) or 1) + p[1] for p in pairs])))
            users_of = ends[0] // (len(self.ids[self.user]) or 1)
            items_of = ends[1] // len(self.ids[self.item])
            several = np.bincount(items_of).max(initial=0) > 1
            if np.bincount(users_of).max(initial=0) > 1 or (several and any(k.target == name for k in to_item)):
                continue
            owner[users_of] = ends[0] % (len(self.ids[self.user]) or 1)
            for key in to_item:
                mine, _ = _pair(tables[key], key, name)
                user = owner[mine]
                table = tables[key].append_column("user", pa.array(user))
                self.report.add(
                    "events of nobody",
                    int((user < 0).sum()),
                    f"{name} nodes without a {self.user}: their edges are left out",
                    severity="warning",
                )
                tables[key] = table.filter(pa.array(user >= 0))
                self.events[key] = Event("user", "dst" if key.target == self.item else "src")
            for key in to_user:
                self.report.add(
                    "user edges of events",
                    tables[key].num_rows,
                    "nodes between one user and items are traces of the user: kept as the column `user`",
                    [str(key)],
                )
                del tables[key]

    # Schema and texts

    def _schema(self, nodes: Mapping[str, Any], tables: Mapping[RelationKey, Any]) -> Schema:
        node_types = {name: self._node_type(name, nodes[name]) for name in nodes}
        relations = {}
        ordered = sorted(tables, key=lambda key: (key != self.interaction, key))
        for key in ordered:
            given = self.settings.relations.get(key.name)
            event = self.events.get(key)
            words = key.name.replace("_", " ")
            plain = event is not None or re.match(r"(has|is|was)_", key.name)
            relations[key] = Relation(
                key=key,
                cypher_type=(given.cypher_type if given else None) or self.store.types.get(key, ""),
                predicate=self.predicates.get(key),
                phrase=(given.phrase if given else None) or (words if plain else ""),
                event=event,
                properties=self.store.properties.get(key, {}),
            )
        return Schema(
            node_types=node_types,
            relations=relations,
            user_type=self.user,
            item_type=self.item,
            interaction=self.interaction,
            positive=PositiveRule.parse(self.settings.positive),
        )

    def _node_type(self, name: str, table: Any) -> NodeType:
        given = self.settings.nodes.get(name)
        inferred = self.mapped.nodes[name].type if name in self.mapped.nodes else None
        title = given.title if given else None
        if title is not None and title not in table.column_names:
            raise ConfigError(
                f"graph.nodes.{name}.title = {title!r} is no attribute; those there are {', '.join(table.column_names)}"
            )
        if title is None:
            title = (inferred.title if inferred else None) or next(
                (wanted for wanted in TITLE_ATTRIBUTES if wanted in table.column_names), None
            )
        text = given.text if given else None
        if text is None and name == self.item and title is not None:
            text = "{" + title + "}"
        rdf_class = (given.rdf_class if given else None) or (inferred.rdf_class if inferred else None)
        label = (given.label if given else None) or self.store.labels.get(name, "")
        key, key_type = self.store.keys.get(name, ("id", "string"))
        return NodeType(
            name=name,
            label=label,
            rdf_class=rdf_class,
            text=text,
            title=title,
            noun=(given.noun if given else None) or "",
            predicates=inferred.predicates if inferred else {},
            key=key,
            key_type=key_type,
        )

    def _with_text(self, node_type: NodeType, nodes: Mapping[str, Any], tables: Mapping[RelationKey, Any]) -> Any:
        """The node table with its `text`, relations of the template standing for the titles of their targets."""
        table = nodes[node_type.name]
        shown = table
        for name in dict.fromkeys(re.findall(r"\{(\w+)\}", node_type.text or "")):
            if name in table.column_names:
                continue
            keys = [key for key in tables if key.source == node_type.name and key.name == name]
            if any(key in self.events for key in keys):
                raise ConfigError(
                    f"graph.nodes.{node_type.name}.text names {name!r}, which is what users did: a text made of it "
                    "would show held-out interactions to the model; leave it out"
                )
            if not keys:
                relations = sorted({k.name for k in tables if k.source == node_type.name and k not in self.events})
                raise ConfigError(
                    f"graph.nodes.{node_type.name}.text names {name!r}; the attributes there are "
                    f"{', '.join(table.column_names)}, the relations {', '.join(relations) or 'none'}"
                )
            shown = shown.append_column(name, self._titles_of_targets(node_type.name, keys, nodes, tables))
        texts = render_text(node_type.text or "", shown)
        empty = pc.equal(texts, "")
        self.report.add(
            "empty texts",
            int(pc.sum(empty).as_py() or 0),
            f"{node_type.name} nodes whose text template renders empty",
            [f"{node_type.name} {entry}" for entry in table["id"].filter(empty)[:5].to_pylist()],
        )
        return table.append_column("text", texts)

    def _titles_of_targets(
        self, source: str, keys: list[RelationKey], nodes: Mapping[str, Any], tables: Mapping[RelationKey, Any]
    ) -> Any:
        rows, titles = [], []
        for key in keys:
            found = self._titles(key.target, nodes[key.target])
            titles.append(found.take(tables[key]["dst"].combine_chunks()))
            rows.append(tables[key]["src"].to_numpy())
        row, title = np.concatenate(rows), pa.concat_arrays(titles)
        order = np.lexsort((pc.rank(title, tiebreaker="dense").to_numpy(), row))
        counts = np.bincount(row, minlength=len(self.ids[source]))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), title.take(pa.array(order)))

    def _titles(self, name: str, table: Any) -> Any:
        title = self._node_type(name, table).title
        ids = table["id"].combine_chunks()
        if title is None:
            return ids
        column = table[title].combine_chunks()
        if pa.types.is_list(column.type):
            column = pc.list_element(pc.if_else(pc.equal(pc.list_value_length(column), 0), None, column), 0)
        return pc.coalesce(column.cast(pa.string()), ids)

    def _check_overrides(self, graph: KnowledgeGraph) -> None:
        for name in self.settings.nodes:
            if name not in graph.nodes:
                raise ConfigError(
                    f"graph.nodes.{name}: no source has such a node type; those there are {', '.join(graph.nodes)}"
                )
        names = {key.name for key in graph.edges}
        for name in self.settings.relations:
            if name not in names:
                raise ConfigError(
                    f"graph.relations.{name}: no source has such a relation; those there are {', '.join(sorted(names))}"
                )

    def _findings(self, graph: KnowledgeGraph) -> None:
        if graph.schema.interaction is None:
            return
        done = graph.interactions
        for what, index, vocabulary in (
            ("users", done.user, graph.users),
            ("items", done.item, graph.items),
        ):
            counts = np.bincount(index, minlength=len(vocabulary))
            for kind, chosen in (
                (f"{what} with one interaction", counts == 1),
                (f"{what} without interactions", counts == 0),
            ):
                rows = np.flatnonzero(chosen)
                self.report.add(
                    kind, len(rows), "kept; there is little to learn about them", vocabulary.take(rows[:5]).to_pylist()
                )
        liked = np.bincount(done.user[done.positive], minlength=len(graph.users))
        rows = np.flatnonzero((liked == 0) & (np.bincount(done.user, minlength=len(graph.users)) > 0))
        self.report.add(
            "users with no positives",
            len(rows),
            f"nothing they did counts as positive ({graph.schema.positive}); they can only be given popular items",
            graph.users.take(rows[:5]).to_pylist(),
        )


def _unique(arrays: Sequence[Any]) -> Any:
    if not arrays:
        return pa.array([], type=pa.string())
    flat = [chunk for a in arrays for chunk in (a.chunks if isinstance(a, pa.ChunkedArray) else [a])]
    return pc.unique(pa.chunked_array(flat, type=pa.string()))


def _index(values: Any, ids: Any) -> IntArray:
    """Positions of values in `ids`; all of them are there."""
    result: IntArray = pc.index_in(values, value_set=ids).to_numpy().astype(np.int64)
    return result


def _spread(table: Any, ids: Any) -> dict[str, Any]:
    """The columns of a table but its id, aligned to `ids`; null where it has no row."""
    at = pc.index_in(ids, value_set=table["id"].combine_chunks())
    return {name: table[name].combine_chunks().take(at) for name in table.column_names if name != "id"}


def _codes(column: Any) -> IntArray:
    if pa.types.is_integer(column.type):
        result: IntArray = column.fill_null(-1).to_numpy().astype(np.int64)
        return result
    codes: IntArray = (
        pc.dictionary_encode(column.combine_chunks(), null_encoding="encode").indices.to_numpy().astype(np.int64)
    )
    return codes


def _pair(table: Any, key: RelationKey, name: str) -> tuple[IntArray, IntArray]:
    """Positions of the `name` end and of the other end of each edge."""
    ends = ("src", "dst") if key.source == name else ("dst", "src")
    return table[ends[0]].to_numpy(), table[ends[1]].to_numpy()
