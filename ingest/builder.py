"""All sources into one graph: `build_graph` for a configuration, `GraphBuilder` for data already in memory."""

from __future__ import annotations

import glob
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.assemble.assembly import assemble
from ingest.facts import Mapped, StoreNames
from ingest.people import People
from ingest.report import QualityReport, SourceAccount
from ingest.settings import (
    DataSettings,
    EdgeColumns,
    EventColumns,
    GraphSettings,
    InteractionColumns,
    Neo4jInteractions,
    Neo4jSource,
    QualitySettings,
    SourcesSettings,
)
from ingest.sources.neo4j.mapping import map_snapshot
from ingest.sources.neo4j.plan import read_source
from ingest.sources.rdf.mapping import map_triples
from ingest.sources.rdf.reader import RdfReader
from ingest.sources.tables import Cleaner, Rows, from_frame, infer_type, pick, read_file, read_lists, to_ids
from kg.errors import ConfigError, InvalidDataError
from kg.graph import KnowledgeGraph
from kg.progress import SILENT, Progress
from kg.schema import RelationKey
from kg.settings import validate

if TYPE_CHECKING:  # the driver is imported where a database is read
    from kg.stores.neo4j.client import Neo4jStore
    from kg.stores.neo4j.read.snapshot import Snapshot

PART_ORDER = ("train", "valid", "test")


def build_graph(
    settings: DataSettings,
    *,
    base: Path,
    progress: Progress = SILENT,
    now: int | None = None,
    snapshot: Snapshot | None = None,
    people: People | None = None,
) -> tuple[KnowledgeGraph, QualityReport]:
    """Read every source of a configuration and build the graph.

    Args:
        settings: the sections graph, sources, quality and neo4j.
        base: folder that relative paths start from: that of the configuration file.
        progress: listener.
        now: UTC seconds after which a timestamp is in the future; default: the clock.
        snapshot: what `ingest.sources.neo4j.plan.read_source` read of `sources.neo4j` before; default: it is read now.
        people: which users may come in, and under which name; default: everybody as they are.

    Returns:
        The graph in canonical order, which the order of the facts does not change, and what was found on the way.

    Raises:
        InvalidDataError: a source cannot be used, or too much of it (see `quality`).
        ConfigError: an override names a type, relation or attribute that the sources do not hold.
        StoreError: the database of `sources.neo4j` does not answer, or could not run a query.
    """
    builder = GraphBuilder(settings.graph, quality=settings.quality, progress=progress, now=now, people=people)
    for rdf in settings.sources.rdf:
        for name, path in _files(rdf.files, base):
            builder.add_rdf(path, name=name, format=rdf.format, languages=rdf.languages)
    for interactions in settings.sources.interactions:
        for part in (None, *PART_ORDER):
            for name, path in _files(getattr(interactions, part or "files"), base):
                with progress.task(f"reading {name}"):
                    if interactions.format == "lists":
                        rows, columns = read_lists(path, name=name), InteractionColumns()
                    else:
                        rows = read_file(path, name=name, separator=interactions.separator, header=interactions.header)
                        columns = interactions.columns
                    builder.add_interactions(rows, relation=interactions.relation, columns=columns, part=part)
    for events in settings.sources.events:
        for name, path in _files(events.files, base):
            with progress.task(f"reading {name}"):
                builder.add_events(
                    read_file(path, name=name, separator=events.separator, header=events.header),
                    relation=events.relation,
                    columns=events.columns,
                    value_type=events.value_type,
                    value_relation=events.value_relation,
                )
    for attributes in settings.sources.attributes:
        for name, path in _files(attributes.files, base):
            with progress.task(f"reading {name}"):
                builder.add_attributes(
                    read_file(path, name=name, separator=attributes.separator, header=attributes.header),
                    node=attributes.node,
                    id=attributes.id,
                    columns=attributes.columns,
                    lists=attributes.lists,
                )
    for edges in settings.sources.edges:
        for name, path in _files(edges.files, base):
            with progress.task(f"reading {name}"):
                builder.add_edges(
                    read_file(path, name=name, separator=edges.separator, header=edges.header),
                    source=edges.source,
                    relation=edges.relation,
                    target=edges.target,
                    columns=edges.columns,
                    split=edges.split,
                )
    if settings.sources.neo4j is not None and settings.neo4j is not None:
        name = settings.neo4j.uri
        if snapshot is not None:
            builder.add_neo4j(snapshot, source=settings.sources.neo4j, name=name)
        else:
            with settings.neo4j.open(base=base) as store:
                builder.add_neo4j(store, source=settings.sources.neo4j, name=name)
    return builder.build()


