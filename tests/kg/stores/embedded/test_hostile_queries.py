"""Queries that would end the process that runs them, fill its memory or keep it busy: the next one is answered."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kg import KnowledgeGraph
from kg.cypher import bounds
from kg.cypher.guard import check_read_only
from kg.errors import ArtifactError, QueryRefusedError, QueryTimeoutError, StoreError
from kg.io.files import checksum
from kg.stores.embedded import store as embedded
from kg.stores.embedded.build import write_store
from kg.stores.embedded.store import EmbeddedStore
from tests.attacks.queries import CRASHES, MEMORY_BOMBS, nested

MEMORY = 256 << 20
COUNT = "MATCH (u:User) RETURN count(*) AS n"


@pytest.fixture(scope="module")
def file(toy_graph: KnowledgeGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("store") / "g"
    write_store(toy_graph, file)
    return file


@pytest.fixture(scope="module")
def store(file: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(file, memory=MEMORY) as opened:
        yield opened


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the bounds that come before the process."""
    monkeypatch.setattr(embedded, "check_read_only", lambda text: None)


@pytest.mark.parametrize("text", CRASHES.values(), ids=CRASHES)
def test_what_ends_its_process_is_an_error_and_the_next_query_is_answered(
    store: EmbeddedStore, unguarded: None, text: str
) -> None:
    with pytest.raises(StoreError):
        store.query(text, timeout=2)
    assert store.query(COUNT) == [{"n": 30}]


def test_memory_stays_within_the_limit(file: Path) -> None:
    program = (
        "import resource, sys; from kg.errors import StoreError; from kg.stores.embedded.store import EmbeddedStore\n"
        f"with EmbeddedStore(sys.argv[1], memory={MEMORY}) as store:\n"
        "    for text in sys.argv[2:]:\n"
        "        try: print(store.query(text, timeout=20))\n"
        "        except StoreError as error: print('refused', error)\n"
        f"    print(store.query({COUNT!r}))\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)\n"
    )
    command = [sys.executable, "-c", program, str(file), *MEMORY_BOMBS.values()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *refused, answer, most = done.stdout.splitlines()
    assert [line.split()[0] for line in refused] == ["refused"] * len(MEMORY_BOMBS), done.stdout
    assert answer == "[{'n': 30}]"
    assert int(most) < MEMORY + (256 << 20)  # with what the process has without any query


def test_what_nothing_interrupts_is_ended_at_its_time_and_nobody_waits_longer(
    store: EmbeddedStore, unguarded: None
) -> None:
    bomb = f"RETURN {'CASE WHEN true THEN ' * 40}1{' END' * 40} AS x"
    answers: list[object] = []

    def ask() -> None:
        answers.append(store.query(COUNT, timeout=60))

    other = threading.Timer(0.1, ask)
    other.start()
    with pytest.raises(QueryTimeoutError, match=r"longer than 0\.5 seconds"):
        store.query(bomb, timeout=0.5)
    other.join()
    assert answers == [[{"n": 30}]]


def test_answers_have_a_bound_on_rows_and_on_bytes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedStore(file, rows=5000) as store:
        assert len(store.query("UNWIND range(1, 5000) AS x RETURN x")) == 5000
        with pytest.raises(StoreError, match=r"has more than 5,000 rows: add LIMIT"):
            store.query("UNWIND range(1, 5001) AS x RETURN x")
        monkeypatch.setattr(embedded, "ANSWER", 3 << 20)
        with pytest.raises(StoreError, match=r"has more than 3 MB: add LIMIT"):
            store.query("UNWIND range(1, 4000) AS x RETURN x, repeat('abcdefghij', 100) AS y")
        monkeypatch.setattr(embedded, "VALUES", 1000)
        with pytest.raises(StoreError, match="values of a query are more"):
            store.query("RETURN $x AS x", {"x": "y" * 1000})
        assert store.query(COUNT) == [{"n": 30}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (nested("[", "]", bounds.DEEPEST + 1), "Line 1: brackets and signs are nested more than 64 deep"),
        (f"RETURN\n{'-+' * bounds.DEEPEST}1 AS x", "Line 2: brackets and signs are nested more than 64 deep"),
        (f"RETURN {'CASE WHEN true THEN ' * 13}1{' END' * 13} AS x", "CASE is nested more than 12 deep"),
        (f"RETURN {'1 * ' * 1001}1 AS x", "more than 1,000 operators follow each other"),
        (f"RETURN '{'x' * bounds.LONGEST}' AS x", "has 100,014 characters, and 100,000 are the most"),
    ],
)
def test_what_is_too_long_or_too_deep_is_refused_before_it_is_looked_at(
    store: EmbeddedStore, text: str, message: str
) -> None:
    with pytest.raises(QueryRefusedError, match=f"the query is not run.*{message}"):
        store.query(text)


