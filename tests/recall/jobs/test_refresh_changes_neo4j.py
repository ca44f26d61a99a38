"""Refreshes of a changing Neo4j database with a watermark: what is read and kept, and the graph that comes of it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingest import DataSettings, build_graph
from kg import KnowledgeGraph, RelationKey
from kg.difference import difference
from kg.io.graph_folder import load_graph, save_graph
from recall.config.deployment import RefreshConfig, load_config
from recall.jobs.changes import describe
from recall.jobs.inputs import Inputs
from recall.jobs.refresh import refresh
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.runs.report import Finding, Quality, Report
from tests.recall.jobs.test_refresh_neo4j import Deploy, StopError, Stopping, from_neo4j, graph_of, left_over, stop

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore
    from kg.stores.neo4j.connection import Neo4jConnection

pytestmark = pytest.mark.neo4j

RATED = RelationKey("user", "rated", "movie")
SOURCE = """
[sources.neo4j]
interactions = [{type = "RATED"}]
watermark = "updated_at"
tombstone = "deleted_at"
compare_keys_every = 3
patience = 1
[neo4j]
"""


@pytest.fixture
def deployed(
    neo4j_connection: Neo4jConnection, neo4j_store: Neo4jStore, make_deployment: Deploy, tmp_path: Path
) -> RefreshConfig:
    """The small deployment in a database in which everything was stamped long ago."""
    from kg.stores.neo4j.write.load import load_into

    load_into(neo4j_store, graph_of(load_config(make_deployment(tmp_path / "rdf"))))
    neo4j_store.write("MATCH (n) SET n.updated_at = datetime('2026-01-01T00:00:00Z')")
    neo4j_store.write("MATCH ()-[r:RATED]->() SET r.updated_at = datetime('2026-01-01T00:00:00Z')")
    neo4j_store.write("MATCH (m:Movie {id: 'm23'}) SET m.updated_at = datetime('2026-01-02T00:00:00Z')")
    neo4j_store.write("MATCH (u:User {id: 'u15'}) SET u.updated_at = datetime('2026-01-02T00:00:00Z')")
    neo4j_store.write("MATCH (p:Person {id: $id}) SET p.updated_at = datetime('2026-01-02T00:00:00Z')", {"id": PERSON})
    neo4j_store.write("MATCH (:User {id: 'u15'})-[r:RATED]->() SET r.updated_at = datetime('2026-01-02T00:00:00Z')")
    return load_config(from_neo4j(tmp_path / "neo4j", neo4j_connection, source=SOURCE))


PERSON = "http://example.org/person/p0"
DIRECTED = 24
LAST = 12  # ratings at the highest watermark


def looked_at(config: RefreshConfig, *, fresh: bool = False, staging: str = "looked") -> tuple[Inputs, KnowledgeGraph]:
    """What a refresh would make a run of, in a staging of its own; `fresh` reads everything."""
    inputs = Inputs.of(config, config.base / staging, fresh=fresh)
    settings = DataSettings(graph=config.graph, sources=config.sources, quality=config.quality, neo4j=config.neo4j)
    graph, _ = build_graph(settings, base=config.base, snapshot=inputs.snapshot, now=inputs.now)
    return inputs, graph


class Nights:
    """Refreshes without the models: what is read of the database is kept as a refresh keeps it."""

    def __init__(self, config: RefreshConfig) -> None:
        self.config = config
        self.runs = config.runs_folder
        self.graph: KnowledgeGraph | None = None

    def refresh(self) -> tuple[Inputs, KnowledgeGraph]:
        inputs, graph = looked_at(self.config)
        inputs.keep_snapshot(self.runs, Report(created="", fingerprint=inputs.fingerprint))
        return inputs, graph

    def check(self) -> dict[str, Any]:
        """A refresh whose graph is that of a reading of everything; returns how it was read."""
        inputs, graph = self.refresh()
        whole, scratch = looked_at(self.config, fresh=True, staging="whole")
        assert inputs.fingerprint == whole.fingerprint
        assert not difference(scratch, graph)
        assert all(table.equals(scratch.nodes[name]) for name, table in graph.nodes.items())
        assert all(table.equals(scratch.edges[key]) for key, table in graph.edges.items())
        assert len(kept(self.config)) == 1
        assert inputs.snapshot is not None
        self.graph = graph
        return dict(inputs.snapshot.read)


def kept(config: RefreshConfig) -> list[Path]:
    return sorted(config.runs_folder.glob(".neo4j-*/*"))


def test_users_items_attributes_and_interactions_come_change_and_go(
    deployed: RefreshConfig, neo4j_store: Neo4jStore
) -> None:
    nights = Nights(deployed)
    assert nights.check()["how"] == "whole"
    first = nights.graph
    assert first is not None
    found = nights.check()
    assert (found["how"], found["nodes"], found["relationships"]) == ("changes", 3, LAST + DIRECTED)
    now = "datetime('2026-02-01T00:00:00Z')"
    for query in (
        f"CREATE (:Movie {{id: 'm99', name: 'Brand new', updated_at: {now}}})",
        f"CREATE (:User {{id: 'newcomer', updated_at: {now}}})",
        f"""MATCH (u:User {{id: 'newcomer'}}) MATCH (m:Movie {{id: 'm99'}})
        CREATE (u)-[:RATED {{rating: 5.0, timestamp: 1100000, updated_at: {now}}}]->(m)""",
        f"MATCH (m:Movie {{id: 'm4'}}) SET m.name = 'Mended', m.updated_at = {now}",
        f"MATCH (:User {{id: 'u1'}})-[r:RATED]->() WITH r LIMIT 2 SET r.rating = 1.25, r.updated_at = {now}",
        "MATCH (:Movie {id: 'm7'})-[r:DIRECTOR]->() DELETE r",
        f"MATCH (:User {{id: 'u3'}})-[r:RATED]->() WITH r LIMIT 2 SET r.deleted_at = {now}, r.updated_at = {now}",
        f"MATCH (m:Movie {{id: 'm5'}}) SET m.deleted_at = {now}, m.updated_at = {now}",
        f"MATCH (u:User {{id: 'u5'}}) SET u.deleted_at = {now}, u.updated_at = {now}",
    ):
        neo4j_store.write(query)
    found = nights.check()
    assert not found["compared"], "all deletions have a tombstone, or are of a type that is read as a whole"
    assert found["nodes"] == 3 + 5
    assert nights.graph is not None
    what = difference(first, nights.graph).to_json()
    assert {name: what["nodes"]["movie"][name] for name in ("added", "removed", "changed")} == {
        "added": 1,
        "removed": 1,
        "changed": 1,
    }
    assert {name: what["nodes"]["user"][name] for name in ("added", "removed", "changed")} == {
        "added": 1,
        "removed": 1,
        "changed": 0,
    }
    assert what["edges"][str(RATED)]["added"] == 1
    assert what["edges"][str(RATED)]["changed"] == 2
    assert what["edges"][str(RATED)]["removed"] > 2
    assert nights.check()["why"] == "it is time to", "every third time"
    neo4j_store.write("MATCH (m:Movie {id: 'm6'}) DETACH DELETE m")
    assert "known" in nights.check()["why"]
    neo4j_store.write("MATCH (m:Movie) WHERE m.deleted_at IS NOT NULL DETACH DELETE m")
    nights.check()


def test_after_many_nights_the_graph_is_the_one_of_a_reading_of_everything(
    deployed: RefreshConfig, neo4j_store: Neo4jStore
) -> None:
    choice = random.Random(0)  # noqa: S311
    nights = Nights(deployed)
    nights.check()
    pick = "WITH x, rand() AS r ORDER BY r LIMIT 2"
    changes = (
        "CREATE (:Movie {id: 'n' + $t, name: 'New', updated_at: $now})",
        "CREATE (:User {id: 'v' + $t, updated_at: $now})",
        f"MATCH (x:Movie) {pick} SET x.name = 'Other ' + $t, x.updated_at = $now",
        f"MATCH (x:Movie) {pick} SET x.deleted_at = $now, x.updated_at = $now",
        f"MATCH (x:User) {pick} DETACH DELETE x",
        f"MATCH ()-[x:RATED]->() {pick} DELETE x",
        f"MATCH ()-[x:DIRECTOR]->() {pick} DELETE x",
        f"MATCH ()-[x:RATED]->() {pick} SET x.rating = 4.25, x.updated_at = $now",
        f"""MATCH (u:User) MATCH (x:Movie) {pick.replace("WITH x", "WITH u, x")}
        CREATE (u)-[:RATED {{rating: 4.0, timestamp: 1200000, updated_at: $now}}]->(x)""",
    )
    for night in range(3):
        for number, change in enumerate(choice.choices(changes, k=5)):
            moment = f"2026-03-{night + 1:02d}T0{number}:00:00"
            neo4j_store.write(change.replace("$now", f"datetime('{moment}Z')"), {"t": f"{night}-{number}"})
        nights.check()


def test_a_watermark_that_nothing_has_is_refused_with_what_there_is(deployed: RefreshConfig) -> None:
    from kg.errors import ConfigError

    source = deployed.sources.neo4j
    assert source is not None
    for watermark, words in (
        ("updated", r"watermark: .* has no 'updated': did you mean 'updated_at'"),
        ({"Movi": "updated_at"}, r"watermark: .* has no 'Movi': did you mean 'Movie'"),
        ({"Movie": "changed_at"}, r"watermark\.Movie: .* has no 'changed_at'"),
    ):
        changed = source.model_copy(update={"watermark": watermark})
        config = deployed.model_copy(update={"sources": deployed.sources.model_copy(update={"neo4j": changed})})
        with pytest.raises(ConfigError, match=words):
            looked_at(config)


def test_a_refresh_keeps_what_it_read_and_the_next_one_reads_what_changed(
    deployed: RefreshConfig, neo4j_store: Neo4jStore
) -> None:
    runs = RunsFolder(deployed.runs_folder)
    first = refresh(deployed)
    assert first.status == "published"
    assert left_over(runs) == []
    (snapshot,) = kept(deployed)
    assert refresh(deployed).status == "unchanged"
    (newer,) = kept(deployed)
    assert newer.name > snapshot.name
    neo4j_store.write(
        "MATCH (:User {id: 'u1'})-[r:RATED]->() WITH r LIMIT 1 "
        "SET r.rating = 4.25, r.updated_at = datetime('2026-02-01T00:00:00Z')"
    )
    second = refresh(deployed)
    assert second.status == "published"
    (source,) = second.report.sources
    assert (source.state, source.read["how"]) == ("changed", "changes")
    assert source.read["relationships"] == LAST + DIRECTED + 1
    assert second.report.changes.edges[str(RATED)].changed == 1
    ratings = load_graph(second.run.graph).edges[RATED]["rating"].to_pylist() if second.run else []
    assert ratings.count(4.25) == 1
    assert left_over(runs) == []
    assert len(kept(deployed)) == 1


def test_a_killed_refresh_loses_no_change_and_goes_on_with_what_it_read(
    deployed: RefreshConfig, neo4j_store: Neo4jStore
) -> None:
    refresh(deployed)
    before = kept(deployed)

    def rate(value: float, day: int) -> None:
        neo4j_store.write(
            "MATCH (:User {id: 'u1'})-[r:RATED]->() WITH r LIMIT 1 "
            "SET r.rating = $value, r.updated_at = datetime($day)",
            {"value": value, "day": f"2026-02-{day:02d}T00:00:00Z"},
        )

    rate(4.25, 1)
    for when in ("read changed relationships", "write changed pages", "training lightgcn for serving"):
        with pytest.raises(StopError):
            refresh(deployed, progress=Stopping(when, stop))
        assert kept(deployed) == before
    rate(4.75, 2)
    result = refresh(deployed, progress=Stopping("training lightgcn for evaluation", stop))
    assert result.status == "published"
    assert result.run is not None
    assert 4.25 in load_graph(result.run.graph).edges[RATED]["rating"].to_pylist(), "what the killed one had read"
    result = refresh(deployed)
    assert result.run is not None
    assert 4.75 in load_graph(result.run.graph).edges[RATED]["rating"].to_pylist()


def test_a_damaged_copy_is_read_anew_and_several_are_one_after_the_next_refresh(
    deployed: RefreshConfig, neo4j_store: Neo4jStore
) -> None:
    nights = Nights(deployed)
    nights.check()
    (only,) = kept(deployed)
    for file in only.glob("nodes-*.parquet"):
        file.unlink()
        file.write_bytes(b"no Parquet")
    found = nights.check()
    assert found["how"] == "whole"
    assert "damaged" in found["why"]
    (only,) = kept(deployed)
    (only.parent / "00000099").mkdir()
    found = nights.check()
    assert found["how"] == "whole"
    assert [path.name for path in kept(deployed)] == ["00000100"]


def test_what_the_report_says_of_a_database(deployed: RefreshConfig, neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    inputs, graph = looked_at(deployed)
    told = describe(None, inputs, graph)
    (source,) = told.sources
    assert source.name.startswith(("neo4j://", "bolt://"))
    assert source.kind == "neo4j"
    assert source.state == "new"
    assert source.read["nodes"] == 24 + 16 + 5
    assert "password" not in str(told)
    run = RunLayout(tmp_path / "run")
    run.path.mkdir()
    save_graph(graph, run.graph)
    Report(created="", fingerprint="", sources=told.sources).save(run)
    assert [entry.state for entry in describe(run, inputs, graph).sources] == ["unchanged"]
    changed = replace(inputs, sources={source.name: {**inputs.sources[source.name], "fingerprint": "other"}})
    assert [entry.state for entry in describe(run, changed, graph).sources] == ["changed"]


def test_nothing_is_kept_that_names_users_who_must_not_be_known(
    deployed: RefreshConfig,
) -> None:
    from ingest.people import People
    from kg.privacy.user_key import UserKey

    people = People(key=UserKey(b"k" * 32), pseudonyms=True)
    inputs, _ = looked_at(deployed)
    quiet = Report(created="", fingerprint=inputs.fingerprint)
    replace(inputs, people=people).keep_snapshot(deployed.runs_folder, quiet)
    assert kept(deployed) == []
    listed = replace(inputs, people=replace(people, pseudonyms=False))
    named = Finding(kind="forgotten users", severity="info", count=1, explanation="")
    listed.keep_snapshot(deployed.runs_folder, quiet.changed(quality=Quality(findings=(named,))))
    listed.keep_snapshot(deployed.runs_folder, quiet.changed(fingerprint="of another run"))
    assert kept(deployed) == []
    listed.keep_snapshot(deployed.runs_folder, quiet)
    assert len(kept(deployed)) == 1
