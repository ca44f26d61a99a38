"""Pages of a Neo4j database: ranges of internal ids, each page a few records of long lists.

Internal ids are small integers, so a range of them is found by seeks, whatever the degree of a node, and the next
range starts where the last one ended, also after a restart of the server. A record a relationship costs ten times as
much as the data in it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import compress
from queue import SimpleQueue
from typing import Any

from kg.errors import QueryTimeoutError
from kg.stores.neo4j.read.reader import Reader, TooMuchError

logger = logging.getLogger(__name__)

FIRST_IDS = 2_000
SMALLEST_IDS = 50
MOST_IDS = 1_000_000
PAGE_BYTES = 16 * 2**20
GROWTH = 4
# Beyond so many ids for each entity, seeking all of them costs more than scans that end at a page's limit.
SPARSE = 100

_COLUMNS = """[key IN $keys[name] | [x IN xs | x[key]]] AS columns,
  [key IN $texts[name] | [x IN xs | toStringOrNull(x[key])]] AS texts,
  [key IN $lists[name] | [x IN xs | toStringList(x[key])]] AS lists,
  [key IN $bytes[name] | size([x IN xs WHERE x[key] IS NOT NULL])] AS bytes"""
# Names travel as values, so none has to be quoted. `ORDER BY` makes the cut at `$limit` one in the order of ids.
NODES = f"""UNWIND range($low, $high) AS i
MATCH (x) WHERE id(x) = i AND any(label IN labels(x) WHERE label IN $labels)
WITH x ORDER BY i LIMIT $limit
WITH labels(x) AS labels, collect(x) AS xs
WITH labels, xs, head([label IN $labels WHERE label IN labels]) AS name
RETURN name, labels, [x IN xs | id(x)] AS ids, {_COLUMNS}"""
RELATIONSHIPS = f"""UNWIND range($low, $high) AS i
MATCH ()-[x]->() WHERE id(x) = i AND type(x) IN $types
WITH x ORDER BY i LIMIT $limit
WITH type(x) AS name, collect(x) AS xs
RETURN name, [x IN xs | id(x)] AS ids, [x IN xs | id(startNode(x))] AS sources,
  [x IN xs | id(endNode(x))] AS targets, {_COLUMNS}"""
# Which relationships are still there.
ENDS = """UNWIND range($low, $high) AS i
MATCH (a)-[x]->(b) WHERE id(x) = i AND type(x) IN $types
RETURN type(x) AS name, collect(id(x)) AS ids, collect(id(a)) AS sources, collect(id(b)) AS targets"""
# By these a node is recognised as the one that was read: internal ids of deleted nodes are given to new ones.
IDENTITIES = """UNWIND range($low, $high) AS i
MATCH (x) WHERE id(x) = i AND any(label IN labels(x) WHERE label IN $labels)
WITH x ORDER BY i LIMIT $limit
WITH head([label IN $labels WHERE label IN labels(x)]) AS name, collect(x) AS xs
RETURN name, [x IN xs | id(x)] AS ids, [key IN $keys[name] | [x IN xs | x[key]]] AS columns"""


@dataclass(frozen=True, slots=True)
class Page:
    """A range of internal ids.

    Attributes:
        low: the first id.
        end: the id after the last one.
        rows: records of the query.
        size: nodes or relationships that were found, also those that were gone before the page was done.
    """

    low: int
    end: int
    rows: list[dict[str, Any]]
    size: int


class Pages:
    """All pages of a range of ids, in order; the next ones are fetched meanwhile, each over a session of its own.

    Attributes:
        bytes_a_row: bytes that a row takes, as measured by the caller; it keeps pages below `PAGE_BYTES`.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        query: str,
        parameters: Mapping[str, Any],
        *,
        low: int,
        end: int,
        limit: int,
        total: int,
    ) -> None:
        """Set the range.

        Args:
            readers: run the queries, each one at a time; used by nobody else meanwhile.
            query: one of this module's, with parameters `$low`, `$high`, `$limit` and a column `ids`.
            parameters: the others.
            low: the first id.
            end: the id after the last one.
            limit: most nodes or relationships in a page.
            total: about how many there are.
        """
        self.readers, self.query, self.parameters = readers, query, dict(parameters)
        self.low, self.end, self.limit = low, end, limit
        self.bytes_a_row = 0.0
        self._check_ends = query == RELATIONSHIPS
        self._width = min(FIRST_IDS, limit)
        self._widest = MOST_IDS
        self._sparse = end - low > SPARSE * (total + FIRST_IDS)
        if self._sparse:
            # Some formats of the store spread the ids. Each page tells where the next one begins.
            self.query = _scan(query)
            self._width = self._widest = end - low

    def __iter__(self) -> Iterator[Page]:
        free = SimpleQueue[Reader]()
        for reader in self.readers:
            free.put(reader)

        def fetch(low: int, end: int, limit: int) -> Page:
            reader = free.get()
            try:
                return self._fetch(reader, low, end, limit)
            finally:
                free.put(reader)

        with ThreadPoolExecutor(len(self.readers), thread_name_prefix="pages") as pool:
            pending: deque[tuple[int, Future[Page]]] = deque()
            low = self.low
            try:
                while pending or low < self.end:
                    while low < self.end and len(pending) < len(self.readers):
                        end = min(low + self._width, self.end)
                        pending.append((end, pool.submit(fetch, low, end, self._most())))
                        low = end
                    end, waiting = pending.popleft()
                    page = waiting.result()
                    if page.end < end:  # it was too much for one page: the rest comes before the ranges after it
                        pending.appendleft((end, pool.submit(fetch, page.end, end, self._most())))
                    self._grow(page)
                    yield page
            except BaseException:
                for _, waiting in pending:
                    waiting.cancel()
                for reader in self.readers:
                    reader.stop()
                raise

    def _fetch(self, reader: Reader, low: int, end: int, limit: int) -> Page:
        """The page that begins at `low` and ends before `end`, or earlier where that is too much."""
        while True:
            parameters = {**self.parameters, "low": low, "high": end - 1, "limit": limit}
            before = reader.mark
            try:
                rows = reader.run(self.query, parameters)
                if size := sum(len(row["ids"]) for row in rows):
                    last = max(row["ids"][-1] for row in rows)
                    # A page cut at the limit ends with its last entity.
                    end = last + 1 if size >= limit else end
                # What is deleted while a page is made comes without type, labels, properties or ends. Such nodes are
                # found by the check at the end (`kg.stores.neo4j.read.moved`).
                if self._check_ends and (before is None or reader.mark != before):
                    ends = _scan(ENDS) if self._sparse else ENDS
                    rows = _still_there(rows, reader.run(ends, {**parameters, "high": end - 1}))
            except (QueryTimeoutError, TooMuchError) as error:
                if end - low <= SMALLEST_IDS:
                    raise
                logger.warning("%d ids are too much for one query of %s: %s", end - low, reader.store.name, error)
                end = low + max((end - low) // 2, SMALLEST_IDS)
                self._widest = min(self._widest, end - low)
                continue
            return Page(low, end, [row for row in rows if row["name"] is not None], size)

    def _most(self) -> int:
        """Nodes or relationships that the next page may hold."""
        return max(1, int(min(self.limit, PAGE_BYTES / self.bytes_a_row))) if self.bytes_a_row else self.limit

    def _grow(self, page: Page) -> None:
        factor = min(self._most() / page.size, GROWTH) if page.size else GROWTH
        width = (page.end - page.low) * factor
        self._width = int(max(SMALLEST_IDS, min(width, GROWTH * self._width, self._widest)))


def by_ids(reader: Reader, query: str, parameters: Mapping[str, Any], ids: Any, *, limit: int) -> Iterator[Page]:
    """The nodes or relationships of some internal ids, as far as they are there, in order.

    Args:
        reader: runs the queries.
        query: `NODES` or `RELATIONSHIPS`.
        parameters: of it, but for the ids.
        ids: ascending, no id twice.
        limit: most of them in a query.

    Raises:
        StoreUnavailableError, QueryTimeoutError, StoreError: see `Reader.run`.
    """
    waiting = [ids[start : start + limit] for start in range(0, len(ids), limit)][::-1]
    while waiting:
        part = waiting.pop()
        sent = {**parameters, "ids": part.tolist(), "limit": len(part)}
        before = reader.mark
        try:
            rows = reader.run(_of_ids(query), sent)
            if query == RELATIONSHIPS and rows and (before is None or reader.mark != before):
                rows = _still_there(rows, reader.run(_of_ids(ENDS), sent))
        except (QueryTimeoutError, TooMuchError) as error:
            if len(part) <= SMALLEST_IDS:
                raise
            logger.warning("%d ids are too much for one query of %s: %s", len(part), reader.store.name, error)
            half = len(part) // 2
            waiting += [part[half:], part[:half]]
            continue
        rows = [row for row in rows if row["name"] is not None]
        yield Page(int(part[0]), int(part[-1]) + 1, rows, sum(len(row["ids"]) for row in rows))


def _of_ids(query: str) -> str:
    return query.replace("range($low, $high)", "$ids")


def _scan(query: str) -> str:
    """A query that finds its range of ids by a scan, not by seeks."""
    query = query.replace("UNWIND range($low, $high) AS i\n", "")
    return query.replace("id(x) = i", "$low <= id(x) <= $high").replace("ORDER BY i", "ORDER BY id(x)")


def _still_there(rows: Sequence[dict[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a page of relationships without those that are not there any more."""
    present = {row["name"]: set(zip(row["ids"], row["sources"], row["targets"], strict=True)) for row in now}
    kept = []
    for row in rows:
        alive = present.get(row["name"], set())
        keep = [key in alive for key in zip(row["ids"], row["sources"], row["targets"], strict=True)]
        if row["name"] is not None and any(keep):
            ends = {name: list(compress(row[name], keep)) for name in ("ids", "sources", "targets")}
            properties = {
                name: [list(compress(values, keep)) for values in row[name]] for name in ("columns", "texts", "lists")
            }
            kept.append({**row, **ends, **properties})
    return kept


def bounds(reader: Reader, patterns: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[int, int]:
    """The range of internal ids of some nodes or relationships.

    For a label or a type both ends come from the ends of its token index, whatever the size.

    Args:
        reader: runs the queries.
        patterns: texts that match `x`, with their parameters.

    Returns:
        The first id and the one after the last; (0, 0) when there is none.
    """
    low: int | None = None
    end = 0
    for pattern, parameters in patterns:
        first_and_last = [
            reader.run(f"MATCH {pattern} WITH x ORDER BY x {way} LIMIT 1 RETURN id(x) AS i", parameters)
            for way in ("ASC", "DESC")
        ]
        if all(first_and_last):
            low = first_and_last[0][0]["i"] if low is None else min(low, first_and_last[0][0]["i"])
            end = max(end, first_and_last[1][0]["i"] + 1)
    return low or 0, end
