"""A Neo4j server that is killed while it is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from kg.errors import StoreUnavailableError
from kg.progress import Task
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.read import pages
from kg.stores.neo4j.read.reading import read_snapshot
from kg.stores.neo4j.read.snapshot import INDEX, ReadPlan, Snapshot
from tests.conftest import connect
from tests.neo4j_server.server import Neo4jServer

pytestmark = pytest.mark.neo4j

RATINGS = 3_000
PLAN = ReadPlan(labels=("User", "Movie"), types=("RATED",), page=300)


class At:
    """A listener of progress that does something once, at a step of a task."""

    def __init__(self, task: str, step: int, action: Callable[[], object]) -> None:
        self.name, self.step, self.action = task, step, action
        self.steps: list[int] = []

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Task]:
        hook = self

        class Step:
            def advance(self, steps: int = 1) -> None:
                if description == hook.name:
                    hook.steps.append(steps)
                    if len(hook.steps) == hook.step:
                        hook.action()

            def note(self, text: str) -> None:
                pass

        yield Step()


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "FIRST_IDS", 50)


def fill(store: Neo4jStore) -> None:
    store.write("UNWIND range(0, 99) AS i CREATE (:User {id: 'u' + i})")
    store.write("UNWIND range(0, 49) AS i CREATE (:Movie {id: 'm' + i})")
    store.write(
        "UNWIND range(0, $n - 1) AS i MATCH (u:User {id: 'u' + i % 100}), (m:Movie {id: 'm' + (i / 60)}) "
        "CREATE (u)-[:RATED {n: i}]->(m)",
        {"n": RATINGS},
    )


def expect_all(snapshot: Snapshot) -> None:
    users = dict(zip(*(snapshot.nodes("User")[name].to_pylist() for name in ("node", "p.id")), strict=True))
    movies = dict(zip(*(snapshot.nodes("Movie")[name].to_pylist() for name in ("node", "p.id")), strict=True))
    found = {(users[r["source"]], movies[r["target"]], r["p.n"]) for r in snapshot.relationships("RATED").to_pylist()}
    assert found == {(f"u{i % 100}", f"m{i // 60}", i) for i in range(RATINGS)}
    assert snapshot.relationships("RATED").num_rows == RATINGS


def test_a_server_that_is_killed_while_it_is_read(own_neo4j_server: Neo4jServer, tmp_path: Path) -> None:
    """One server for all of it, started twice: that takes some ten seconds each time."""
    server = own_neo4j_server
    with connect(server) as store:
        fill(store)
        goes_on_when_it_is_back(server, store, tmp_path / "back")
        tells_nodes_with_a_used_id_apart(store, tmp_path / "reused")
        fails_cleanly_when_it_is_not(server, store, tmp_path / "away")


def goes_on_when_it_is_back(server: Neo4jServer, store: Neo4jStore, folder: Path) -> None:
    restarting: list[Thread] = []

    def kill_and_start() -> None:
        server.kill()
        restarting.append(Thread(target=server.start))
        restarting[0].start()

    snapshot = read_snapshot(store, folder, PLAN, progress=At("read relationships", 3, kill_and_start), patience=240)
    restarting[0].join()
    expect_all(snapshot)
    assert not snapshot.moved


def fails_cleanly_when_it_is_not(server: Neo4jServer, store: Neo4jStore, folder: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="did not answer for 2 s") as caught:
        read_snapshot(store, folder, PLAN, progress=At("read relationships", 3, server.kill), patience=2)
    assert server.password not in str(caught.value)
    assert not (folder / INDEX).exists()
    # They are gone on with by the next try.
    assert len(list(folder.glob("relationships-*.json"))) >= 3


def tells_nodes_with_a_used_id_apart(store: Neo4jStore, folder: Path) -> None:
    used: set[int] = set()

    def replace() -> None:
        """Delete some users, and create others until the server gives the ids of some of them out again."""
        ids = store.read("MATCH (u:User) WHERE u.id IN ['u1', 'u2', 'u3'] RETURN collect(id(u)) AS ids")[0]["ids"]
        store.write("MATCH (u:User) WHERE id(u) IN $ids DETACH DELETE u", {"ids": ids})
        deadline = time.monotonic() + 60
        while not used and time.monotonic() < deadline:
            rows: list[dict[str, Any]] = store.write(
                "UNWIND range(1, 20) AS i CREATE (u:User {id: randomUUID()}) RETURN id(u) AS i"
            )
            used.update({row["i"] for row in rows} & set(ids))
            time.sleep(0.2)
        store.write(
            "MATCH (u:User), (m:Movie {id: 'm7'}) WHERE id(u) IN $ids CREATE (u)-[:RATED {n: -1}]->(m)",
            {"ids": list(used)},
        )

    snapshot = read_snapshot(store, folder, PLAN, progress=At("read relationships", 1, replace))
    assert used, "the server re-used no id: this shows nothing"
    users = snapshot.nodes("User")
    assert set(users["p.id"].to_pylist()) == {f"u{i}" for i in range(100)} - {"u1", "u2", "u3"}
    assert snapshot.moved.reused == {"User": len(used)}
    assert snapshot.moved.gone.get("User", 0) == 3 - len(used)
    assert snapshot.moved.new["User"] > 0
    rated = snapshot.relationships("RATED")
    assert -1 not in rated["p.n"].to_pylist()
    assert set(rated["source"].to_pylist()) <= set(users["node"].to_pylist())
