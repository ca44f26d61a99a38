"""The index in PostgreSQL against brute force, filters, changes by several processes, and a server that fails."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from kg import RaggedArray
from kg.errors import ArtifactError, ConfigError, InvalidDataError, QueryTimeoutError, StoreUnavailableError
from recall.index.base import VectorIndex
from recall.index.build import build_index
from recall.index.exact import vectors_fingerprint
from recall.index.settings import IndexConfig
from tests.recall.index.test_index import brute_force, clustered, lists_of

psycopg = pytest.importorskip("psycopg")
pytest.importorskip("pgvector")

from pgvector.psycopg import register_vector  # noqa: E402

from recall.index.postgres import statements  # noqa: E402
from recall.index.postgres.index import PostgresIndex  # noqa: E402
from recall.index.postgres.settings import PostgresConfig  # noqa: E402
from recall.index.postgres.statements import Statements  # noqa: E402

COUNT, DIM = 3000, 16


@pytest.fixture(scope="module")
def made(database: PostgresConfig) -> Iterator[tuple[PostgresIndex, np.ndarray, np.ndarray]]:
    vectors, queries = clustered(COUNT, DIM, seed=1)
    config = IndexConfig(target_recall=0.99, measured_at=20)
    index = PostgresIndex.create(database, "shared", vectors, queries=queries, index=config)
    yield index, vectors, queries[:30]
    index.close()


@pytest.fixture
def own(database: PostgresConfig, request: pytest.FixtureRequest) -> Iterator[PostgresIndex]:
    vectors, _ = clustered(400, DIM, seed=2)
    index = PostgresIndex.create(database, "own", vectors)
    yield index
    index.drop()
    index.close()


def found(items: np.ndarray, truth: np.ndarray) -> float:
    hits = sum(len(set(mine[mine >= 0]) & set(best[best >= 0])) for mine, best in zip(items, truth, strict=True))
    return hits / max(int((truth >= 0).sum()), 1)


def test_it_is_an_index_like_the_others(made: tuple[PostgresIndex, np.ndarray, np.ndarray]) -> None:
    index, vectors, _ = made
    assert isinstance(index, VectorIndex)
    assert isinstance(build_index(vectors), VectorIndex)
    assert (len(index), index.dim) == (COUNT, DIM)
    assert index.fingerprint == vectors_fingerprint(vectors)
    facts = index.facts
    assert facts["kind"] == "pgvector"
    assert facts["items"] == COUNT
    assert facts["recall"] >= 0.99
    assert facts["bytes_a_vector"] > 4 * DIM


def test_it_finds_what_the_target_promises_with_the_same_scores(
    made: tuple[PostgresIndex, np.ndarray, np.ndarray],
) -> None:
    index, vectors, queries = made
    top = index.search(queries, 20)
    exact = build_index(vectors).search(queries, 20)
    assert found(top.items, exact.items) >= 0.97
    same = top.items == exact.items
    assert top.scores[same].tolist() == exact.scores[same].tolist()
    assert (np.diff(top.scores, axis=1) <= 0).all()
    asked = np.array([[0, -1, 5], [7, 7, 2999]])
    assert index.scores(queries[:2], asked).tolist() == build_index(vectors).scores(queries[:2], asked).tolist()


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_filters_miss_nothing(made: tuple[PostgresIndex, np.ndarray, np.ndarray], share: float) -> None:
    index, vectors, queries = made
    random = np.random.default_rng(int(share * 1000))
    only = np.flatnonzero(random.random(COUNT) >= share)
    truth = brute_force(vectors, queries, 20, only=only)
    items = index.search(queries, 20, only=only).items
    assert set(items[items >= 0].tolist()) <= set(only.tolist())
    assert (items >= 0).sum() == (truth >= 0).sum()
    assert found(items, truth) >= (1.0 if share >= 0.9 else 0.97)


def test_what_is_excluded_never_comes_back_and_k_are_found(
    made: tuple[PostgresIndex, np.ndarray, np.ndarray],
) -> None:
    index, vectors, queries = made
    exclude = lists_of(len(queries), np.random.default_rng(3), COUNT, 600)
    truth = brute_force(vectors, queries, 20, exclude)
    items = index.search(queries, 20, exclude=exclude).items
    assert not exclude.contains(items).any()
    assert (items >= 0).all()
    assert found(items, truth) >= 0.97
    everything = RaggedArray.from_lists([np.arange(COUNT)] * len(queries))
    assert (index.search(queries, 3, exclude=everything).items == -1).all()
    assert (index.search(queries, 3, only=np.zeros(0, dtype=np.int64)).items == -1).all()


def test_more_than_there_are(own: PostgresIndex) -> None:
    query = np.ones((1, DIM), dtype=np.float32)
    top = own.search(query, 500)
    assert (top.items >= 0).sum() == 400
    assert np.isneginf(top.scores[0, 400:]).all()


def test_equal_scores_stand_in_the_order_of_their_positions(database: PostgresConfig) -> None:
    vectors = np.ones((50, 4), dtype=np.float32)
    index = PostgresIndex.create(database, "ties", vectors)
    items = index.search(np.ones((1, 4), dtype=np.float32), 40).items[0]
    assert items.tolist() == sorted(items.tolist())
    index.drop()


def test_threads_share_it(made: tuple[PostgresIndex, np.ndarray, np.ndarray]) -> None:
    index, _, queries = made
    alone = index.search(queries, 10).items.tolist()
    with ThreadPoolExecutor(4) as pool:
        together = [each.items.tolist() for each in pool.map(lambda _: index.search(queries, 10), range(8))]
    assert all(each == alone for each in together)


def test_items_are_added_replaced_and_removed(own: PostgresIndex, database: PostgresConfig) -> None:
    query = np.ones((1, DIM), dtype=np.float32)
    before = own.fingerprint
    large = np.full((2, DIM), 50, dtype=np.float32)
    large[1] *= 2
    assert own.add(large).tolist() == [400, 401]
    assert own.search(query, 2).items.tolist() == [[401, 400]]
    own.remove(np.array([401]))
    assert own.search(query, 1).items.tolist() == [[400]]
    assert own.scores(query, np.array([[401]])).tolist() == [[0.0]]
    own.replace(np.array([7, 401]), np.stack([large[0] * 3, large[0] * 4]))
    assert own.search(query, 3).items.tolist() == [[401, 7, 400]]
    assert own.fingerprint != before
    assert (len(own), own.facts["items"]) == (402, 402)
    other = PostgresIndex.open(database, "own")
    assert other.search(query, 3).items.tolist() == [[401, 7, 400]]


def _add(uri: str, start: int) -> list[int]:
    index = PostgresIndex.open(PostgresConfig(uri=uri, user="postgres"), "own")
    added = [int(index.add(np.full((1, DIM), start + at, dtype=np.float32))[0]) for at in range(10)]
    index.close()
    return added


def test_processes_that_add_at_once_get_positions_of_their_own(own: PostgresIndex, database: PostgresConfig) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        added = pool.starmap(_add, [(database.uri, 100), (database.uri, 200)])
    assert sorted([*added[0], *added[1]]) == list(range(400, 420))
    assert len(own) == 400
    own.refresh()
    assert len(own) == 420


def test_an_index_of_another_run_is_refused(own: PostgresIndex, database: PostgresConfig) -> None:
    assert PostgresIndex.open(database, "own", fingerprint=own.fingerprint).dim == DIM
    with pytest.raises(ArtifactError, match=r"'own'.*is of other vectors than those of the run"):
        PostgresIndex.open(database, "own", fingerprint="0" * 32)
    with pytest.raises(ArtifactError, match="there is no index 'absent'"):
        PostgresIndex.open(database, "absent")


def test_a_new_build_replaces_the_old_one_whole(database: PostgresConfig) -> None:
    first = PostgresIndex.create(database, "again", np.eye(4, dtype=np.float32))
    PostgresIndex.create(database, "again", np.eye(3, dtype=np.float32) * 2)
    assert (len(first), first.dim) == (4, 4)
    first.refresh()
    assert (len(first), first.dim) == (3, 3)
    first.drop()
    with pytest.raises(ArtifactError, match="there is no index 'again'"):
        first.refresh()


def test_a_slow_server_is_named(own: PostgresIndex, database: PostgresConfig) -> None:
    patient = PostgresIndex.open(database.changed(timeout=2.0), "own")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with psycopg.connect(database.uri, user=database.user) as connection:
            connection.execute('LOCK TABLE graphrecall."vectors_own" IN ACCESS EXCLUSIVE MODE')
            held.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(60)
        with pytest.raises(QueryTimeoutError, match=r"took longer than 2 s"):
            patient.search(np.ones((1, DIM), dtype=np.float32), 3)
    finally:
        done.set()
        holder.join()
    assert (patient.search(np.ones((1, DIM), dtype=np.float32), 3).items >= 0).all()


def test_a_server_that_is_down_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    config = PostgresConfig(uri="postgresql://127.0.0.1:9/none", user="somebody", connect_timeout=2)
    with pytest.raises(StoreUnavailableError, match=r"PostgreSQL at .*127\.0\.0\.1:9/none does not answer") as error:
        PostgresIndex.open(config, "own")
    assert "hunter2" not in str(error.value)


def test_a_connection_that_was_cut_is_opened_again(own: PostgresIndex, database: PostgresConfig) -> None:
    query = np.ones((1, DIM), dtype=np.float32)
    before = own.search(query, 5).items.tolist()
    with psycopg.connect(database.uri, user=database.user, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'graphrecall'"
        )
    assert own.search(query, 5).items.tolist() == before


def test_a_table_that_was_dropped_is_no_silent_empty_answer(own: PostgresIndex, database: PostgresConfig) -> None:
    from kg.errors import StoreError

    with psycopg.connect(database.uri, user=database.user, autocommit=True) as connection:
        connection.execute('DROP TABLE graphrecall."vectors_own"')
    with pytest.raises(StoreError, match="vectors_own"):
        own.search(np.ones((1, DIM), dtype=np.float32), 3)


def test_bad_input_is_named(own: PostgresIndex, database: PostgresConfig) -> None:
    ones = np.ones((1, DIM), dtype=np.float32)
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: own.search(ones, 0), ConfigError, "k = 0"),
        (lambda: own.search(ones[:, :3], 1), InvalidDataError, "16 columns"),
        (lambda: own.search(ones, 1, only=np.array([400])), InvalidDataError, "there are 400 items"),
        (lambda: own.add(ones * np.nan), InvalidDataError, "finite"),
        (lambda: own.replace(np.array([1, 1]), np.repeat(ones, 2, axis=0)), InvalidDataError, "twice"),
        (lambda: own.replace(np.array([1]), np.repeat(ones, 2, axis=0)), InvalidDataError, "1 positions and 2 vectors"),
        (lambda: own.remove(np.array([400])), InvalidDataError, "there are 400 items"),
        (lambda: PostgresIndex.create(database, "x; DROP TABLE y", ones), ConfigError, "no name of an index"),
        (lambda: PostgresIndex.create(database, "wide", np.ones((1, 2001))), InvalidDataError, "1 to 2000 columns"),
        (lambda: PostgresConfig(uri="http://host/x"), ConfigError, "no address of a PostgreSQL server"),
        (lambda: PostgresConfig(uri="postgresql://me:secret@host/x"), ConfigError, "holds an account or a password"),
    ]
    for call, kind, message in cases:
        with pytest.raises(kind, match=message) as error:
            call()
        assert "secret@" not in str(error.value)
    assert own.facts["items"] == 400


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5])
def test_a_wide_choice_is_searched_by_the_index(
    made: tuple[PostgresIndex, np.ndarray, np.ndarray], database: PostgresConfig, share: float
) -> None:
    """What `search` asks is answered by HNSW and not by reading the whole table."""
    index, _, queries = made
    left_out = np.arange(int(share * COUNT)).tolist()
    template = statements.NEAREST_WITHOUT
    with psycopg.connect(database.uri, user=database.user) as connection:
        register_vector(connection)
        statement = Statements(index.name).of("EXPLAIN " + template)
        plan = connection.execute(statement, [left_out, queries[0], 28]).fetchall()
    assert any("Index Scan using" in line for (line,) in plan), plan
