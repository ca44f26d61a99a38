"""The graph of a run as a Ladybug database in one file: Cypher without a server.

A node gets the label of its type, the property `id` and its attributes, an edge gets its relation's type and its
columns, the user of an event by external id: as `kg.stores.neo4j.write.load` writes them into Neo4j, so that one query
has one answer. The file is opened read-only, beside other readers, and nothing is ever written next to it.

A query of a few characters can bring the database library to its end, or keep it busy for minutes where nothing
interrupts it. So the file is open in a process of its own (`kg.stores.embedded.worker`), with limits of the system on
its memory and time: started once, asked again and again, killed at a limit, and started anew by the next query.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from os import getpid
from pathlib import Path
from typing import Any

from kg.cypher.guard import check_read_only
from kg.cypher.query import CypherQuery
from kg.errors import ConfigError, QueryTimeoutError, StoreError, StoreUnavailableError
from kg.io.files import changed_file
from kg.io.files import checksum as checksum_of
from kg.processes.child import Child
from kg.processes.frames import MessageTooLargeError
from kg.stores.base import ANSWER, ROWS, Row, too_large, with_values
from kg.stores.embedded.dialect import bound
from kg.stores.embedded.names import MACRO as NAMES
from kg.stores.embedded.names import StoredNames
from kg.stores.embedded.values import decoded, encoded
from kg.stores.fork import renew_after_fork

MEMORY = 2 << 30
LEAST_MEMORY = 64 << 20
VALUES = 64 << 20
_GRACE = 0.5  # seconds after its time in which a query can still be interrupted and its process be kept
_OPENING = 120.0
_SHOWN = 2000  # characters of what the database says


class EmbeddedStore:
    """The database file of a run, read-only; threads and processes may share it, forked ones too.

    Attributes:
        name: path of the file, for messages.
        timeout: seconds that one query may take.
        memory: bytes that the queries' process may take beside what it has with the file opened.
        rows: how many rows an answer may have.
    """

    def __init__(
        self,
        file: Path | str,
        *,
        timeout: float = 120.0,
        memory: int = MEMORY,
        rows: int = ROWS,
        checksum: str | None = None,
    ) -> None:
        """Open the file.

        Args:
            file: from `kg.stores.embedded.build.build_store`.
            timeout: seconds that one query may take.
            memory: bytes that a query may take: half of them for the pages of the database and results in the making.
            rows: how many rows an answer may have.
            checksum: sha256 that the file must have whenever it is opened; None: any.

        Raises:
            StoreUnavailableError: there is no such file, or it is no database that this version reads.
            ArtifactError: the file is not the one of the checksum.
            ConfigError: a limit is out of range.
        """
        path = Path(file)
        self.name = str(path)
        if not timeout > 0:
            raise ConfigError(f"timeout = {timeout} must be above 0 seconds")
        if memory < LEAST_MEMORY:
            raise ConfigError(f"memory = {memory} must be at least {LEAST_MEMORY} bytes")
        if rows < 1:
            raise ConfigError(f"rows = {rows} must be at least 1")
        self.timeout, self.memory, self.rows = timeout, memory, rows
        self._path, self._checksum = path, checksum
        self._turn = threading.Lock()
        self._closed = False
        self._names = StoredNames()
        self._process: Child | None = self._started()
        renew_after_fork(self)

    def query(
        self, query: str | CypherQuery, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Row]:
        """Run one query that only reads; see `kg.stores.base.Store.query`.

        Queries of several threads take turns, and waiting counts as time.
        """
        text, values = with_values(query, parameters)
        check_read_only(text)
        limit = self.timeout if timeout is None else timeout
        if not limit > 0:
            raise ConfigError(f"timeout = {timeout} must be above 0 seconds")
        deadline = time.monotonic() + limit
        try:
            sent = encoded(bound(text, values))
        except (TypeError, RecursionError) as error:
            raise StoreError(f"{self.name} refused a query: Unknown parameter type: {error}") from error
        if len(sent) > VALUES:
            raise StoreError(f"the values of a query are more than {VALUES >> 20} MB: give fewer at once")
        if not self._turn.acquire(timeout=limit):
            raise self._too_slow(limit)
        try:
            if time.monotonic() >= deadline:
                raise self._too_slow(limit)
            process = self._there()
            text = self._names.query(text)
            # Waiting for the turn, and for a new process, took of its time.
            request = {"text": text, "rows": self.rows, "answer": ANSWER, "seconds": deadline - time.monotonic()}
            message = encoded(request)[:-1] + b',"values":' + sent + b"}"
            reply = self._asked(process, message, deadline, limit)
        finally:
            self._turn.release()
        if "fault" in reply:
            raise self._error(reply, limit)
        names = [self._names.column(name) for name in reply["names"]]
        if len(set(names)) < len(names):
            raise StoreError(f"two columns of the result are called alike ({', '.join(names)}): use AS")
        return [dict(zip(names, map(self._names.answer, record), strict=True)) for record in reply["rows"]]

    def _started(self) -> Child:
        """A process that has opened the file."""
        if not self._path.is_file():
            raise StoreUnavailableError(
                f"there is no embedded store at {self.name}: refresh the run; its report says more"
            )
        if self._checksum is not None and checksum_of(self._path) != self._checksum:
            raise changed_file(self._path)
        process = Child("kg.stores.embedded.worker", self.name, str(self.memory // 2))
        try:
            reply = decoded(process.receive(deadline=time.monotonic() + _OPENING, largest=ANSWER))
            problem = reply.get("text")
        except (EOFError, TimeoutError, ValueError) as error:
            problem = process.last_words() if isinstance(error, EOFError) else "it did not open in time"
        if problem is None:
            self._names = self._names_in(process)
            return process
        process.end()
        raise StoreUnavailableError(
            f"the embedded store {self.name} cannot be opened: {problem}. It is damaged, or of another version of "
            "ladybug: refresh the run"
        )

    def _names_in(self, process: Child) -> StoredNames:
        """The names that the database has for others."""
        deadline = time.monotonic() + _OPENING
        request = {"text": f"RETURN {NAMES}() AS names", "values": {}, "rows": 1, "answer": ANSWER, "seconds": _OPENING}
        try:
            process.send(encoded(request), deadline=deadline)
            reply = decoded(process.receive(deadline=deadline, largest=2 * ANSWER))
            return StoredNames.from_json(reply["rows"][0][0]) if "rows" in reply else StoredNames()
        except (EOFError, OSError, TimeoutError, ValueError, TypeError, LookupError, MessageTooLargeError) as error:
            process.end()
            raise StoreUnavailableError(
                f"the embedded store {self.name} cannot be opened: its map of names cannot be read. It is damaged: "
                "refresh the run"
            ) from error

    def _there(self) -> Child:
        """The process, or a new one where it was ended, or belongs to the process that this one was forked from."""
        if self._closed:
            raise self._closed_error()
        if self._process is None or self._process.owner != getpid():
            self._process = self._started()
        return self._process

    def _asked(self, process: Child, message: bytes, deadline: float, limit: float) -> dict[str, Any]:
        """The reply to a request; whatever goes wrong on the way ends the process."""
        done = False
        try:
            process.send(message, deadline=deadline + _GRACE)
            data = process.receive(deadline=deadline + _GRACE, largest=2 * ANSWER)
            reply: dict[str, Any] = decoded(data)
            done = reply.get("fault") != "memory"  # what was near its limit once stays there
        except TimeoutError:
            raise self._too_slow(limit) from None
        except (EOFError, OSError):
            raise self._closed_error() if self._closed else self._died(process, limit, deadline) from None
        except (MessageTooLargeError, ValueError, TypeError, ArithmeticError) as error:
            raise StoreError(f"the answer of {self.name} to a query cannot be read: ask for less") from error
        finally:
            if not done:
                self._process = None
                process.end()
        return reply

    def _died(self, process: Child, limit: float, deadline: float) -> StoreError:
        how = process.last_words()
        if how.startswith("SIGXCPU") or time.monotonic() > deadline:
            return self._too_slow(limit)
        if "bad_alloc" in how:
            return self._too_large()
        return StoreError(
            f"{self.name} did not survive a query ({how}): its process is started again, and other queries are "
            "answered. Write the query in another way"
        )

    def _error(self, reply: Mapping[str, Any], limit: float) -> StoreError:
        match reply["fault"]:
            case "time":
                return self._too_slow(limit)
            case "memory":
                return self._too_large()
            case "answer":
                return too_large(self.name, reply["text"])
        text = reply["text"]
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."  # it may quote all of the query
        return StoreError(f"{self.name} refused a query: {shown}")

    def _too_slow(self, limit: float) -> QueryTimeoutError:
        return QueryTimeoutError(
            f"a query in {self.name} took longer than {limit:g} seconds: give it more time, or ask for less"
        )

    def _too_large(self) -> StoreError:
        return StoreError(
            f"a query in {self.name} needs more memory than it may use: ask for less at once, or open the store with "
            "more `memory`"
        )

    def _closed_error(self) -> StoreUnavailableError:
        return StoreUnavailableError(f"the embedded store {self.name} is closed")

    def close(self) -> None:
        """Let go of the file; a query that still runs is ended."""
        self._closed = True
        with suppress(AttributeError):  # there is no process, or it has just ended
            self._process.kill()  # type: ignore[union-attr]
        with self._turn:
            process, self._process = self._process, None
            if process is not None:
                process.end()

    def after_fork(self) -> None:
        """See `kg.stores.fork`."""
        self._turn = threading.Lock()
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def __enter__(self) -> EmbeddedStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EmbeddedStore({self.name!r})"
