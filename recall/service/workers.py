"""Worker processes: one process loads runs, and those that it forks off answer from them.

What is loaded is in memory once, however many workers there are, for a forked process shares the memory of its parent
until either writes to it. Loading another run takes no time from those that answer: when it is loaded and warm, new
workers are forked off, and when they listen, the old ones end with the requests that they have. No worker ever answers
from two runs.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection
from socket import socket
from typing import Any, NoReturn

import uvicorn
from starlette.types import ASGIApp

from kg.errors import GraphRecallError
from kg.processes.memory import give_back_memory
from recall.config.service import ServiceSettings
from recall.ops.logs import FIELDS
from recall.serve.recommender import Recommender
from recall.serve.watch import RunFollower
from recall.service.answering import run_name
from recall.service.metrics import count_as
from recall.service.protocol import ImpatientProtocol

_log = logging.getLogger(__name__)
_forking = multiprocessing.get_context("fork")

LOAD_AGAIN_AFTER = 10.0  # seconds, where the first run could not be loaded
START_SECONDS = 60.0
END_SECONDS = 10.0  # that a worker has to end when its requests had their time
IDLE_SECONDS = 30  # that a connection stays open without a request

STOPS = (signal.SIGTERM, signal.SIGINT)

MakeApp = Callable[[Recommender | None, str], ASGIApp]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worker:
    """A process that answers.

    Attributes:
        process: it.
        slot: of its metrics.
        started: a byte comes when it listens.
    """

    process: Any
    slot: int
    started: Any


class Workers:
    """Loads the run that serves, and has it answered for by workers."""

    def __init__(
        self,
        follow: Callable[[], RunFollower],
        make_app: MakeApp,
        listener: socket,
        settings: ServiceSettings,
    ) -> None:
        """Prepare; nothing is loaded yet.

        Args:
            follow: loads the run that serves.
            make_app: makes the application of a worker from what it answers from, or why there is nothing.
            listener: the socket that all workers accept from.
            settings: of the service.
        """
        self._follow = follow
        self._make_app = make_app
        self._listener = listener
        self._settings = settings
        self._answering: list[_Worker] = []
        self._alive: list[_Worker] = []
        self._has_answers = False
        self._odd = False
        self._process = os.getpid()

    def run(self) -> None:
        """Answer until the process is told to stop; requests that are being answered are answered first."""
        signal.signal(signal.SIGTERM, _end)
        recommender, problem = None, "the run is being loaded"
        follower: RunFollower | None = None
        try:
            self._renew(recommender, problem, count=1)
            while True:
                if follower is None:
                    try:
                        follower = self._follow()
                    except (GraphRecallError, OSError) as error:
                        self._tell_problem(error)
                        if problem != str(error):
                            problem = str(error)
                            self._renew(None, problem, count=1)
                else:
                    follower.look()
                if follower is not None and follower.recommender is not recommender:
                    recommender = follower.recommender
                    name = run_name(recommender)
                    _log.info("%s is loaded and warm", name, extra={FIELDS: {"event": "loaded", "run": name}})
                    self._renew(recommender, "", count=self._settings.workers)
                    _log.info("ready, answers from %s", name, extra={FIELDS: {"event": "ready", "run": name}})
                self._wait(LOAD_AGAIN_AFTER if follower is None else self._settings.reload_every)
                self._revive(recommender, problem)
        finally:
            if os.getpid() == self._process:
                self._stop()

    @staticmethod
    def _tell_problem(error: Exception) -> None:
        facts = {FIELDS: {"event": "no run"}}
        _log.warning("no run to answer from, next try in %g s: %s", LOAD_AGAIN_AFTER, error, extra=facts)

    def _renew(self, recommender: Recommender | None, problem: str, *, count: int) -> None:
        """Put new workers in place of those that answer; returns when the old ones have answered all and ended."""
        if not self._has_answers:
            # Whoever was told that the service is ready must not be sent away by one that is not.
            self._end(self._answering)
            self._answering = []
        # Every second set of workers has the same slots.
        self._odd = not self._odd
        first = self._settings.workers * self._odd
        workers = [self._fork(recommender, problem, first + place) for place in range(count)]
        for worker in workers:
            connection.wait([worker.started, worker.process.sentinel], START_SECONDS)
        old, self._answering = self._answering, workers
        self._has_answers = recommender is not None
        self._end(old)

    def _fork(self, recommender: Recommender | None, problem: str, slot: int) -> _Worker:
        receiver, sender = _forking.Pipe(duplex=False)
        give_back_memory()  # of the run before, which would be shared for nothing
        # What is there by now stays: a collection in a worker would write to the memory that it shares.
        gc.freeze()
        process = _forking.Process(
            target=self._answer, args=(recommender, problem, slot, sender), name=f"worker {slot}"
        )
        # A stop between the two next lines would leave a worker behind.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        process.start()
        worker = _Worker(process=process, slot=slot, started=receiver)
        self._alive.append(worker)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        gc.unfreeze()
        sender.close()
        return worker

    def _answer(self, recommender: Recommender | None, problem: str, slot: int, started: Any) -> None:
        """What a worker does."""
        for number in STOPS:
            signal.signal(number, _end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        count_as(slot)
        config = uvicorn.Config(
            self._make_app(recommender, problem),
            lifespan="on",
            http=partial(ImpatientProtocol, limits=self._settings.limits),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=self._settings.stop_seconds,
        )
        _Server(config, started=started, parent=self._process).run(sockets=[self._listener])

    def _wait(self, seconds: float) -> None:
        """Wait, or less where a worker ends."""
        connection.wait([worker.process.sentinel for worker in self._answering], seconds)

    def _revive(self, recommender: Recommender | None, problem: str) -> None:
        """Put a new worker in the place of one that has ended by itself."""
        for place, worker in enumerate(self._answering):
            if not worker.process.is_alive():
                _log.error("%s ended with %s: another takes its place", worker.process.name, worker.process.exitcode)
                self._answering[place] = self._fork(recommender, problem, worker.slot)

    def _end(self, workers: list[_Worker]) -> None:
        """Tell workers to answer what they were asked and to end; one that does not is killed."""
        ends_by = time.monotonic() + self._settings.stop_seconds + END_SECONDS
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join(max(0.0, ends_by - time.monotonic()))
            if worker.process.is_alive():
                _log.error("%s does not end and is killed", worker.process.name)
                worker.process.kill()
                worker.process.join()
        self._alive = [worker for worker in self._alive if worker.process.is_alive()]

    def _stop(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _log.info("stopping", extra={FIELDS: {"event": "stopping"}})
        self._end(self._alive)


class _Server(uvicorn.Server):
    """Says when it listens, and ends with the process that forked it off."""

    def __init__(self, config: uvicorn.Config, *, started: Any, parent: int) -> None:
        super().__init__(config)
        self._says_started = started
        self._parent = parent

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self._says_started.send_bytes(b"started")
        self._says_started.close()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        # A connection that is accepted and not yet ours would be reset: no more are accepted, and those become ours.
        for listener in sockets or ():
            asyncio.get_running_loop().remove_reader(listener)
        await asyncio.sleep(0.1)
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        self.should_exit = self.should_exit or os.getppid() != self._parent
        return await super().on_tick(counter)


def _end(*_: object) -> NoReturn:
    """What uvicorn's signal means when all is answered, and what a stop means to the process that loads."""
    sys.exit(0)
