"""A Neo4j database, as it was read, onto the graph's tables.

Rules, all independent of internal ids and of the order of the facts:

- A node type is a label: the one that `graph.nodes` gives the label to, else the label in snake case. A node of several
  labels lives in the table of the first: item, user, those that `graph.nodes` names, then the most common one (ties by
  name); its other labels become the attribute `types`.
- Its id is the property that `graph.nodes.<type>.key` names, else `id`, else the only property with a uniqueness
  constraint. Nodes without a value there are set aside with their relationships; nodes of one type with the same id are
  one node, with the relationships of all.
- A relation is a relationship type between two node types, named by `graph.relations`, else the type in snake case.
  Parallel relationships count once, but for what users did beside the interactions that are learned.
- Properties become attributes in snake case; names that are reserved or taken get the prefix `neo4j_`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.context import ReadingContext
from ingest.facts import StoreNames
from ingest.report import MAX_EXAMPLES, SourceAccount
from ingest.settings import GraphSettings, Neo4jEvents, Neo4jInteractions, Neo4jSource
from ingest.sources.neo4j.plan import ROLES, key_property, label_names, type_names
from ingest.sources.tables import Cleaner, Rows, to_ids
from kg.arrays import IntArray
from kg.errors import ConfigError, InvalidDataError
from kg.schema import RelationKey, snake_case
from kg.stores.neo4j.own_names import is_own

if TYPE_CHECKING:  # the driver is imported where a database is read
    from kg.stores.neo4j.read.snapshot import Snapshot

PREFIX = "p."
RESERVED = {"id", "text"}


@dataclass(slots=True)
class Neo4jTables:
    """A database as the tables that `ingest.assemble.assembly.assemble` joins.

    Attributes:
        attributes: node type -> `id` and attributes.
        interactions: place in `sources.neo4j.interactions` -> tables of `user`, `item` (ids), perhaps `rating`,
            `timestamp`, `weight`.
        values: relation -> `src`, `dst`, `user` (ids), perhaps `timestamp`, `weight`.
        edges: relation -> `src`, `dst` (ids), perhaps `rating`, `timestamp`, `weight`.
        relations: place in `sources.neo4j.interactions` -> name of the relation.
        names: how the database calls them.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    interactions: dict[int, list[Any]] = field(default_factory=dict)
    values: dict[RelationKey, Any] = field(default_factory=dict)
    edges: dict[RelationKey, Any] = field(default_factory=dict)
    relations: dict[int, str] = field(default_factory=dict)
    names: StoreNames = field(default_factory=StoreNames)


def map_snapshot(
    snapshot: Snapshot,
    source: Neo4jSource,
    graph: GraphSettings,
    context: ReadingContext,
    *,
    name: str,
) -> Neo4jTables:
    """Turn what was read into tables by the rules above; the user's own queries are not looked at.

    Args:
        snapshot: what was read.
        source: what it was asked for.
        graph: roles and names.
        context: report and limits.
        name: of the database, for messages.

    Raises:
        ConfigError: nodes have no key, or interactions and events join other nodes than users and items.
        InvalidDataError: too much cannot be used.
    """
    return _Mapping(snapshot, source, graph, context, name).run()


@dataclass(frozen=True, slots=True)
class _Links:
    """The relationships of one type between two kinds of nodes.

    Attributes:
        kind: the type.
        source, target: names of node types, or labels in between.
        src, dst: positions among all nodes.
        table: `p.<property>`.
    """

    kind: str
    source: str
    target: str
    src: IntArray
    dst: IntArray
    table: Any