def source_files(sources: SourcesSettings, *, base: Path) -> list[Path]:
    """Every file that `build_graph` would read, in its order, so that a caller can tell whether one changed.

    Raises:
        InvalidDataError: a pattern matches nothing.
    """
    lists = [entry.files for entry in sources.rdf]
    for entry in sources.interactions:
        lists += [entry.files, entry.train, entry.valid, entry.test]
    for several in (sources.events, sources.attributes, sources.edges):
        lists += [entry.files for entry in several]
    return [path for patterns in lists for _, path in _files(patterns, base)]


def _files(patterns: Iterable[str], base: Path) -> list[tuple[str, Path]]:
    """Name in messages and path of each file; patterns are expanded in the order of names."""
    result = []
    for pattern in patterns:
        if glob.has_magic(pattern) and not (base / pattern).exists():
            # Path.glob refuses absolute patterns; people write those too.
            found = sorted(glob.glob(pattern, root_dir=base))  # noqa: PTH207
            if not found:
                raise InvalidDataError(f"no file matches {pattern!r} in {base}: check the pattern in sources")
            result += [(Path(name).as_posix(), base / name) for name in found]
        else:
            result.append((pattern, base / pattern))
    return result


class GraphBuilder:
    """Collects facts from files and from memory, then builds the graph.

    Wherever data is asked for, these are taken: a path (CSV, TSV, Parquet, .gz), a mapping of columns, or any data
    frame that speaks Arrow (pandas, polars, pyarrow).

    Args:
        graph: roles, names and overrides; `GraphSettings(user="user", item="movie")` is enough to begin with.
        quality: how much may be set aside.
        progress: listener.
        now: UTC seconds after which a timestamp is in the future; default: the clock.
        people: which users may come in, and under which name; default: everybody as they are.
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
        self._rdf = RdfReader(self.report, strict=self.quality.strict, progress=progress)
        self._rdf_sources: list[SourceAccount] = []
        self._built = False
        self._languages: list[str] = []
        self._interactions: dict[str, list[Any]] = {}
        self._values: dict[RelationKey, list[Any]] = {}
        self._edges: dict[RelationKey, list[Any]] = {}
        self._attributes: dict[str, list[Any]] = {}
        self._store = StoreNames()

    def add_rdf(
        self,
        data: Any,
        *,
        name: str | None = None,
        format: str | None = None,
        languages: Sequence[str] = ("en", ""),
    ) -> GraphBuilder:
        """Add an RDF file (by path) or an rdflib `Graph` or `Dataset`.

        Args:
            data: path or graph.
            name: in messages, and the scope of blank nodes.
            format: of a file whose name does not tell it.
            languages: order of preference of texts; orders of several sources are joined, the first one leading.
        """
        if isinstance(data, str | Path):
            source = self._rdf.read_file(Path(data), name=name, format=format)
        else:
            source = self._rdf.read_graph(data, name=name or f"rdflib graph {len(self._rdf_sources) + 1}")
        self.report.check_limit(source, self.quality.max_set_aside)
        self._rdf_sources.append(source)
        self._languages += [language for language in languages if language not in self._languages]
        return self

    def add_interactions(
        self,
        data: Any,
        *,
        relation: str = "rated",
        columns: InteractionColumns | Mapping[str, str] | None = None,
        part: str | None = None,
        name: str | None = None,
    ) -> GraphBuilder:
        """Add what users did to items; the first relation added is the one that is learned.

        Args:
            data: a table.
            relation: its name.
            columns: names of its columns (`InteractionColumns`, or a mapping of user, item, rating, timestamp, weight).
            part: "train", "valid" or "test" of a published split.
            name: in messages.
        """
        names = columns if isinstance(columns, InteractionColumns) else InteractionColumns(**(columns or {}))
        rows = _rows(data, name or "interactions")
        table, _ = self._clean_events(rows, names, None, "interactions")
        if part is not None:
            table = table.append_column("part", pa.array([part] * table.num_rows, type=pa.string()))
        self._interactions.setdefault(relation, []).append(table)
        return self

    def add_events(
        self,
        data: Any,
        *,
        relation: str,
        columns: EventColumns | Mapping[str, str] | None = None,
        value_type: str | None = None,
        value_relation: str | None = None,
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
            name: in messages.
        """
        names = columns if isinstance(columns, EventColumns) else EventColumns(**(columns or {}))
        rows = _rows(data, name or relation)
        table, value = self._clean_events(rows, names, names.value, "events")
        self._interactions.setdefault(relation, []).append(
            table.append_column("value", value) if value is not None else table
        )
        if value is not None:
            if value_type is None or value_relation is None:
                raise ConfigError("events with columns.value need value_type and value_relation")
            key = RelationKey(self.settings.item, value_relation, value_type)
            kept = [name for name in ("timestamp", "weight") if name in table.column_names]
            self._values.setdefault(key, []).append(
                pa.table(
                    {
                        "src": table["item"],
                        "dst": value,
                        "user": table["user"],
                        **{name: table[name] for name in kept},
                    }
                )
            )
            ids = pc.unique(value.combine_chunks())
            self._attributes.setdefault(value_type, []).append(pa.table({"id": ids, "name": ids}))
        return self

    def _clean_events(
        self, rows: Rows, names: InteractionColumns, value: str | None, kind: str
    ) -> tuple[Any, Any | None]:
        wanted = {
            "user": names.user,
            "item": names.item,
            "value": value,
            "rating": names.rating,
            "timestamp": names.timestamp,
            "weight": names.weight,
        }
        optional = {role: role for role in ("rating", "timestamp", "weight")}
        source = self.report.source(rows.name, kind)
        cleaner = Cleaner(rows, pick(rows, wanted, optional), self.report, source)
        for column in cleaner.table.column_names:
            if column in ("user", "item", "value"):
                cleaner.ids(column)
            elif column == "timestamp":
                cleaner.seconds(column, now=self.now)
            else:
                cleaner.numbers(column)
        self._check(source, rows)
        table = cleaner.result()
        if rows.ordered:
            table = table.append_column("order", pa.array(np.arange(table.num_rows)))
        if value is None:
            return table, None
        values = pc.replace_substring_regex(pc.utf8_lower(table["value"]), r"\s+", " ")
        return table.drop_columns(["value"]), values

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
        there = {column: column for column in rows.table.column_names if column != id}
        wanted = dict(there if columns is None else columns)
        if taken := sorted({"id", "text", "types"} & set(wanted)):
            raise ConfigError(
                f"attributes of {node} cannot be called {', '.join(taken)}: give the column another name in `columns`"
            )
        source = self.report.source(rows.name, "attributes")
        cleaner = Cleaner(rows, pick(rows, {"id": id, **wanted}), self.report, source)
        cleaner.ids("id")
        self._check(source, rows)
        table = cleaner.result()
        arrays = {"id": table["id"].combine_chunks()}
        for attribute in wanted:
            if lists and attribute in lists:
                arrays[attribute] = pc.split_pattern(table[attribute].cast(pa.string()), lists[attribute])
            else:
                arrays[attribute] = infer_type(table[attribute])
        self._attributes.setdefault(node, []).append(self._one_row_each(pa.table(arrays), node))
        return self

    def _one_row_each(self, table: Any, node: str) -> Any:
        """Rows of equal ids: the one that sorts first stays, whatever the order of the file."""
        plain = [f.name for f in table.schema if not pa.types.is_nested(f.type) and f.name != "id"]
        table = table.sort_by([(name, "ascending") for name in ["id", *plain]])
        ids = table["id"].combine_chunks()
        if len(ids) < 2:
            return table
        again = pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
        self.report.add(
            "repeated attribute rows",
            int(again.sum()),
            "several rows for one node: the one that sorts first is kept",
            [f"{node} {ids[int(i) + 1].as_py()}" for i in np.flatnonzero(again)[:5]],
            severity="warning",
        )
        return table.filter(pa.array(np.concatenate([[True], ~again])))

    def add_edges(
        self,
        data: Any,
        *,
        source: str,
        relation: str,
        target: str,
        columns: EdgeColumns | Mapping[str, str] | None = None,
        split: str | None = None,
        name: str | None = None,
    ) -> GraphBuilder:
        """Add a table of knowledge edges; ends that no other source knows are added as nodes and counted.

        Args:
            data: a table.
            source: node type.
            relation: its name.
            target: node type.
            columns: names of the columns (`EdgeColumns`, or a mapping of source, target, weight, timestamp).
            split: separator of several targets in one cell; cells without any target are fine then.
            name: in messages.
        """
        names = columns if isinstance(columns, EdgeColumns) else EdgeColumns(**(columns or {}))
        rows = _rows(data, name or f"edges {relation}")
        wanted = {"src": names.source, "dst": names.target, "weight": names.weight, "timestamp": names.timestamp}
        table = pick(rows, wanted)
        if split is not None:
            rows, table = _split_targets(rows, table, split)
        account = self.report.source(rows.name, "edges")
        cleaner = Cleaner(rows, table, self.report, account)
        for column in table.column_names:
            if column in ("src", "dst"):
                cleaner.ids(column)
            elif column == "timestamp":
                cleaner.seconds(column, now=self.now)
            else:
                cleaner.numbers(column)
        self._check(account, rows)
        self._edges.setdefault(RelationKey(source, relation, target), []).append(cleaner.result())
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

        wanted = source if isinstance(source, Neo4jSource) else validate(Neo4jSource, source or {}, where="source")
        if not isinstance(data, Snapshot):
            with TemporaryDirectory(prefix="graphrecall-") as folder:
                snapshot = read_source(data, wanted, self.settings, Path(folder) / "pages", progress=self.progress)
                return self.add_neo4j(snapshot, source=wanted, name=name or data.name)
        name = name or "Neo4j"
        with self.progress.task("mapping the database onto the graph"):
            found = map_snapshot(
                data, wanted, self.settings, self.report, quality=self.quality, now=self.now, name=name
            )
            for node_type, table in found.attributes.items():
                self._attributes.setdefault(node_type, []).append(table)
            for at, interactions in enumerate(wanted.interactions):
                if interactions.query is not None:
                    self._add_queried_interactions(data, f"interactions.{at}", interactions, name)
                else:
                    self._interactions.setdefault(found.relations[at], []).extend(found.interactions[at])
            for key, table in found.values.items():
                self._values.setdefault(key, []).append(table)
            for key, table in found.edges.items():
                self._edges.setdefault(key, []).append(table)
            self._store.update(found.names)
            named = [(entry.relation or "rated") for entry in wanted.interactions if entry.query is not None]
            named += [entry.relation for entry in wanted.edges]
            self.report.add(
                "relations by queries",
                len(named),
                "the Cypher of a path over them finds it in the run's own store, in Neo4j only if it is stored so",
                named,
            )
            for at, nodes in enumerate(wanted.nodes):
                self.add_attributes(_queried(data, f"nodes.{at}", name), node=nodes.node)
            for at, edges in enumerate(wanted.edges):
                rows = _queried(data, f"edges.{at}", name)
                there = {role: role for role in ("weight", "timestamp") if role in rows.table.column_names}
                self.add_edges(
                    rows,
                    source=edges.source,
                    relation=edges.relation,
                    target=edges.target,
                    columns=EdgeColumns(**there),
                )
        return self

    def _add_queried_interactions(self, snapshot: Snapshot, place: str, entry: Neo4jInteractions, name: str) -> None:
        columns = InteractionColumns(
            user="user", item="item", rating=entry.rating, timestamp=entry.timestamp, weight=entry.weight
        )
        self.add_interactions(_queried(snapshot, place, name), relation=entry.relation or "rated", columns=columns)

    def _check(self, source: SourceAccount, rows: Rows) -> None:
        if self.quality.strict and source.set_aside:
            raise InvalidDataError(
                f"{rows.name}: {source.set_aside} rows cannot be used and quality.strict is on: {source.reasons}"
            )
        self.report.check_limit(source, self.quality.max_set_aside)

    def build(self) -> tuple[KnowledgeGraph, QualityReport]:
        """Join everything that was added; a builder builds once.

        Raises:
            InvalidDataError: the sources do not make a graph (no items, too much set aside), or it was built already.
            ConfigError: an override names something that is not there.
        """
        if self._built:
            raise InvalidDataError("this builder has built its graph already: make a new one and add the sources again")
        self._built = True
        mapped = self._map() if self._rdf_sources else Mapped()
        graph = assemble(
            self.settings,
            self.report,
            mapped=mapped,
            interactions=self._interactions,
            values=self._values,
            edges=self._edges,
            attributes=self._attributes,
            store=self._store,
            strict=self.quality.strict,
            people=self.people,
        )
        return graph, self.report

    def _map(self) -> Mapped:
        with self.progress.task("mapping the triples onto the graph"):
            if len(self._rdf_sources) == 1:
                account = self._rdf_sources[0]
            else:
                account = SourceAccount("all RDF sources together", "rdf", sum(s.read for s in self._rdf_sources))
            before = account.set_aside
            mapped = map_triples(self._rdf.finish(), self.settings, self.report, account, languages=self._languages)
            if account.set_aside > before:
                if account not in self.report.sources:
                    self.report.sources.append(account)
                if self.quality.strict:
                    raise InvalidDataError(
                        f"{account.name}: {account.set_aside - before} facts cannot be used and quality.strict is on: "
                        f"{account.reasons}"
                    )
                self.report.check_limit(account, self.quality.max_set_aside)
        return mapped


