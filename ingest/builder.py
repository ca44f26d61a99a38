"""Facts from files and from memory into one graph: `GraphBuilder`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.assemble import assemble
from ingest.context import ReadingContext
from ingest.facts import Facts, Mapped
from ingest.people import People
from ingest.report import QualityReport, SourceAccount
from ingest.settings import (
    EdgeColumns,
    EventColumns,
    GraphSettings,
    InteractionColumns,
    Neo4jSource,
    QualitySettings,
)
from ingest.sources.neo4j.mapping import map_snapshot
from ingest.sources.neo4j.mentions import snapshot_mentions
from ingest.sources.neo4j.plan import read_source
from ingest.sources.rdf.mapping import map_triples
from ingest.sources.rdf.mentions import rdf_mentions
from ingest.sources.rdf.reader import RdfReader
from ingest.sources.tables import Rows, from_frame, read_file
from ingest.sources.tables.clean import clean_attributes, clean_edges, clean_events
from ingest.sources.tables.mentions import table_mentions
from ingest.sources.tables.relations import by_relation
from kg.errors import ConfigError, InvalidDataError
from kg.graph import KnowledgeGraph
from kg.progress import SILENT, Progress
from kg.schema import RelationKey
from kg.settings import validate

if TYPE_CHECKING:  # the driver is imported where a database is read
    from kg.stores.neo4j.client import Neo4jStore
    from kg.stores.neo4j.read.snapshot import Snapshot


class GraphBuilder:
    """Collects facts from files and from memory, then builds the graph.

    Every `data` is a path (CSV, TSV, JSON lines, Parquet, .gz), a mapping of columns, or a data frame with the Arrow
    interface (pandas, polars, pyarrow).

    Args:
        graph: roles, names and overrides; `GraphSettings(user="user", item="movie")` is enough to begin with.
        quality: how much may be set aside.
        progress: listener.
        now: UTC seconds after which a timestamp is in the future; default: the clock.
        people: which users to leave out or rename; default: nobody.
    """

    def __init__(
        self,
        graph: GraphSettings,
        *,
        quality: QualitySettings | None = None,
        progress: Progress = SILENT,
        now: int | None = None,
        people: People | None = None,
    ) -> None:
        self.settings = graph
        self.quality = quality or QualitySettings()
        self.progress = progress
        self.people = people
        self.now = int(time.time()) if now is None else now
        self.report = QualityReport()
        self.facts = Facts()
        self._context = ReadingContext(report=self.report, quality=self.quality, now=self.now)
        self._ends = {"user": graph.user, "item": graph.item}
        self._rdf = RdfReader(self.report, strict=self.quality.strict, progress=progress)
        self._rdf_accounts: list[SourceAccount] = []
        self._languages: list[str] = []
        self._built = False

    def add_rdf(
        self,
        data: Any,
        *,
        name: str | None = None,
        format: str | None = None,
        languages: Sequence[str] = ("en", ""),
        base: str | None = None,
    ) -> GraphBuilder:
        """Add an RDF file (by path) or an rdflib `Graph` or `Dataset`.

        Args:
            data: path or graph.
            name: in messages, and the scope of blank nodes.
            format: of a file; default: by its name.
            languages: order of preference of texts; orders of several sources are joined, the first one leading.
            base: that relative IRIs of a file are resolved against where it states none; default: its name.
        """
        if isinstance(data, str | Path):
            account = self._rdf.read_file(Path(data), name=name, format=format, base=base)
        else:
            account = self._rdf.read_graph(data, name=name or f"rdflib graph {len(self._rdf_accounts) + 1}")
        self.report.check_limit(account, self.quality.max_set_aside)
        self._rdf_accounts.append(account)
        self._languages += [language for language in languages if language not in self._languages]
        return self

    def add_interactions(
        self,
        data: Any,
        *,
        relation: str = "rated",
        columns: InteractionColumns | Mapping[str, str] | None = None,
        part: str | None = None,
        unit: str | None = None,
        name: str | None = None,
    ) -> GraphBuilder:
        """Add what users did to items; the first relation added is the one that is learned.

        Args:
            data: a table.
            relation: its name.
            columns: names of its columns (`InteractionColumns`, or a mapping of user, item, rating, timestamp, weight).
            part: "train", "valid" or "test" of a published split.
            unit: what numbers that are times count: "s", "ms", "us" or "ns"; default: it is guessed.
            name: in messages.
        """
        names = columns if isinstance(columns, InteractionColumns) else InteractionColumns(**(columns or {}))
        rows = _rows(data, name or "interactions")
        table, _ = clean_events(rows, names, self._context, kind="interactions", unit=unit)
        self.facts.mentions += table_mentions("interactions", rows, table, self._ends)
        if part is not None:
            table = table.append_column("part", pa.array([part] * table.num_rows, type=pa.string()))
        self.facts.interactions.setdefault(relation, []).append(table)
        return self

    def add_feedback(self, table: Any, *, name: str) -> GraphBuilder:
        """Add what users said of items that other sources name, as interactions of the relation that is learned.

        Args:
            table: Arrow columns `user`, `item` (ids), `liked` (bool), `timestamp` (UTC seconds, int64), each pair once.
            name: in the report.
        """
        self.facts.feedback.append((name, table))
        return self

    def add_events(
        self,
        data: Any,
        *,
        relation: str,
        columns: EventColumns | Mapping[str, str] | None = None,
        value_type: str | None = None,
        value_relation: str | None = None,
        unit: str | None = None,
        name: str | None = None,
    ) -> GraphBuilder:
        """Add further traces of users on items, such as tags.

        Args:
            data: a table.
            relation: from users to items.
            columns: names of its columns; `value` names one whose values become nodes of `value_type`, joined to the
                items by `value_relation`; values that differ in case or blanks only are one node.
            value_type: node type made of the values.
            value_relation: relation from items to values.
            unit: what numbers that are times count: "s", "ms", "us" or "ns"; default: it is guessed.
            name: in messages.
        """
        names = columns if isinstance(columns, EventColumns) else EventColumns(**(columns or {}))
        rows = _rows(data, name or relation)
        table, value = clean_events(rows, names, self._context, kind="events", value=names.value, unit=unit)
        self.facts.mentions += table_mentions("events", rows, table, self._ends)
        if value is None:
            self.facts.interactions.setdefault(relation, []).append(table)
            return self
        if value_type is None or value_relation is None:
            raise ConfigError("events with columns.value need value_type and value_relation")
        self.facts.interactions.setdefault(relation, []).append(table.append_column("value", value))
        others = {column: table[column] for column in ("timestamp", "weight") if column in table.column_names}
        ends = {"src": table["item"], "dst": value, "user": table["user"]}
        key = RelationKey(self.settings.item, value_relation, value_type)
        self.facts.values.setdefault(key, []).append(pa.table({**ends, **others}))
        ids = pc.unique(value.combine_chunks())
        self.facts.attributes.setdefault(value_type, []).append(pa.table({"id": ids, "name": ids}))
        return self

    def add_attributes(
        self,
        data: Any,
        *,
        node: str,
        id: str = "id",
        columns: Mapping[str, str] | None = None,
        lists: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> GraphBuilder:
        """Add a table of node attributes; nodes that are not there yet are added.

        Args:
            data: a table.
            node: node type.
            id: column with the node's id.
            columns: attribute -> column; default: all others under their own names.
            lists: attribute -> separator of the values in a cell.
            name: in messages.
        """
        rows = _rows(data, name or f"attributes of {node}")
        table = clean_attributes(rows, self._context, node=node, id=id, columns=columns, lists=lists)
        self.facts.mentions += table_mentions("attributes", rows, table, {"id": node})
        self.facts.attributes.setdefault(node, []).append(table)
        return self

    def add_edges(
        self,
        data: Any,
        *,
        source: str,
        target: str,
        relation: str | None = None,
        columns: EdgeColumns | Mapping[str, str] | None = None,
        relations: Mapping[str, str] | None = None,
        split: str | None = None,
        unit: str | None = None,
        name: str | None = None,
    ) -> GraphBuilder:
        """Add a table of knowledge edges; ends that no other source has are added as nodes and counted.

        Args:
            data: a table.
            source: node type.
            target: node type.
            relation: its name, unless the column `columns.relation` names it row by row.
            columns: names of the columns (`EdgeColumns`, or a mapping of source, target, relation, weight, timestamp).
            relations: value of that column -> name of the relation.
            split: separator of several targets in one cell; cells without any target are fine then.
            unit: what numbers that are times count: "s", "ms", "us" or "ns"; default: it is guessed.
            name: in messages.
        """
        names = columns if isinstance(columns, EdgeColumns) else EdgeColumns(**(columns or {}))
        if (relation is None) == (names.relation is None):
            raise ConfigError("edges need either relation, or columns.relation for a column that names it row by row")
        rows = _rows(data, name or f"edges {relation or source}")
        table = clean_edges(rows, names, self._context, split=split, unit=unit)
        self.facts.mentions += table_mentions("edges", rows, table, {"src": source, "dst": target})
        tables = by_relation(table, relations or {}, source=rows.name) if relation is None else {relation: table}
        for relation_name, part in tables.items():
            self.facts.edges.setdefault(RelationKey(source, relation_name, target), []).append(part)
        return self

    def add_neo4j(
        self,
        data: Snapshot | Neo4jStore,
        *,
        source: Neo4jSource | Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> GraphBuilder:
        """Add a Neo4j database.

        Args:
            data: an open store, which is read now, or what `ingest.sources.neo4j.plan.read_source` read before.
            source: what to read and what it means (`Neo4jSource`, or a mapping of its fields, or all by default).
            name: in messages; default: the store's.

        Raises:
            ConfigError: a label, type, property or key is named that the database lacks.
            StoreError: the database does not answer, or could not run a query.
        """
        from kg.stores.neo4j.read.snapshot import Snapshot

        settings = source if isinstance(source, Neo4jSource) else validate(Neo4jSource, source or {}, where="source")
        if not isinstance(data, Snapshot):
            with TemporaryDirectory(prefix="graphrecall-") as folder:
                snapshot = read_source(data, settings, self.settings, Path(folder) / "pages", progress=self.progress)
                return self.add_neo4j(snapshot, source=settings, name=name or data.name)
        self._add_snapshot(data, settings, name or "Neo4j")
        return self

    def _add_snapshot(self, snapshot: Snapshot, source: Neo4jSource, name: str) -> None:
        """Map a snapshot onto tables, and add these and the rows that the user's own queries returned."""
        with self.progress.task("mapping the database onto the graph"):
            tables = map_snapshot(snapshot, source, self.settings, self._context, name=name)
            facts = self.facts
            facts.mentions += snapshot_mentions(tables, snapshot, self.settings, name)
            for node_type, table in tables.attributes.items():
                facts.attributes.setdefault(node_type, []).append(table)
            for place, entry in enumerate(source.interactions):
                if entry.query is not None:
                    self.add_interactions(
                        _query_rows(snapshot, f"interactions.{place}", name),
                        relation=entry.relation or "rated",
                        columns=InteractionColumns(
                            user="user",
                            item="item",
                            rating=entry.rating,
                            timestamp=entry.timestamp,
                            weight=entry.weight,
                        ),
                        unit=entry.unit,
                    )
                else:
                    facts.interactions.setdefault(tables.relations[place], []).extend(tables.interactions[place])
            for key, table in tables.values.items():
                facts.values.setdefault(key, []).append(table)
            for key, table in tables.edges.items():
                facts.edges.setdefault(key, []).append(table)
            facts.store.update(tables.names)
            relations = [entry.relation or "rated" for entry in source.interactions if entry.query is not None]
            relations += [entry.relation for entry in source.edges]
            self.report.add(
                "relations by queries",
                len(relations),
                "the Cypher of a path over them finds it in the run's own store, in Neo4j only if it is stored so",
                relations,
            )
            for place, nodes in enumerate(source.nodes):
                self.add_attributes(_query_rows(snapshot, f"nodes.{place}", name), node=nodes.node)
            for place, edges in enumerate(source.edges):
                rows = _query_rows(snapshot, f"edges.{place}", name)
                optional = {role: role for role in ("weight", "timestamp") if role in rows.table.column_names}
                self.add_edges(
                    rows,
                    source=edges.source,
                    relation=edges.relation,
                    target=edges.target,
                    columns=EdgeColumns(**optional),
                    unit=edges.unit,
                )

    def build(self) -> tuple[KnowledgeGraph, QualityReport]:
        """Join everything that was added; a builder builds once.

        Raises:
            InvalidDataError: the sources do not make a graph (no items, too much set aside), or it was built already.
            ConfigError: an override names something that is not there.
        """
        if self._built:
            raise InvalidDataError("this builder has built its graph already: make a new one and add the sources again")
        self._built = True
        if self._rdf_accounts:
            self.facts.mapped = self._map_rdf()
            self.facts.mentions += rdf_mentions(self.facts.mapped, ", ".join(a.name for a in self._rdf_accounts))
        graph = assemble(self.facts, self.settings, self.report, quality=self.quality, people=self.people)
        return graph, self.report

    def _map_rdf(self) -> Mapped:
        with self.progress.task("mapping the triples onto the graph"):
            if len(self._rdf_accounts) == 1:
                account = self._rdf_accounts[0]
            else:
                account = SourceAccount("all RDF sources together", "rdf", sum(a.read for a in self._rdf_accounts))
            before = account.set_aside
            mapped = map_triples(self._rdf.finish(), self.settings, self.report, account, languages=self._languages)
            if account.set_aside > before:
                if account not in self.report.sources:
                    self.report.sources.append(account)
                self._context.check(account)
        return mapped


def _rows(data: Any, name: str) -> Rows:
    if isinstance(data, Rows):
        return data
    if isinstance(data, str | Path):
        return read_file(Path(data), name=Path(data).name)
    return from_frame(data, name)


def _query_rows(snapshot: Snapshot, place: str, name: str) -> Rows:
    """What a query of the user's own returned.

    Args:
        snapshot: what was read.
        place: of the query in `sources.neo4j`, "edges.0".
        name: of the database.

    Raises:
        InvalidDataError: it returned no rows.
    """
    table = snapshot.query(place)
    query = f"sources.neo4j.{place} of {name}"
    if not table.num_rows:
        raise InvalidDataError(f"{query} returned no rows: correct the query, or leave it out")
    return Rows(table, query, lambda row: f"{query}, row {row}")