class _Mapping:
    def __init__(
        self,
        snapshot: Snapshot,
        source: Neo4jSource,
        graph: GraphSettings,
        context: ReadingContext,
        name: str,
    ) -> None:
        self.snapshot = snapshot
        self.source = source
        self.graph = graph
        self.context = context
        self.report = context.report
        self.name = name
        self.through = {entry.through for entry in source.interactions if entry.through is not None}
        self.type_of = label_names([label for label in snapshot.plan.labels if label not in self.through], graph)
        self.relation_of = type_names(snapshot.plan.types, graph, source)
        self.by_type = {entry.type: (at, entry) for at, entry in enumerate(source.interactions) if entry.type}
        self.events = {entry.type: entry for entry in source.events}
        self.accounts: dict[str, SourceAccount] = {}
        self.between: dict[str, Any] = {}
        self.links_between: list[_Links] = []
        self.used: dict[str, set[str]] = {}
        self.result = Neo4jTables()

    def run(self) -> Neo4jTables:
        self._moved()
        for what, count in self.snapshot.read.get("tombstones", {}).items():
            self.report.add(
                f"{what} with a tombstone",
                count,
                f"they count as deleted: sources.neo4j.tombstone = {self.source.tombstone!r}",
            )
        self._nodes()
        placed = set()
        for kind in self.snapshot.plan.types:
            for links in self._links(kind):
                if links.source in self.between or links.target in self.between:
                    self.links_between.append(links)
                elif self._place(links):
                    placed.add(kind)
            self._tell_left_out(kind)
        for kind in (*self.by_type, *self.events):
            if kind not in placed:
                ends = "users and items" if kind in self.by_type else "items and others"
                raise ConfigError(
                    f"sources.neo4j: no {kind} relationship joins {ends}; nodes are {self.graph.user!r} (the user) and "
                    f"{self.graph.item!r} (the item) by their label, graph.nodes.X.label"
                )
        for at, entry in enumerate(self.source.interactions):
            if entry.through is not None:
                self._interactions_between(at, entry)
            key = RelationKey(self.graph.user, entry.relation or "rated", self.graph.item)
            if entry.type is None and key in self.result.edges:
                raise ConfigError(
                    f"sources.neo4j.interactions.{at} is called {key.name!r}, as the {self.result.names.types[key]} "
                    "relationships are: give it another `relation`, or name those in interactions, too"
                )
        return self.result

    def _account(self, what: str) -> SourceAccount:
        return self.report.source(f"{what} of {self.name}", "neo4j")

    def _moved(self) -> None:
        """Tell what changed in the database while it was read, and what else was not taken."""
        moved = self.snapshot.moved
        for kind, counts, explanation in (
            ("nodes deleted while reading", moved.gone, "left out with their relationships"),
            ("nodes replaced while reading", moved.reused, "left out with their relationships"),
            ("nodes added while reading", moved.new, "too late to be read: the next refresh has them"),
            ("relationships that moved while reading", moved.relationships, "left out: an end of theirs was not read"),
        ):
            for name, count in counts.items():
                self.report.add(kind, count, explanation, [f"{name}: {count}"], severity="warning")
        for name, count in moved.outside.items():
            self.report.add(
                "relationships to nodes that are not read",
                count,
                "left out: an end of theirs has none of the labels in sources.neo4j.labels",
                [f"{name}: {count}"],
            )
        for what, pairs in (("labels", moved.labels), ("relationship types", moved.types)):
            for name, (start, end) in pairs.items():
                self.report.add(
                    f"{what} whose count moved while reading",
                    start != end,
                    "the database was written to; the graph is closed in itself, and the next refresh has the rest",
                    [f"{name}: {start} at the start, {end} at the end"],
                )
        for name, count in self.snapshot.byte_arrays.items():
            self.report.add("byte arrays", count, "no attribute of the graph: left out", [f"{name}: {count}"])

    # Nodes

    def _nodes(self) -> None:
        """All nodes by internal id: what kind they are, their id, their row among their label's nodes."""
        self.kinds: list[str] = []
        nodes, kinds, ids, rows = [], [], [], []
        for label in self.snapshot.plan.labels:
            table = self.snapshot.nodes(label)
            if not table.num_rows:
                continue
            if label in self.through:
                self.between[label] = table
                self.kinds.append(label)
                found = pa.nulls(table.num_rows, pa.string())
                known = np.ones(table.num_rows, dtype=bool)
            else:
                self.kinds.append(self.type_of[label])
                found = self._node_table(label, table)
                known = found.is_valid().to_numpy(zero_copy_only=False)
            nodes.append(table["node"].to_numpy().astype(np.int64))
            kinds.append(np.where(known, len(self.kinds) - 1, -1))
            ids.append(found)
            rows.append(np.arange(table.num_rows))
        node = np.concatenate([np.zeros(0, dtype=np.int64), *nodes])
        order = np.argsort(node, kind="stable")
        self.node: IntArray = node[order]
        self.kind_of: IntArray = np.concatenate([np.zeros(0, dtype=np.int64), *kinds])[order]
        self.row_of: IntArray = np.concatenate([np.zeros(0, dtype=np.int64), *rows])[order]
        self.id_of = pa.chunked_array(ids, type=pa.string()).combine_chunks().take(pa.array(order))

    def _node_table(self, label: str, table: Any) -> Any:
        """Ids of the nodes of a label, null where they have none; their attributes go into the result."""
        name = self.type_of[label]
        key = key_property(label, name, self.snapshot.catalog, self.graph)
        account = self._account(f"(:{label})")
        account.read += table.num_rows
        column = PREFIX + key
        values = table[column].combine_chunks() if column in table.column_names else pa.nulls(table.num_rows)
        try:
            ids = to_ids(values)
        except InvalidDataError as error:
            raise InvalidDataError(
                f"the property {key} of {label} nodes: {error}; see graph.nodes.{name}.key"
            ) from error
        missing = np.flatnonzero(ids.is_null().to_numpy(zero_copy_only=False))
        if len(missing):
            self.report.set_aside(
                account,
                "missing ids",
                len(missing),
                f"nodes without {key}, which is their id; set aside with their relationships",
                [_shown(label, table, int(row)) for row in missing[:MAX_EXAMPLES]],
            )
        self.context.check(account)
        number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
        self.result.names.labels[name] = label
        self.result.names.keys[name] = (key, "integer" if number else "string")
        columns = {"id": ids, **self._attributes(label, table, key)}
        kept = pa.table(columns).filter(ids.is_valid())
        self.result.attributes[name] = self._one_row_each(kept, name)
        return ids

    def _attributes(self, label: str, table: Any, key: str) -> dict[str, Any]:
        """Properties under the names of attributes, in the order of the names, and the other labels as `types`."""
        there = [
            field.name.removeprefix(PREFIX)
            for field in table.schema
            if field.name.startswith(PREFIX)
            and not is_own(field.name.removeprefix(PREFIX))
            and not pa.types.is_null(field.type)
            and field.name != PREFIX + "id" * (key == "id")
        ]
        reserved = set(RESERVED)
        if "types" in there and table.schema.field(PREFIX + "types").type != pa.list_(pa.string()):
            reserved.add("types")
        names = self._unique_names(there, f"attributes of {label}", reserved)
        columns = {name: table[PREFIX + key].combine_chunks() for key, name in names.items()}
        types = self._other_labels(label, table)
        if types is not None and "types" in columns:
            pairs = zip(types.to_pylist(), columns["types"].to_pylist(), strict=True)
            types = pa.array([sorted({*(a or ()), *(b or ())}) or None for a, b in pairs], type=pa.list_(pa.string()))
        if types is not None:
            columns["types"] = types
        first, last = ["iri"] * ("iri" in columns), ["types"] * ("types" in columns)
        return {name: columns[name] for name in [*first, *sorted({*columns} - {"iri", "types"}), *last]}

    def _unique_names(self, properties: Sequence[str], place: str, reserved: set[str]) -> dict[str, str]:
        names = {one: snake_case(one) for one in properties}
        for name in sorted(set(names.values())):
            same = sorted(one for one in properties if names[one] == name)
            if len(same) == 1 and name not in reserved:
                continue
            for at, one in enumerate(same, start=1):
                names[one] = f"neo4j_{name}" + f"_{at}" * (len(same) > 1)
                while list(names.values()).count(names[one]) > 1:
                    names[one] += "_"
            self.report.add(
                "properties of one name",
                len(same),
                "reserved or the same in snake case: told apart by a prefix",
                [f"{place}: " + ", ".join(f"{one} is {names[one]}" for one in same)],
            )
        return names

    def _other_labels(self, label: str, table: Any) -> Any | None:
        """The labels of each node beside the one that it is read under; None when there are none."""
        labels = table["labels"].combine_chunks()
        flat = pc.list_flatten(labels)
        others = [name for name in pc.unique(flat).to_pylist() if name != label and not is_own(name)]
        kept = pc.is_in(flat, value_set=pa.array(others, type=pa.string())).to_numpy(zero_copy_only=False)
        if not kept.any():
            return None
        row = pc.list_parent_indices(labels).to_numpy()[kept]
        counts = np.bincount(row, minlength=len(labels))
        self.report.add(
            "nodes with several labels",
            int((counts > 0).sum()),
            "kept under the first label; the others are the attribute `types`",
            [_shown(":".join(labels[int(at)].as_py()), table, int(at)) for at in np.flatnonzero(counts)[:MAX_EXAMPLES]],
        )
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        # A null offset makes a null list; the last offset must stay.
        empty = np.concatenate([counts == 0, [False]])
        return pa.ListArray.from_arrays(pa.array(offsets, mask=empty), flat.filter(pa.array(kept)))

    def _one_row_each(self, table: Any, name: str) -> Any:
        """Rows of equal ids: the one whose attributes sort first stays."""
        counts = pc.value_counts(table["id"].combine_chunks())
        twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        if not len(twice):
            return table
        again = pc.is_in(table["id"], value_set=twice).to_numpy()
        rows = np.flatnonzero(again)
        shown = [
            (row["id"], repr(row), at) for at, row in zip(rows, table.take(pa.array(rows)).to_pylist(), strict=True)
        ]
        kept = ~again
        seen: set[str] = set()
        for id, _, at in sorted(shown):
            kept[at] = id not in seen
            seen.add(id)
        self.report.add(
            "nodes with the same id",
            len(rows) - len(seen),
            "taken as one node, with the attributes that sort first and the relationships of all",
            [f"{name} {id}" for id in sorted(seen)[:MAX_EXAMPLES]],
            severity="warning",
        )
        return table.filter(pa.array(kept))

    # Relationships

    def _links(self, kind: str) -> list[_Links]:
        """The relationships of a type by the kinds of nodes that they join."""
        table = self.snapshot.relationships(kind)
        account = self.accounts[kind] = self._account(f"[:{kind}]")
        account.read += table.num_rows
        if not table.num_rows or not len(self.node):
            return []
        src, dst = (np.searchsorted(self.node, table[end].to_numpy()) for end in ("source", "target"))
        loops = np.flatnonzero(src == dst)
        self.report.add("self-loops", len(loops), "relationships of a node with itself, kept", [kind])
        lost = (self.kind_of[src] < 0) | (self.kind_of[dst] < 0)
        if lost.any():
            self.report.set_aside(
                account, "relationships of nodes without an id", int(lost.sum()), "one of their ends was set aside"
            )
        self.context.check(account)
        width = len(self.kinds)
        code = np.where(lost, -1, self.kind_of[src] * width + self.kind_of[dst])
        columns = [name for name in table.column_names if name.startswith(PREFIX)]
        found = []
        for value in np.unique(code[~lost]).tolist():
            rows = np.flatnonzero(code == value)
            ends = self.kinds[value // width], self.kinds[value % width]
            part = table.select(columns).take(pa.array(rows))
            found.append(_Links(kind, *ends, src[rows], dst[rows], part))
        return found

    def _place(self, links: _Links) -> bool:
        """Put relationships where they belong; whether that is what `interactions` or `events` say of their type."""
        user, item = self.graph.user, self.graph.item
        relation = self.relation_of[links.kind]
        ends = (links.source, links.target)
        if links.kind in self.by_type and set(ends) == {user, item}:
            at, entry = self.by_type[links.kind]
            key = RelationKey(user, relation, item)
            turned = links.source == item
            self.report.add(
                "relationships turned round",
                len(links.src) if turned else 0,
                "interactions go from users to items; the Cypher of a path over them finds it in the run's own store, "
                "not in Neo4j",
                [links.kind],
            )
            who, what = (links.dst, links.src) if turned else (links.src, links.dst)
            table, properties = self._cleaned(links, {"user": who, "item": what}, ROLES, entry)
            self.result.relations[at] = relation
            self.result.interactions.setdefault(at, []).append(table)
            self._name(key, links.kind, properties)
            return True
        key = RelationKey(links.source, relation, links.target)
        if links.kind in self.events and item in ends and user not in ends:
            event = self.events[links.kind]
            columns = {"src": links.src, "dst": links.dst}
            table, properties = self._cleaned(links, columns, ROLES[1:], event, user=event.user)
            self.result.values[key] = table
            self._name(key, links.kind, properties)
            return True
        trace = set(ends) == {user, item}
        roles = ROLES if trace else ROLES[1:]
        table, properties = self._cleaned(links, {"src": links.src, "dst": links.dst}, roles, None)
        if trace and self._learned() not in (None, relation):
            # A user may do a thing twice, such as tag a movie with two words: each is a value of its own.
            table = table.append_column("value", pa.array(np.arange(table.num_rows)))
        self.result.edges[key] = table
        self._name(key, links.kind, properties)
        return False

    def _learned(self) -> str | None:
        """The relation that is learned, as far as the configuration names it."""
        if self.graph.interaction is not None or not self.source.interactions:
            return self.graph.interaction
        first = self.source.interactions[0]
        return self.relation_of[first.type] if first.type else first.relation or "rated"

    def _name(self, key: RelationKey, kind: str, properties: Mapping[str, str]) -> None:
        self.result.names.types[key] = kind
        if renamed := {column: name for column, name in properties.items() if column != name}:
            self.result.names.properties[key] = renamed

    def _cleaned(
        self,
        links: _Links,
        ends: Mapping[str, IntArray],
        roles: Sequence[str],
        entry: Neo4jInteractions | Neo4jEvents | None,
        *,
        user: str | None = None,
    ) -> tuple[Any, dict[str, str]]:
        """A table of ids at both ends and the properties that play a role; and which property plays which."""
        columns = {end: self.id_of.take(pa.array(at)) for end, at in ends.items()}
        properties = _role_properties(links.table, roles, entry)
        if user is not None:
            properties = {"user": user, **properties}
        for role, one in properties.items():
            columns[role] = links.table[PREFIX + one]
        self.used.setdefault(links.kind, set()).update(properties.values())

        def place(row: int) -> str:
            source, target = (self.id_of[int(at[row])].as_py() for at in (links.src, links.dst))
            return f"({links.source} {source})-[:{links.kind}]->({links.target} {target})"

        return self._clean(pa.table(columns), self.accounts[links.kind], place), properties

    def _clean(self, table: Any, account: SourceAccount, place: Callable[[int], str]) -> Any:
        """The rows that can be used, with numbers and times made of the properties."""
        before = account.read
        cleaner = Cleaner(Rows(table, account.name, place), self._in_seconds(table, account), self.report, account)
        account.read = before  # counted when they were looked at first
        for column in table.column_names:
            if pa.types.is_nested(table.schema.field(column).type):
                raise InvalidDataError(f"{account.name}: {column} is a list, and one value is needed")
            if column == "timestamp":
                cleaner.seconds_or_null(column, now=self.context.now)
            elif column in ROLES:
                cleaner.numbers_or_null(column)
            elif column == "user" and "item" not in table.column_names:
                cleaner.ids(column)
        self.context.check(account)
        table = cleaner.result()
        for column in ROLES:
            if column in table.column_names:
                unknown = table[column].null_count
                self.report.add(f"unknown {column}s", unknown, "the property is not there; kept", [account.name])
                if unknown == table.num_rows:
                    table = table.drop_columns([column])
        return table

    def _in_seconds(self, table: Any, account: SourceAccount) -> Any:
        """The table with its timestamps in seconds, where they are in milliseconds as Cypher's `timestamp()` gives."""
        if "timestamp" not in table.column_names or not _is_number(table.schema.field("timestamp").type):
            return table
        column = table["timestamp"]
        middle = pc.approximate_median(column).as_py()
        if middle is None or not middle / 1000 <= self.context.now < middle:
            return table
        self.report.add(
            "timestamps in milliseconds",
            table.num_rows - column.null_count,
            "later than now as seconds, and not as milliseconds: taken as those",
            [account.name],
        )
        seconds = pc.floor(pc.divide(column.cast(pa.float64()), 1000.0))
        return table.set_column(table.column_names.index("timestamp"), "timestamp", seconds)

    def _tell_left_out(self, kind: str) -> None:
        there = self.snapshot.catalog.types[kind].properties if kind in self.snapshot.catalog.types else ()
        between = {role for links in self.links_between for role in ROLES if links.kind == kind}
        left = sorted(set(there) - self.used.get(kind, set()) - between)
        self.report.add(
            "properties of relationships left out",
            len(left),
            "edges keep rating, timestamp and weight; sources.neo4j names others",
            [f"{kind}: {', '.join(left)}"],
        )

    # Nodes in between

    def _interactions_between(self, at: int, entry: Neo4jInteractions) -> None:
        """Every user that a node in between is joined to did it to every item that it is joined to."""
        label, user, item = str(entry.through), self.graph.user, self.graph.item
        users = self._joined_to(label, entry.user_type, user)
        items = self._joined_to(label, entry.item_type, item)
        if not users or not items:
            kind, end = (entry.item_type, "an item") if users else (entry.user_type, "a user")
            raise ConfigError(
                f"sources.neo4j.interactions.{at}: no {kind} relationship joins a {label} node to {end}; nodes are "
                f"{user!r} (the user) and {item!r} (the item) by their label, graph.nodes.X.label"
            )
        nodes = self.between[label]
        user_node, user_id = (np.concatenate([pair[n] for pair in users]) for n in (0, 1))
        item_node, item_id = (np.concatenate([pair[n] for pair in items]) for n in (0, 1))
        order = np.argsort(user_node, kind="stable")
        user_node, user_id = user_node[order], user_id[order]
        first = np.searchsorted(user_node, item_node, side="left")
        count = np.searchsorted(user_node, item_node, side="right") - first
        row = np.repeat(np.arange(len(item_node)), count)
        offset = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        lonely = np.setdiff1d(np.arange(nodes.num_rows), np.intersect1d(user_node, item_node))
        self.report.add(
            "nodes in between without a user or an item",
            len(lonely),
            "left out",
            [_shown(label, nodes, int(node)) for node in lonely[:MAX_EXAMPLES]],
            severity="warning",
        )
        columns = {
            "user": self.id_of.take(pa.array(user_id[first[row] + offset])),
            "item": self.id_of.take(pa.array(item_id[row])),
        }
        links = pa.concat_tables([pair[2] for pair in items], promote_options="permissive")
        values = pa.table(
            {
                **{
                    name: nodes[name].take(pa.array(item_node))
                    for name in nodes.column_names
                    if name.startswith(PREFIX)
                },
                **{name: links[name] for name in links.column_names if not pa.types.is_null(links[name].type)},
            }
        )
        properties = _role_properties(values, ROLES, entry)
        for role, one in properties.items():
            columns[role] = values[PREFIX + one].take(pa.array(row))
        account = self._account(f"(:{label}) in between")
        account.read += len(row)

        def place(at: int) -> str:
            return _shown(label, nodes, int(item_node[row[at]]))

        self.result.relations[at] = entry.relation or "rated"
        self.result.interactions[at] = [self._clean(pa.table(columns), account, place)]
        self.report.add(
            "interactions from nodes in between",
            len(row),
            "the Cypher of a path over them finds it in the run's own store, not in Neo4j",
            [f"{label} is {self.result.relations[at]}"],
        )

    def _joined_to(self, label: str, kind: str | None, node_type: str) -> list[tuple[IntArray, IntArray, Any]]:
        """Rows of the nodes in between, positions of the others, and properties of what joins them."""
        found = []
        for links in self.links_between:
            if links.kind != kind or {links.source, links.target} != {label, node_type}:
                continue
            mine, other = (links.src, links.dst) if links.source == label else (links.dst, links.src)
            found.append((self.row_of[mine], other, links.table))
        return found


def _role_properties(table: Any, roles: Sequence[str], entry: Neo4jInteractions | Neo4jEvents | None) -> dict[str, str]:
    """Which property plays which role: the one that is named, else the one of that name if it fits."""
    found = {}
    for role in roles:
        named = getattr(entry, role, None)
        column = PREFIX + (named or role)
        if column not in table.column_names:
            continue
        kind = table.schema.field(column).type
        fits = _is_number(kind) or (role == "timestamp" and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)))
        if named is not None or fits:
            found[role] = named or role
    return found


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _shown(label: str, table: Any, row: int) -> str:
    """A node for a person: its label and its first properties."""
    values = {
        name.removeprefix(PREFIX): table[name][row].as_py() for name in table.column_names if name.startswith(PREFIX)
    }
    filled = [f"{name}: {str(value)[:40]!r}" for name, value in values.items() if value is not None]
    return f"(:{label} {{{', '.join(filled[:3])}}})"