def _rows(data: Any, name: str) -> Rows:
    if isinstance(data, Rows):
        return data
    if isinstance(data, str | Path):
        return read_file(Path(data), name=Path(data).name)
    return from_frame(data, name)


def _queried(snapshot: Snapshot, place: str, name: str) -> Rows:
    """What a query of the user's own returned."""
    table = snapshot.query(place)
    what = f"sources.neo4j.{place} of {name}"
    if not table.num_rows:
        raise InvalidDataError(f"{what} returned no rows: correct the query, or leave it out")
    return Rows(table, what, lambda row: f"{what}, row {row}")


def _split_targets(rows: Rows, table: Any, separator: str) -> tuple[Rows, Any]:
    """One row for each target of a cell."""
    filled = table.filter(pc.is_valid(table["dst"]))
    origin = np.flatnonzero(pc.is_valid(table["dst"]).to_numpy())
    lists = pc.split_pattern(filled["dst"].combine_chunks().cast(pa.string()), separator)
    parents = pc.list_parent_indices(lists)
    spread = filled.drop_columns(["dst"]).take(parents).append_column("dst", pc.list_flatten(lists))
    row_of: npt.NDArray[np.int64] = origin[parents.to_numpy()]
    place = lambda row: rows.place(int(row_of[row]))  # noqa: E731
    return Rows(rows.table, rows.name, place, rows.bad_lines, rows.bad_examples), spread


__all__ = ["GraphBuilder", "build_graph", "to_ids"]