def test_what_is_within_the_bounds_is_answered(store: EmbeddedStore) -> None:
    check_read_only(f"RETURN {'1 * ' * bounds.LONGEST_CHAIN}1 AS x, {'1 + ' * bounds.LONGEST_CHAIN}1 AS y")
    items = ", ".join("[1 + 2 + 3, -1]" for _ in range(1500))
    (row,) = store.query(f"RETURN [{items}] AS x, {'[' * 20}1{']' * 20} AS y, CASE WHEN true THEN 1 ELSE 2 END AS z")
    assert (len(row["x"]), row["z"]) == (1500, 1)


def test_a_process_that_is_killed_between_queries_is_started_again(store: EmbeddedStore) -> None:
    assert store._process is not None
    store._process.kill()
    with pytest.raises(StoreError, match="did not survive a query \\(SIGKILL\\)"):
        store.query(COUNT)
    assert store.query(COUNT) == [{"n": 30}]


def _in_a_fork(work: Callable[[], None]) -> int:
    forked = os.fork()
    if not forked:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])


def test_a_forked_process_asks_as_well_and_leaves_its_parent_s_alone(file: Path) -> None:
    with EmbeddedStore(file, memory=MEMORY) as store:
        assert store.query(COUNT) == [{"n": 30}]
        process = store._process

        def work() -> None:
            assert store.query(COUNT, timeout=30) == [{"n": 30}]
            store.close()

        assert _in_a_fork(work) == 0
        assert store.query(COUNT) == [{"n": 30}]
        assert store._process is process


def test_a_process_forked_in_the_middle_of_a_query_does_not_wait_for_it(file: Path) -> None:
    with EmbeddedStore(file, memory=MEMORY) as store:
        long = "MATCH (a)-[]-(b)-[]-(c)-[]-(d)-[]-(e)-[]-(f)-[]-(g) RETURN count(*) AS n"

        def ask() -> None:
            with pytest.raises(QueryTimeoutError):
                store.query(long, timeout=3)

        thread = threading.Thread(target=ask)
        thread.start()
        while not store._turn.locked():
            time.sleep(0.01)

        def work() -> None:
            assert store.query(COUNT, timeout=30) == [{"n": 30}]

        assert _in_a_fork(work) == 0
        thread.join()


def test_the_file_is_compared_with_its_checksum_whenever_it_is_opened(
    toy_graph: KnowledgeGraph, tmp_path: Path
) -> None:
    write_store(toy_graph, tmp_path / "g")
    right = checksum(tmp_path / "g")
    with pytest.raises(ArtifactError, match="is damaged: its checksum differs from the manifest's"):
        EmbeddedStore(tmp_path / "g", checksum=right[::-1])
    with EmbeddedStore(tmp_path / "g", checksum=right) as store:
        assert store.query(COUNT) == [{"n": 30}]
        data = (tmp_path / "g").read_bytes()
        (tmp_path / "g").write_bytes(data.replace(b"The ", b"Tha "))
        with pytest.raises(StoreError):
            store.query(CRASHES["a date that Python has not"])
        with pytest.raises(ArtifactError, match="is damaged"):
            store.query(COUNT)
