"""The main job from a Neo4j database: the run of the same facts in RDF, killed anywhere, and when the server stops."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingest import DataSettings, build_graph
from kg import KnowledgeGraph, RelationKey
from kg.errors import ConfigError, InvalidDataError, StoreUnavailableError
from kg.io.graph_folder import load_graph
from recall.config.deployment import RefreshConfig, load_config
from recall.jobs.refresh import Inputs, refresh
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.serve.recommender import Recommender
from tests.conftest import connect
from tests.recall.conftest import CONFIG

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore
    from kg.stores.neo4j.connection import Neo4jConnection
    from tests.neo4j_server.server import Neo4jServer

pytestmark = pytest.mark.neo4j
Deploy = Callable[..., Path]

SOURCE = """
[sources.neo4j]
interactions = [{type = "RATED"}]
patience = 1
page = 500
[neo4j]
"""


def graph_of(config: RefreshConfig) -> KnowledgeGraph:
    return build_graph(DataSettings(graph=config.graph, sources=config.sources), base=config.base)[0]


def from_neo4j(folder: Path, connection: Neo4jConnection, *, source: str = SOURCE) -> Path:
    """The config of the deployment whose sources are in the database."""
    lines, skipping = [], False
    for line in CONFIG.splitlines():
        if line.startswith("["):
            skipping = line.startswith("[[sources")
        if not skipping and not line.startswith(("rdf_class", "key =")):
            lines.append(line)
    address = f'uri = "{connection.uri}"\nuser = "{connection.user}"\npassword_env = "{connection.password_env}"\n'
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("\n".join(lines) + source + address)
    return folder / "config.toml"


def candidates(run: RunLayout) -> Any:
    recommender = Recommender.load(run.path)
    return recommender.recommend(recommender.graph.users.ids.to_pylist()[:100], k=10).table


def same_graphs(one: RunLayout, other: RunLayout) -> bool:
    left, right = load_graph(one.graph), load_graph(other.graph)
    return left.counts() == right.counts() and all(
        table.equals(there[name])
        for tables, there in ((left.nodes, right.nodes), (left.edges, right.edges))
        for name, table in tables.items()
    )


def ratings(run: RunLayout) -> list[float]:
    found: list[float] = load_graph(run.graph).edges[RelationKey("user", "rated", "movie")]["rating"].to_pylist()
    return found


def left_over(runs: RunsFolder) -> list[str]:
    return [path.name for path in runs.staging_root.iterdir()] if runs.staging_root.exists() else []


def test_a_run_from_neo4j_is_the_run_from_rdf_until_the_database_changes(
    neo4j_connection: Neo4jConnection, neo4j_store: Neo4jStore, make_deployment: Deploy, tmp_path: Path
) -> None:
    from kg.stores.neo4j.write.load import load_into

    rdf = load_config(make_deployment(tmp_path / "rdf", users=110))
    load_into(neo4j_store, graph_of(rdf))
    wanted = refresh(rdf).run
    config = load_config(from_neo4j(tmp_path / "neo4j", neo4j_connection))
    runs = RunsFolder(config.runs_folder)
    first = refresh(config)
    assert first.status == "published"
    assert same_graphs(first.run, wanted)
    found = candidates(first.run)
    assert len(set(found["user_id"].to_pylist())) == 100
    assert found.equals(candidates(wanted))
    assert left_over(runs) == []
    assert [s.kind for s in first.report.quality.sources] == ["neo4j"] * len(first.report.quality.sources)

    elsewhere = load_config(from_neo4j(tmp_path / "elsewhere", neo4j_connection.changed(timeout=99.0)))
    inputs = Inputs.of(elsewhere, tmp_path / "staging")
    assert inputs.fingerprint == first.run.manifest()["fingerprint"], "how the server is reached makes no other run"
    slower = load_config(tmp_path / "neo4j" / "config.toml")
    slower = slower.model_copy(
        update={
            "sources": slower.sources.model_copy(update={"neo4j": slower.sources.neo4j.model_copy(update={"page": 9})})
        }
    )
    assert refresh(slower).status == "unchanged", "how it is read makes no other run"
    assert left_over(runs) == [], "or the next refresh would not see what changed"

    neo4j_store.write("MATCH (u:User {id: 'u1'})-[r:RATED]->() WITH r LIMIT 1 SET r.rating = 1.25")
    second = refresh(config)
    assert second.status == "published"
    assert [ratings(run).count(1.25) for run in (first.run, second.run)] == [0, 1]
    assert left_over(runs) == []


class StopError(Exception):
    """A kill, as far as files are concerned: nothing is cleaned up for it."""


class Stopping:
    """A listener that stops the refresh when a task begins, or has come so far."""

    def __init__(self, when: str, act: Callable[[], None], after: int = 0) -> None:
        self.when, self.act, self.after = when, act, after
        self.heard: list[str] = []

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Any]:
        self.heard.append(description)
        if description == self.when and not self.after:
            self.act()
        yield _Task(self, description == self.when)


class _Task:
    def __init__(self, listener: Stopping, watched: bool) -> None:
        self.listener, self.watched, self.done = listener, watched, 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        if self.watched and 0 < self.listener.after <= self.done:
            self.watched = False
            self.listener.act()

    def note(self, text: str) -> None:
        pass


def stop() -> None:
    raise StopError


@pytest.fixture
def deployed(
    neo4j_connection: Neo4jConnection, neo4j_store: Neo4jStore, make_deployment: Deploy, tmp_path: Path
) -> RefreshConfig:
    from kg.stores.neo4j.write.load import load_into

    load_into(neo4j_store, graph_of(load_config(make_deployment(tmp_path / "rdf"))))
    return load_config(from_neo4j(tmp_path / "neo4j", neo4j_connection))


def test_a_killed_refresh_goes_on_where_it_stopped(deployed: RefreshConfig, neo4j_store: Neo4jStore) -> None:
    runs = RunsFolder(deployed.runs_folder)
    with pytest.raises(StopError):
        refresh(deployed, progress=Stopping("read relationships", stop, after=100))
    (pages,) = left_over(runs)
    assert pages.startswith("neo4j-")
    assert runs.current() is None
    before = {path: path.stat().st_mtime_ns for path in (runs.staging_root / pages).glob("nodes-*")}
    with pytest.raises(StopError):
        refresh(deployed, progress=Stopping("training lightgcn for serving", stop))
    assert {path: path.stat().st_mtime_ns for path in before} == before, "pages that were read are not read again"
    assert len(left_over(runs)) == 2
    # What was read is what the run is made of: nothing half old, half new.
    neo4j_store.write("MATCH (u:User {id: 'u1'})-[r:RATED]->() WITH r LIMIT 1 SET r.rating = 1.25")
    last = Stopping("", stop)
    result = refresh(deployed, progress=last)
    assert result.status == "published"
    assert "training lightgcn for evaluation" not in last.heard
    assert "training lightgcn for serving" in last.heard
    assert 1.25 not in ratings(result.run)
    assert left_over(runs) == []
    assert 1.25 in ratings(refresh(deployed).run), "the next refresh has it"


def test_a_full_refresh_reads_anew_what_a_killed_one_had_read(deployed: RefreshConfig, neo4j_store: Neo4jStore) -> None:
    with pytest.raises(StopError):
        refresh(deployed, progress=Stopping("mapping the database onto the graph", stop))
    neo4j_store.write("MATCH (u:User {id: 'u1'})-[r:RATED]->() WITH r LIMIT 1 SET r.rating = 1.25")
    assert 1.25 in ratings(refresh(deployed, full=True).run)


def test_data_that_cannot_be_used_is_read_anew_once_it_is_mended(
    deployed: RefreshConfig, neo4j_store: Neo4jStore
) -> None:
    neo4j_store.write("MATCH (m:Movie) WITH m LIMIT 12 REMOVE m.id")
    with pytest.raises(InvalidDataError, match=r"\(:Movie\).*12 of 24.*missing ids"):
        refresh(deployed)
    runs = RunsFolder(deployed.runs_folder)
    assert not [name for name in left_over(runs) if name.startswith("neo4j-")]
    assert runs.current() is None
    neo4j_store.write("MATCH (m:Movie) WHERE m.id IS NULL SET m.id = m.identifier")
    assert refresh(deployed).status == "published"
    wrong = replace_source(deployed, labels=["Movi"])
    with pytest.raises(ConfigError, match=r"sources\.neo4j\.labels.*'Movi'.*did you mean 'Movie'"):
        refresh(wrong)
    assert left_over(runs) == []


def replace_source(config: RefreshConfig, **changes: Any) -> RefreshConfig:
    assert config.sources.neo4j is not None
    changed = config.sources.neo4j.model_copy(update=changes)
    return config.model_copy(update={"sources": config.sources.model_copy(update={"neo4j": changed})})


def test_the_command_tells_what_is_wrong_with_the_server(
    deployed: RefreshConfig,
    command: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert deployed.neo4j is not None
    config = deployed.base / "config.toml"
    monkeypatch.setenv("WRONG_PASSWORD", "not-this-one")
    monkeypatch.setenv("TOKEN_OF_NOBODY", "")
    for change, words in (
        ({"password_env": "WRONG_PASSWORD"}, "does not let us in"),
        ({"password_env": "TOKEN_OF_NOBODY"}, "there is no password"),
        ({"uri": "neo4j://127.0.0.1:1"}, "does not answer"),
    ):
        changed = deployed.neo4j.changed(**change)
        folder = tmp_path / words.replace(" ", "-")
        shutil.copytree(config.parent, folder / "deployment")
        there = from_neo4j(folder / "wrong", changed)
        code, _, told = command("refresh", there)
        assert code == 1
        assert words in " ".join(told.split())
        assert "not-this-one" not in told
        assert not RunsFolder(there.parent / "runs").runs()


def test_a_refresh_outlives_its_server(
    own_neo4j_server: Neo4jServer, make_deployment: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kg.stores.neo4j.connection import Neo4jConnection
    from kg.stores.neo4j.write.load import load_into

    monkeypatch.setenv("GRAPHRECALL_OWN_PASSWORD", own_neo4j_server.password)
    connection = Neo4jConnection(uri=own_neo4j_server.uri, password_env="GRAPHRECALL_OWN_PASSWORD")  # noqa: S106
    graph = graph_of(load_config(make_deployment(tmp_path / "rdf")))
    with connect(own_neo4j_server) as store:
        load_into(store, graph)
    config = load_config(from_neo4j(tmp_path / "neo4j", connection))
    runs = RunsFolder(config.runs_folder)
    served = refresh(config).run
    with connect(own_neo4j_server) as store:
        store.write("MATCH (u:User {id: 'u1'})-[r:RATED]->() WITH r LIMIT 1 SET r.rating = 1.25")
    with pytest.raises(StoreUnavailableError):
        refresh(
            replace_source(config, page=50), progress=Stopping("read relationships", own_neo4j_server.kill, after=50)
        )
    assert runs.current() == served
    assert runs.runs() == [served]
    (pages,) = left_over(runs)
    kept = sorted(path.name for path in (runs.staging_root / pages).glob("relationships-*.json"))
    assert kept
    with pytest.raises(StoreUnavailableError):
        refresh(config)
    own_neo4j_server.start()
    result = refresh(replace_source(config, page=50))
    assert result.status == "published"
    assert runs.current() == result.run != served
    assert load_graph(result.run.graph).counts() == graph.counts()
    assert left_over(runs) == []
