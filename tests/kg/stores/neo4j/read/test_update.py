"""A snapshot brought up to date on a real Neo4j: what a reading of everything gives, for less that is read."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kg.errors import ArtifactError
from kg.progress import Task
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.connection import Neo4jConnection
from kg.stores.neo4j.read import changes, pages, update
from kg.stores.neo4j.read.catalog import discover
from kg.stores.neo4j.read.reading import read_snapshot
from kg.stores.neo4j.read.snapshot import GONE, ReadPlan, Snapshot, page_groups
from kg.stores.neo4j.read.update import update_snapshot, why_whole

pytestmark = pytest.mark.neo4j

PLAN = ReadPlan(
    labels=("Movie", "User"),
    types=("LIKES", "RATED"),
    keys={"Movie": "id", "User": "id"},
    page=37,
    label_watermarks={"Movie": "t", "User": "t"},
    type_watermarks={"RATED": "t"},
    tombstone="deleted",
    hidden=("t", "deleted"),
)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pages of little data."""
    monkeypatch.setattr(pages, "FIRST_IDS", 20)
    monkeypatch.setattr(pages, "SMALLEST_IDS", 1)
    monkeypatch.setattr(changes, "IDS_A_QUERY", 11)


class Database:
    """Users who rate and like movies, written at a time that only goes forward."""

    def __init__(self, store: Neo4jStore) -> None:
        self.store, self.now = store, 100

    def run(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        self.now += 1
        return self.store.write(query, {"t": self.now, **parameters})

    def fill(self, users: int = 40, movies: int = 60) -> None:
        self.run("UNWIND range(1, $n) AS i CREATE (:User {id: 'u' + i, t: $t})", n=users)
        self.run("UNWIND range(1, $n) AS i CREATE (:Movie {id: 'm' + i, title: 'Film ' + i, t: $t})", n=movies)
        self.run(
            """MATCH (u:User) MATCH (m:Movie) WHERE (toInteger(substring(u.id, 1)) * 7
            + toInteger(substring(m.id, 1)) * 2) % 9 = 0
            CREATE (u)-[:RATED {rating: 1.0 * (size(m.id) + 1), t: $t}]->(m)"""
        )
        self.run("MATCH (u:User) MATCH (m:Movie) WHERE u.id = 'u' + substring(m.id, 1) CREATE (u)-[:LIKES]->(m)")


class Kept:
    """Snapshots of a database in a row, each from the one before, and checked against one of everything."""

    def __init__(self, store: Neo4jStore, folder: Path, plan: ReadPlan = PLAN) -> None:
        self.store, self.folder, self.plan, self.number = store, folder, plan, 0
        self.last = read_snapshot(store, folder / "0", plan)

    def update(self, *, compare: bool = False) -> Snapshot:
        self.number += 1
        catalog = discover(self.store)
        assert why_whole(self.last, self.plan, catalog) is None
        snapshot = update_snapshot(
            self.store, self.folder / f"{self.number}", self.last, self.plan, catalog=catalog, compare=compare
        )
        assert snapshot is not None
        self.last = snapshot
        return snapshot

    def check(self, *, compare: bool = False) -> Snapshot:
        snapshot = self.update(compare=compare)
        shutil.rmtree(self.folder / "whole", ignore_errors=True)
        assert same(snapshot, read_snapshot(self.store, self.folder / "whole", self.plan))
        return snapshot


def same(one: Snapshot, other: Snapshot) -> bool:
    for name in one.plan.labels:
        assert one.nodes(name).equals(other.nodes(name)), name
    for name in one.plan.types:
        assert one.relationships(name).equals(other.relationships(name)), name
    return one.digest == other.digest


@pytest.fixture
def database(neo4j_store: Neo4jStore) -> Database:
    made = Database(neo4j_store)
    made.fill()
    return made


@pytest.fixture
def kept(database: Database, tmp_path: Path) -> Kept:
    return Kept(database.store, tmp_path / "snapshots")


def read(snapshot: Snapshot) -> tuple[int, int]:
    return snapshot.read["nodes"], snapshot.read["relationships"]


LIKES = 40


def test_only_what_changed_is_read(database: Database, kept: Kept) -> None:
    database.run("MATCH (m:Movie {id: 'm7'}) SET m.title = 'Changed', m.t = $t")
    database.run("CREATE (:Movie {id: 'new', title: 'New', t: $t})")
    database.run("MATCH (u:User {id: 'u2'}) MATCH (m:Movie {id: 'new'}) CREATE (u)-[:RATED {rating: 5.0, t: $t}]->(m)")
    first = kept.check()
    # Those at the highest watermark of the last reading, all movies, come again; likes have none and come all.
    assert read(first) == (60 + 1 + 40, first.relationships("RATED").num_rows + LIKES)
    assert not first.read["compared"]
    second = kept.check()
    assert read(second) == (1 + 40, 1 + LIKES), "users have not changed since all were made at once"
    assert second.digest == first.digest
    names = set(second.nodes("Movie")["p.title"].to_pylist())
    assert {"Changed", "New"} <= names
    assert "p.t" not in second.nodes("Movie").column_names, "a watermark is no content"


def test_nothing_changed_gives_the_same_digest_and_links_the_pages(database: Database, kept: Kept) -> None:
    database.run("MATCH (m:Movie {id: 'm7'}) SET m.t = $t")
    database.run("MATCH (u:User {id: 'u7'}) SET u.t = $t")
    database.run("MATCH (:User {id: 'u7'})-[r:RATED]->() SET r.t = $t")
    before = kept.last.digest
    assert kept.update().digest == before, "touched, but the same"
    assert kept.update().digest == before
    old = {path.name: path.stat().st_ino for path in (kept.folder / "1").glob("*.parquet")}
    new = {path.name: path.stat().st_ino for path in (kept.folder / "2").glob("*.parquet")}
    assert sum(old.get(name) == inode for name, inode in new.items()) > len(new) / 2


@pytest.mark.parametrize(
    "stamps",
    [
        "datetime({epochSeconds: $t})",
        "datetime({epochSeconds: $t, timezone: 'Asia/Tokyo'})",
        "date({year: 2020}) + duration({days: $t})",
        "toString(1000000 + $t)",
        "CASE WHEN $t % 2 = 0 THEN $t ELSE $t + 0.25 END",
        "CASE WHEN $t % 2 = 0 THEN $t ELSE toString($t) END",
        "CASE WHEN $t % 2 = 0 THEN null ELSE $t END",
    ],
)
def test_watermarks_of_every_kind(neo4j_store: Neo4jStore, tmp_path: Path, stamps: str) -> None:
    stamp = f"WITH * CALL (*) {{ RETURN {stamps} AS stamp }}"
    database = Database(neo4j_store)
    for _ in range(6):
        database.run(f"{stamp} UNWIND range(1, 4) AS i CREATE (:Movie {{id: 'm' + $t + '-' + i, t: stamp}})")
    plan = ReadPlan(labels=("Movie",), keys={"Movie": "id"}, label_watermarks={"Movie": "t"}, hidden=("t",))
    kept = Kept(neo4j_store, tmp_path / "s", plan)
    for _ in range(2):
        database.run(f"{stamp} MATCH (m:Movie) WITH m, stamp ORDER BY m.id LIMIT 2 SET m.title = 'x' + $t, m.t = stamp")
        database.run(f"{stamp} CREATE (:Movie {{id: 'm' + $t, t: stamp}})")
        snapshot = kept.check()
        assert not snapshot.read["compared"]
    if "toString($t)" not in stamps and "null" not in stamps:
        assert snapshot.read["nodes"] < snapshot.nodes("Movie").num_rows / 2


def test_equal_watermarks_at_the_boundary_lose_nothing_and_double_nothing(database: Database, kept: Kept) -> None:
    mark = kept.last.watermarks["labels"]["Movie"]["value"]
    database.store.write("CREATE (:Movie {id: 'late', t: $t})", {"t": mark})
    snapshot = kept.check()
    assert not snapshot.read["compared"]
    assert snapshot.nodes("Movie")["p.id"].to_pylist().count("late") == 1
    assert len(set(snapshot.nodes("Movie")["p.id"].to_pylist())) == 61


def test_deleted_nodes_and_relationships_are_found_by_their_number(database: Database, kept: Kept) -> None:
    database.run("MATCH (m:Movie {id: 'm7'}) DETACH DELETE m")
    snapshot = kept.check()
    assert snapshot.read["compared"]
    assert "61" not in snapshot.read["why"]
    assert "m7" not in snapshot.nodes("Movie")["p.id"].to_pylist()
    database.run("MATCH (:User {id: 'u2'})-[r:RATED]->() WITH r LIMIT 3 DELETE r")
    assert "RATED are known" in kept.check().read["why"]
    database.run("MATCH (:User {id: 'u3'})-[r:LIKES]->() DELETE r")
    snapshot = kept.check()
    assert not snapshot.read["compared"], "all likes are read, so it is seen that one is gone"
    database.run("MATCH (u:User {id: 'u5'}) REMOVE u:User SET u:Former")
    assert "User" in kept.check().read["why"]


def test_what_has_a_tombstone_is_not_there(database: Database, kept: Kept) -> None:
    ratings = kept.last.relationships("RATED").num_rows
    database.run("MATCH (m:Movie {id: 'm7'}) SET m.deleted = true, m.t = $t")
    database.run("MATCH (m:Movie {id: 'm8'}) SET m.deleted = false, m.t = $t")
    database.run("MATCH (:User {id: 'u2'})-[r:RATED]->() WITH r LIMIT 3 SET r.deleted = $t, r.t = $t")
    snapshot = kept.check()
    assert not snapshot.read["compared"], "a tombstone needs no comparison of keys"
    assert snapshot.read["tombstones"] == {"nodes": 1, "relationships": 3}
    ids = snapshot.nodes("Movie")["p.id"].to_pylist()
    assert "m7" not in ids
    assert "m8" in ids
    lost = database.store.read("MATCH (:Movie {id: 'm7'})<-[r:RATED]-(u) WHERE r.deleted IS NULL RETURN count(r) AS n")
    assert snapshot.relationships("RATED").num_rows == ratings - 3 - lost[0]["n"]
    database.run("MATCH (m:Movie {id: 'm7'}) REMOVE m.deleted SET m.t = $t")
    assert "m7" in kept.check().nodes("Movie")["p.id"].to_pylist()
    database.run("MATCH ()-[r:RATED]->() WHERE r.deleted IS NOT NULL DELETE r")
    before = kept.last.digest
    assert kept.check().digest == before, "cleaning up what was marked changes nothing"


def test_a_node_that_got_the_internal_id_of_a_deleted_one_has_its_own_relationships(
    database: Database, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gives ids away again when it likes, so the snapshot is made to have seen others under three ids."""
    movies = kept.last.nodes("Movie")
    taken = dict(zip(movies["p.id"].to_pylist(), movies["node"].to_pylist(), strict=True))
    strangers = [taken[name] for name in ("m10", "m20", "m30")]
    for group in page_groups(kept.last.folder)["nodes"]:
        file = kept.last.folder / group["file"]
        rows = pa.parquet.read_table(file).to_pylist()
        for row in rows:
            if row["node"] in strangers:
                row["p.id"] = f"stranger {row['node']}"
        pa.parquet.write_table(pa.Table.from_pylist(rows), file)
    group = next(g for g in page_groups(kept.last.folder)["relationships"] if g["name"] == "RATED")
    file = kept.last.folder / group["file"]
    table = pa.parquet.read_table(file)
    last = kept.last.relationships("RATED")["relationship"].to_pylist()[-1]
    theirs = [
        {**table.to_pylist()[0], "relationship": last + 1 + at, "target": node} for at, node in enumerate(strangers)
    ]
    others = [row for row in table.to_pylist() if row["target"] not in strangers]
    pa.parquet.write_table(pa.Table.from_pylist([*others, *theirs], schema=table.schema), file)
    database.run("MATCH (m:Movie) WHERE m.id IN ['m10', 'm20', 'm30'] SET m.t = $t")
    database.run("MATCH (m:Movie {id: 'm30'}) REMOVE m:Movie SET m:User")
    monkeypatch.setattr(update, "why_compare", lambda *_: "")
    snapshot = kept.check()
    assert not snapshot.read["compared"]


def test_an_old_stamp_is_seen_when_keys_are_compared(database: Database, kept: Kept) -> None:
    database.run("MATCH (m:Movie {id: 'm7'}) SET m.title = 'Again', m.t = 3")
    assert "Again" not in kept.update().nodes("Movie")["p.title"].to_pylist(), "a watermark cannot see it"
    snapshot = kept.check(compare=True)
    assert "Again" in snapshot.nodes("Movie")["p.title"].to_pylist()
    assert snapshot.read["since_compared"] == 0
    database.run("CREATE (:Movie {id: 'old', t: 3})")
    snapshot = kept.check()
    assert "old" in snapshot.nodes("Movie")["p.id"].to_pylist(), "one more than is known: that is seen at once"
    assert kept.check().read["since_compared"] == 1
    database.run("MATCH (u:User {id: 'u4'})-[r:RATED]->() WITH r LIMIT 1 SET r.t = 2, r.rating = 0.25")
    assert 0.25 in kept.check(compare=True).relationships("RATED")["p.rating"].to_pylist()


def test_a_clock_that_was_turned_back_is_noticed(database: Database, kept: Kept) -> None:
    database.run("MATCH (m:Movie) SET m.t = 5000")
    kept.check()
    # The clock is right again: everything is stamped with what it said, below the highest watermark.
    database.run("MATCH (m:Movie) SET m.t = 300, m.title = m.title + '!'")
    snapshot = kept.check()
    assert "went back" in snapshot.read["why"]
    database.run("MATCH (m:Movie {id: 'm3'}) SET m.t = 301, m.title = 'After'")
    snapshot = kept.check()
    assert not snapshot.read["compared"]
    assert "After" in snapshot.nodes("Movie")["p.title"].to_pylist()


def test_other_types_of_values_labels_or_keys_want_a_whole_reading(database: Database, kept: Kept) -> None:
    store, plan = database.store, kept.plan
    database.run("MATCH (m:Movie {id: 'm3'}) SET m.title = 3, m.t = $t")
    assert why_whole(kept.last, plan, discover(store)) is None
    kept.check()
    database.run("MATCH (m:Movie {id: 'm3'}) SET m.title = 'Film 3', m.t = $t")
    assert "Movie.title" in str(why_whole(kept.last, plan, discover(store)))
    kept = Kept(store, kept.folder / "again", plan)
    database.run("MATCH (m:Movie {id: 'm3'}) SET m.day = date('2020-01-01'), m.t = $t")
    assert "Movie.day" in str(why_whole(kept.check(), plan, discover(store)) or "Movie.day")
    database.run("MATCH (m:Movie {id: 'm4'}) SET m.day = 'today', m.t = $t")
    assert "Movie.day" in str(why_whole(kept.last, plan, discover(store)))
    assert "keys" in str(why_whole(kept.last, replace(plan, keys={"Movie": "title"}), discover(store)))
    assert "no label" in str(
        why_whole(
            read_snapshot(store, kept.folder / "p", replace(plan, label_watermarks={}, type_watermarks={})),
            replace(plan, label_watermarks={}, type_watermarks={}),
            discover(store),
        )
    )
    assert "another database" in str(why_whole(kept.last, plan, replace(discover(store), database="other")))


def test_more_than_half_is_read_as_a_whole(database: Database, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "FEW", 10)
    database.run("MATCH (m:Movie) SET m.t = $t, m.title = 'All'")
    folder = kept.folder / "n"
    assert update_snapshot(database.store, folder, kept.last, PLAN, catalog=discover(database.store)) is None
    assert sorted(path.name for path in kept.folder.iterdir()) == ["0"]


class Stopping:
    """A listener that fails at the beginning of a task."""

    def __init__(self, when: str) -> None:
        self.when = when

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Task]:
        if description == self.when:
            raise StopAsyncIteration(description)

        class Step:
            def advance(self, steps: int = 1) -> None:
                pass

            def note(self, text: str) -> None:
                pass

        yield Step()


def test_an_update_that_is_cut_off_leaves_no_snapshot_and_the_old_one_whole(database: Database, kept: Kept) -> None:
    database.run("MATCH (m:Movie {id: 'm7'}) DETACH DELETE m")
    database.run("MATCH (m:Movie {id: 'm8'}) SET m.title = 'Changed', m.t = $t")
    store, folder, before = database.store, kept.folder / "1", kept.last.digest
    catalog = discover(store)
    for when in (
        "look for changed nodes",
        "read changed nodes",
        "look for changed relationships",
        "read changed relationships",
        "compare all keys",
        "write changed pages",
        "close snapshot",
    ):
        with pytest.raises(StopAsyncIteration, match=when):
            update_snapshot(store, folder, kept.last, PLAN, catalog=catalog, progress=Stopping(when))
        assert not folder.exists()
    assert Snapshot.open(kept.folder / "0").nodes("Movie").num_rows == 60
    assert Snapshot.open(kept.folder / "0").digest == before
    kept.check()


def test_a_damaged_snapshot_is_refused(database: Database, kept: Kept) -> None:
    next(kept.last.folder.glob("relationships-*.parquet")).write_bytes(b"PAR1 not really")
    database.run("MATCH (m:Movie {id: 'm7'}) SET m.t = $t")
    with pytest.raises(ArtifactError, match="cannot be read"):
        kept.update()


def test_nodes_that_were_gone_at_the_end_of_the_last_reading_are_asked_for_again(
    database: Database, kept: Kept
) -> None:
    node = kept.last.nodes("Movie")["node"][5].as_py()
    pa.parquet.write_table(pa.table({"node": pa.array([node])}), kept.last.folder / GONE)
    snapshot = kept.check()
    assert node in snapshot.nodes("Movie")["node"].to_pylist()


def test_a_property_that_only_deleted_nodes_have_is_none(database: Database, kept: Kept) -> None:
    database.run("MATCH (u:User {id: 'u3'}) SET u:Movie, u.t = $t")
    database.run("MATCH (u:User {id: 'u3'}) SET u.deleted = $t, u.t = $t")
    kept.check()
    database.run("MATCH (u:User {id: 'u3'}) SET u.title = 'Both', u.t = $t")
    assert "p.title" not in kept.check().nodes("User").column_names


CHANGES: list[Callable[[random.Random], str]] = [
    lambda r: f"UNWIND range(1, {r.randint(1, 9)}) AS i CREATE (:Movie {{id: 'n' + $t + '-' + i, title: 'N', t: $t}})",
    lambda r: f"UNWIND range(1, {r.randint(1, 4)}) AS i CREATE (:User {{id: 'v' + $t + '-' + i, t: $t}})",
    lambda r: f"MATCH (m:Movie) WITH m, rand() AS x ORDER BY x LIMIT {r.randint(1, 5)} DETACH DELETE m",
    lambda r: f"MATCH (u:User) WITH u, rand() AS x ORDER BY x LIMIT {r.randint(1, 3)} DETACH DELETE u",
    lambda r: "MATCH (m:Movie) WITH m, rand() AS x ORDER BY x LIMIT 3 SET m.title = 'T' + $t, m.t = $t",
    lambda r: "MATCH (m:Movie) WITH m, rand() AS x ORDER BY x LIMIT 2 SET m.deleted = $t, m.t = $t",
    lambda r: "MATCH (m:Movie) WHERE m.deleted IS NOT NULL WITH m LIMIT 2 DETACH DELETE m",
    lambda r: "MATCH (m:Movie) WHERE m.deleted IS NOT NULL WITH m LIMIT 1 REMOVE m.deleted SET m.t = $t",
    lambda r: (
        """MATCH (u:User) MATCH (m:Movie) WITH u, m, rand() AS x ORDER BY x LIMIT 12
        CREATE (u)-[:RATED {rating: round(rand() * 5), t: $t}]->(m)"""
    ),
    lambda r: "MATCH ()-[r:RATED]->() WITH r, rand() AS x ORDER BY x LIMIT 5 SET r.rating = 0.5, r.t = $t",
    lambda r: f"MATCH ()-[r:RATED]->() WITH r, rand() AS x ORDER BY x LIMIT {r.randint(1, 9)} DELETE r",
    lambda r: "MATCH ()-[r:RATED]->() WITH r, rand() AS x ORDER BY x LIMIT 2 SET r.deleted = true, r.t = $t",
    lambda r: "MATCH (u:User) MATCH (m:Movie) WITH u, m, rand() AS x ORDER BY x LIMIT 4 CREATE (u)-[:LIKES]->(m)",
    lambda r: "MATCH ()-[r:LIKES]->() WITH r, rand() AS x ORDER BY x LIMIT 2 DELETE r",
    lambda r: "MATCH (m:Movie) WITH m, rand() AS x ORDER BY x LIMIT 1 SET m.id = 'renamed' + $t, m.t = $t",
    lambda r: "MATCH (u:User) WITH u, rand() AS x ORDER BY x LIMIT 1 SET u:Movie, u.t = $t",
]


@pytest.mark.parametrize("seed", range(2))
def test_after_any_changes_it_is_what_a_reading_of_everything_gives(database: Database, kept: Kept, seed: int) -> None:
    choice = random.Random(seed)  # noqa: S311
    for _ in range(5):
        for change in choice.choices(CHANGES, k=choice.randint(1, 6)):
            database.run(change(choice))
        if why_whole(kept.last, kept.plan, discover(database.store)):
            kept.last = read_snapshot(database.store, kept.folder / f"w{kept.number}", kept.plan)
            continue
        kept.check(compare=choice.random() < 0.2)


KILLED = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from kg.stores.neo4j.read import pages
from kg.stores.neo4j.read.catalog import discover
from kg.stores.neo4j.connection import Neo4jConnection
from kg.stores.neo4j.read.snapshot import Snapshot
from kg.stores.neo4j.read.update import update_snapshot
pages.FIRST_IDS = 20
class Killer:
    @contextmanager
    def task(self, description, *, total=None):
        class Step:
            def advance(self, steps=1):
                if description == sys.argv[4]:
                    os.kill(os.getpid(), signal.SIGKILL)
        yield Step()
        if description == sys.argv[4]:
            os.kill(os.getpid(), signal.SIGKILL)
with Neo4jConnection(uri=sys.argv[1], password_env=sys.argv[5]).open() as store:
    kept = Snapshot.open(Path(sys.argv[2]))
    update_snapshot(store, Path(sys.argv[3]), kept, kept.plan, catalog=discover(store), progress=Killer())
"""


def test_a_killed_update_leaves_no_snapshot_and_the_next_one_clears_what_it_left(
    database: Database, kept: Kept, neo4j_connection: Neo4jConnection
) -> None:
    database.run("MATCH (m:Movie) WITH m LIMIT 20 SET m.title = 'Changed', m.t = $t")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[5])}
    before = kept.last.digest
    for when in ("read changed nodes", "write changed pages", "close snapshot"):
        command = [sys.executable, "-c", KILLED, neo4j_connection.uri, str(kept.folder / "0"), str(kept.folder / "1")]
        command += [when, neo4j_connection.password_env]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        assert sorted(path.name for path in kept.folder.iterdir()) == ["0", "1.update"]
        assert Snapshot.open(kept.folder / "0").nodes("Movie").num_rows == 60
        assert Snapshot.open(kept.folder / "0").digest == before
    kept.check()
    assert not (kept.folder / "1.update").exists()
