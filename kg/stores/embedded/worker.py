"""The process that runs the queries of an embedded store: it may die of one, and its store starts another.

Ladybug 0.22 loses and doubles rows, or crashes, when two connections work at once, and also when it is given a timeout;
and a connection keeps the plan of every query that it has run, megabytes for a long one. So there is one connection at
a time, interrupted by a thread of its own, and a new one after some plans.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kg.processes.limits import forbid_files, limit_more_memory, limit_seconds
from kg.processes.parent import Parent
from kg.stores.embedded.values import decoded, encoded, plain_keys, written

PLANNED = 20_000  # characters of query text whose plans are kept
ADDRESS_SPACE = 1 << 35
_ROWS_A_LOOK = 1024
_AGAIN = 0.05
_CORES = os.cpu_count() or 1
_OWN = frozenset(("_ID", "_LABEL", "_SRC", "_DST"))


class Worker:
    """One open database, and the queries that come in.

    Args:
        file: the database.
        memory: bytes for its pages and results in the making.
    """

    def __init__(self, file: str, memory: int) -> None:
        import ladybug

        # By default a database takes 8 TB of addresses, and a process has room for 15.
        space = ADDRESS_SPACE
        while space < 8 * max(Path(file).stat().st_size, memory):
            space *= 2
        self._database = ladybug.Database(
            file, read_only=True, buffer_pool_size=memory, max_db_size=space, lazy_init=False
        )
        self._connection: Any = None
        self._planned: set[str] = set()
        self._run("RETURN 1 AS x", {}, time.monotonic() + 60, rows=1, answer=100)  # the database's threads have begun

    def answer(self, request: Mapping[str, Any]) -> bytes:
        """The reply to a request of `EmbeddedStore`."""
        deadline = time.monotonic() + request["seconds"]
        try:
            names, rows = self._run(
                request["text"], request["values"], deadline, rows=request["rows"], answer=request["answer"]
            )
        except _TimeIsUpError:
            reply = {"fault": "time"}
        except _TooMuchError as error:
            reply = {"fault": "answer", "text": str(error)}
        except MemoryError:
            reply = {"fault": "memory"}
        except (RuntimeError, TypeError, ValueError, OverflowError, RecursionError, AttributeError) as error:
            text = str(error)
            full = text.startswith("Buffer manager exception") or "bad_alloc" in text
            reply = {"fault": "memory"} if full else {"fault": "query", "text": text}
        else:
            return b'{"names":' + encoded(names) + b',"rows":[' + b",".join(rows) + b"]}"
        self._drop_connection()
        return encoded(reply)

    def _run(
        self, text: str, values: Mapping[str, Any], deadline: float, *, rows: int, answer: int
    ) -> tuple[list[str], list[bytes]]:
        """The columns of an answer, and its records in encoded parts."""
        connection = self._connection_for(text)
        with (
            _Interrupter(connection, deadline) as interrupter,
            connection.execute(text, dict(values)) as result,
        ):
            names = result.get_column_names()
            parts: list[bytes] = []
            count = size = 0
            # The database counts without writing out, so most of the time can be spent here.
            while result.has_next() and not interrupter.over:
                records = result.get_n(_ROWS_A_LOOK)
                count += len(records)
                if count > rows:
                    raise _TooMuchError(f"more than {rows:,} rows")
                parts.append(written([[_plain(value) for value in record] for record in records])[1:-1])
                size += len(parts[-1])
                if size > answer:
                    raise _TooMuchError(f"more than {answer >> 20:,} MB")
            return names, parts

    def _connection_for(self, text: str) -> Any:
        """The present connection, or a new one where it would keep too many plans."""
        import ladybug

        if self._connection is not None and sum(map(len, self._planned | {text})) > PLANNED:
            self._drop_connection()
        if self._connection is None:
            self._connection = ladybug.Connection(self._database)
        self._planned.add(text)
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        self._planned.clear()
        if connection is not None:
            connection.close()


class _TimeIsUpError(Exception):
    """A query was interrupted."""


class _TooMuchError(Exception):
    """An answer is larger than it may be."""


class _Interrupter:
    """Interrupts what runs on a connection from a moment on."""

    def __init__(self, connection: Any, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self._deadline

    def _run(self) -> None:
        # Again and again: an interrupt that comes while a query is still being planned is forgotten.
        if self._ended.wait(max(self._deadline - time.monotonic(), 0)):
            return
        while not self._ended.wait(_AGAIN):
            self._connection.interrupt()

    def __enter__(self) -> _Interrupter:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._ended.set()
        self._thread.join()
        if self.over and (kind is None or issubclass(kind, RuntimeError)):
            raise _TimeIsUpError from error


def _plain(value: Any) -> Any:
    """A value as every store gives it (`kg.stores.base.Store.query`)."""
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"_NODES", "_RELS"}:
        return {"nodes": _plain(value["_NODES"]), "relationships": _plain(value["_RELS"])}
    if "_SRC" in value and "_LABEL" in value:
        return {"type": value["_LABEL"], "properties": _properties(value)}
    if "_ID" in value and "_LABEL" in value:
        return {"labels": [value["_LABEL"]], "properties": _properties(value)}
    return plain_keys({key: _plain(inner) for key, inner in value.items()})


def _properties(entity: Mapping[str, Any]) -> dict[str, Any]:
    """What an entity has: in Neo4j a property is never null."""
    return plain_keys(
        {key: _plain(entity[key]) for key in sorted(entity) if key not in _OWN and entity[key] is not None}
    )


def main() -> None:
    """Answer the queries of the parent, one after the other."""
    parent = Parent.connected()
    file, memory = parent.arguments
    try:
        worker = Worker(file, int(memory))
    except (RuntimeError, OSError, MemoryError) as error:
        parent.send(encoded({"fault": "open", "text": str(error) or type(error).__name__}))
        return
    limit_more_memory(int(memory))
    forbid_files()
    parent.send(encoded({}))
    while True:
        request = decoded(parent.receive())
        limit_seconds(_CORES * (request["seconds"] + 1))  # should nobody be left to end this process
        parent.send(worker.answer(request))
