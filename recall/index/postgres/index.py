"""Item vectors in a table of PostgreSQL, searched by pgvector's HNSW index.

A search reads on until it has enough (iterative scan), so that filters act inside of it; a narrow choice of items is
scored as a whole. What comes back is scored again in float64, as by `recall.index.item_index`. The fingerprint of the
vectors stands in a table beside them: a process that wants those of another run is told so.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from kg import RaggedArray
from kg.arrays import IntArray
from kg.errors import ArtifactError, ConfigError, InvalidDataError
from recall.index.exact import FloatArray, exact_top, inner_products, longest_row, vectors_fingerprint
from recall.index.postgres import statements
from recall.index.postgres.connection import Connections
from recall.index.postgres.settings import PostgresConfig
from recall.index.postgres.statements import REGISTRY, SCHEMA, Statements
from recall.index.settings import IndexConfig
from recall.index.stored import checked_vectors
from recall.index.top_k import TopK, check_k, check_positions

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SLACK = 8  # as of `recall.index.item_index`
_NARROW = 0.1  # share of the items below which all allowed ones are scored
_WIDEST = 2000  # columns that pgvector can index
_SEARCHED = (40, 100, 200, 400, 700, 1000)  # hnsw.ef_search, from fast to thorough


class _State(NamedTuple):
    """What stands beside the vectors."""

    fingerprint: str
    dim: int
    items: int
    ef: int
    recall: float


class PostgresIndex:
    """Item vectors in PostgreSQL. Threads and processes may search and change it together."""

    def __init__(self, connections: Connections, name: str, state: _State) -> None:
        self._connections, self.name, self._state = connections, name, state
        self._sql = Statements(name).of

    @classmethod
    def create(
        cls,
        config: PostgresConfig,
        name: str,
        vectors: FloatArray,
        *,
        queries: FloatArray | None = None,
        index: IndexConfig | None = None,
    ) -> Self:
        """Write vectors into a table and index them; who searches sees the old ones until all is there.

        Args:
            config: where the database is.
            name: of the index: lower-case letters, digits and _; one of that name is replaced.
            vectors: float32 (items, dim), finite, at most 2,000 columns.
            queries: vectors like those that will be asked, (n, dim): as few candidates as find enough of their best are
                examined. None: those of items.
            index: sizes and targets of that measurement.

        Raises:
            ConfigError: the name is none, or the extra is not installed.
            InvalidDataError: the vectors are no finite matrix, or too wide.
            StoreUnavailableError, QueryTimeoutError, StoreError: see `Connections.transaction`.
        """
        target = index or IndexConfig()
        vectors = checked_vectors(vectors)
        items, dim = vectors.shape
        if not 1 <= dim <= _WIDEST:
            raise InvalidDataError(f"pgvector indexes 1 to {_WIDEST} columns, and the vectors have {dim}")
        connections = Connections(config)
        created = cls(connections, _checked(name), _State(vectors_fingerprint(vectors), dim, items, _SEARCHED[0], 0.0))
        sql = created._sql
        with connections.transaction() as connection:
            connection.execute("SET LOCAL statement_timeout = 0")  # to build an index takes as long as it takes
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('graphrecall index'))")
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            for template in (statements.MAKE_SCHEMA, statements.MAKE_REGISTRY, statements.DROP):
                connection.execute(sql(template))
            connection.execute(sql(statements.MAKE, dim=dim))
            _register(connection)
            with connection.cursor() as cursor, cursor.copy(sql(statements.FILL)) as copy:
                copy.set_types(["int8", "vector"])
                for position in range(items):
                    copy.write_row((position, vectors[position]))
            build = max(config.build, 2 * config.links)  # pgvector asks for as many
            connection.execute(sql(statements.INDEX, links=config.links, build=build))
            connection.execute(sql(statements.ANALYZE))
            created._write_state(connection)
        created._choose(vectors, vectors if queries is None else queries, target)
        return created

    @classmethod
    def open(cls, config: PostgresConfig, name: str, *, fingerprint: str | None = None) -> Self:
        """An index that is there.

        Args:
            config: where the database is.
            name: of the index.
            fingerprint: of the vectors that are wanted, such as those of a run's model; None: whatever is there.

        Raises:
            ArtifactError: there is no index of that name, or it is of other vectors.
            ConfigError, StoreUnavailableError, QueryTimeoutError, StoreError: see `create`.
        """
        connections = Connections(config)
        index = cls(connections, _checked(name), _State("", 0, 0, _SEARCHED[0], 0.0))
        index.refresh()
        if fingerprint is not None and index.fingerprint != fingerprint:
            raise ArtifactError(
                f"the index {name!r} at {config.uri} is of other vectors than those of the run: it was built from "
                "another run, or changed since; write this run's vectors with PostgresIndex.create, or open another"
            )
        return index

    def refresh(self) -> None:
        """Read again what other processes changed: how many items there are, and how they are searched.

        Raises:
            ArtifactError: the index is gone.
        """
        with self._connections.transaction() as connection:
            there = connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.{REGISTRY}"]).fetchone()[0]
            row = there and connection.execute(self._sql(statements.STATE), [self.name]).fetchone()
        if not row:
            raise ArtifactError(
                f"there is no index {self.name!r} at {self._connections.config.uri}: write it with PostgresIndex.create"
            )
        self._state = _State(*row)

    def __len__(self) -> int:
        return self._state.items

    @property
    def dim(self) -> int:
        """Columns of every vector."""
        return self._state.dim

    @property
    def fingerprint(self) -> str:
        """Digest of the vectors that it was built from; another text after each change."""
        return self._state.fingerprint

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a report says of it, plain data."""
        with self._connections.transaction() as connection:
            count, size = connection.execute(self._sql(statements.SIZE)).fetchone()
        config = self._connections.config
        return {
            "kind": "pgvector",
            "parameters": {"links": config.links, "ef": self._state.ef},
            "recall": self._state.recall,
            "items": count,
            "bytes_a_vector": size // max(count, 1),
        }

    def search(
        self, queries: FloatArray, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None
    ) -> TopK:
        """The k items with the largest inner product for each query.

        Args:
            queries: float32 (n, dim).
            k: items wanted, at least 1.
            exclude: items to leave out, a list for each query.
            only: positions of the only items allowed; None for all.

        Returns:
            (n, k), equal scores in the order of their positions; -1 where fewer than k items are left.

        Raises:
            ConfigError: k is below 1.
            InvalidDataError: the queries have another width, or `only` names items that are not there.
            StoreUnavailableError, QueryTimeoutError, StoreError: see `Connections.transaction`.
        """
        check_k(k)
        queries = self._fitting(queries)
        if only is not None:
            only = check_positions(only, len(self), "candidates")
        items = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        with self._connections.transaction() as connection:
            _register(connection)
            connection.execute(f"SET LOCAL hnsw.ef_search = {self._state.ef}")
            connection.execute("SET LOCAL hnsw.iterative_scan = 'strict_order'")
            connection.execute(f"SET LOCAL hnsw.max_scan_tuples = {max(len(self), 20_000)}")
            for row, query in enumerate(queries):
                left_out = np.zeros(0, dtype=np.int64) if exclude is None else exclude[row]
                hits, vectors = self._nearest(connection, query, k + _SLACK, left_out, only)
                if not len(hits):
                    continue
                exact = inner_products(query[None], vectors, np.zeros(len(hits), dtype=np.int64), np.arange(len(hits)))
                best = np.lexsort((hits, -exact))[:k]
                items[row, : len(best)], scores[row, : len(best)] = hits[best], exact[best]
        return TopK(items, scores)

    def scores(self, queries: FloatArray, items: IntArray) -> FloatArray:
        """Exact scores of given items, float32 (n, m).

        Args:
            queries: float32 (n, dim).
            items: positions, int64 (n, m); -1 and removed ones score 0.
        """
        wanted = np.unique(items[items >= 0])
        vectors = np.zeros((len(wanted), self.dim), dtype=np.float32)
        with self._connections.transaction() as connection:
            _register(connection)
            rows = connection.execute(self._sql(statements.VECTORS), [wanted.tolist()]).fetchall()
        for position, vector in rows:
            vectors[np.searchsorted(wanted, position)] = _array(vector)
        row, place = np.nonzero(items >= 0)
        result = np.zeros(items.shape, dtype=np.float32)
        result[row, place] = inner_products(queries, vectors, row, np.searchsorted(wanted, items[row, place]))
        return result

    def add(self, vectors: FloatArray) -> IntArray:
        """Put new items behind the last one.

        Returns:
            Their positions, int64 (n,).

        Raises:
            InvalidDataError: the vectors do not fit.
        """
        vectors = self._fitting(checked_vectors(vectors))
        with self._connections.transaction() as connection:
            first = self._locked(connection)
            items = first + np.arange(len(vectors))
            self._put(connection, items, vectors)
            self._changed(connection, first + len(vectors))
        return items

    def replace(self, items: IntArray, vectors: FloatArray) -> None:
        """Give items other vectors; removed ones are there again.

        Raises:
            InvalidDataError: a position is not there or comes twice, or the vectors do not fit.
        """
        vectors = self._fitting(checked_vectors(vectors))
        if len(items) != len(vectors):
            raise InvalidDataError(f"there are {len(items)} positions and {len(vectors)} vectors")
        with self._connections.transaction() as connection:
            count = self._locked(connection)
            self._put(connection, _once(items, count), vectors)
            self._changed(connection, count)

    def remove(self, items: IntArray) -> None:
        """Take items out; the positions of the others stay.

        Raises:
            InvalidDataError: a position is not there or comes twice.
        """
        with self._connections.transaction() as connection:
            count = self._locked(connection)
            gone = _once(items, count).tolist()
            connection.execute(self._sql(statements.REMOVE), [gone])
            self._changed(connection, count)

    def drop(self) -> None:
        """Delete the index from the database."""
        with self._connections.transaction() as connection:
            connection.execute(self._sql(statements.DROP))
            connection.execute(self._sql(statements.FORGET), [self.name])

    def close(self) -> None:
        """Close the connection of this thread."""
        self._connections.close()

    def _nearest(
        self, connection: Any, query: FloatArray, fetch: int, left_out: IntArray, only: IntArray | None
    ) -> tuple[IntArray, FloatArray]:
        """Positions and vectors of the nearest items: by the index, or of all that are allowed where these are few."""
        allowed = None if only is None else np.setdiff1d(only, left_out, assume_unique=False)
        if allowed is not None and len(allowed) <= max(_NARROW * len(self), fetch):
            return self._rows(
                connection.execute(self._sql(statements.NEAREST_OF_FEW), [allowed.tolist(), query, fetch])
            )
        if allowed is None:
            template, values = statements.NEAREST_WITHOUT, left_out
        elif 2 * len(allowed) > len(self):
            template, values = (
                statements.NEAREST_WITHOUT,
                np.setdiff1d(np.arange(len(self)), allowed, assume_unique=True),
            )
        else:
            template, values = statements.NEAREST_AMONG, allowed
        statement = self._sql(template)
        arguments = [values.tolist(), query, fetch]
        hits, vectors = self._rows(connection.execute(statement, arguments))
        if len(hits) < min(fetch, len(self) - len(values)):
            # The scan ended early, for its memory was full: everything is scored.
            connection.execute("SET LOCAL enable_indexscan = off")
            hits, vectors = self._rows(connection.execute(statement, arguments))
            connection.execute("SET LOCAL enable_indexscan = on")
        return hits, vectors

    def _rows(self, answer: Any) -> tuple[IntArray, FloatArray]:
        rows = answer.fetchall()
        positions = np.array([position for position, _ in rows], dtype=np.int64)
        vectors = np.array([_array(vector) for _, vector in rows], dtype=np.float32).reshape(len(rows), self.dim)
        return positions, vectors

    def _fitting(self, vectors: FloatArray) -> FloatArray:
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise InvalidDataError(f"vectors of shape {vectors.shape} do not fit an index of {self.dim} columns")
        return vectors

    def _locked(self, connection: Any) -> int:
        """How many positions there are, with the row locked against other writers."""
        row = connection.execute(self._sql(statements.LOCK), [self.name]).fetchone()
        if row is None:
            raise ArtifactError(f"the index {self.name!r} at {self._connections.config.uri} is gone")
        _register(connection)
        return int(row[0])

    def _put(self, connection: Any, items: IntArray, vectors: FloatArray) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(self._sql(statements.PUT), list(zip(items.tolist(), vectors, strict=True)))

    def _changed(self, connection: Any, count: int) -> None:
        self._state = self._state._replace(fingerprint=f"changed {uuid.uuid4().hex}", items=count)
        self._write_state(connection)

    def _write_state(self, connection: Any) -> None:
        connection.execute(self._sql(statements.KEEP), [self.name, *self._state])

    def _choose(self, vectors: FloatArray, queries: FloatArray, target: IndexConfig) -> None:
        """Measure recall from few candidates to many, and keep the first that finds enough."""
        random = np.random.default_rng(target.seed)
        chosen = np.sort(random.permutation(len(queries))[: target.sample])
        sample = np.ascontiguousarray(queries, dtype=np.float32)[chosen]
        k = min(target.measured_at, len(vectors))
        if not len(sample) or not k:
            return
        best = exact_top(vectors, sample, k, exclude=None, only=None, longest=longest_row(vectors)).scores[:, -1:]
        for ef in _SEARCHED:
            self._state = self._state._replace(ef=ef)
            found = float((self.search(sample, k).scores >= best).mean())
            self._state = self._state._replace(recall=found)
            _log.info("index kind=pgvector ef=%d recall=%.4f", ef, found)
            if found >= target.target_recall:
                break
        else:
            _log.warning("pgvector finds %.3f, not %.3f", self._state.recall, target.target_recall)
        with self._connections.transaction() as connection:
            self._write_state(connection)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r:.80} is no name of an index: use up to 40 lower-case letters, digits and _")
    return name


def _once(items: IntArray, count: int) -> IntArray:
    given = np.asarray(items, dtype=np.int64)
    if len(check_positions(given, count, "items")) != len(given):
        raise InvalidDataError("a position comes twice: name each item once")
    return given


def _register(connection: Any) -> None:
    from pgvector.psycopg import register_vector

    register_vector(connection)


def _array(vector: Any) -> Sequence[float]:
    """The numbers of a vector, which drivers of different versions wrap differently."""
    numbers: Sequence[float] = vector.to_numpy() if hasattr(vector, "to_numpy") else vector
    return numbers
