"""The run that answers, and the threads that ask it, of one process."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from kg.errors import GraphRecallError
from recall.config.service import ServiceSettings
from recall.ops.logs import FIELDS
from recall.serve.recommender import Recommender
from recall.serve.watch import RunWatch
from recall.service.answering import run_name
from recall.service.problems import ServiceError

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

LOAD_AGAIN_AFTER = 10.0  # seconds, where the first run could not be loaded
BUSY = {"Retry-After": "1"}


class Runner:
    """Loads the run in a thread of its own, follows the one that serves, and answers in a few threads.

    One request is answered by one Recommender: where another run begins to serve meanwhile, the answer is whole from
    the one before.

    Attributes:
        run: the link to the run that serves.
        settings: of the service.
    """

    def __init__(self, run: Path, settings: ServiceSettings) -> None:
        self.run = run
        self.settings = settings
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="answer")
        self._asked: set[Future[Any]] = set()
        self._watch: RunWatch | None = None
        self._problem = "the run is being loaded"
        self._stop = threading.Event()
        self._loading = threading.Thread(target=self._load, name="load", daemon=True)

    def start(self) -> None:
        """Begin to load; `ready` says when it is done."""
        self._loading.start()

    def close(self) -> None:
        """Stop following runs and answering."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._watch is not None:
            self._watch.close()
            self._watch.recommender.close()

    @property
    def ready(self) -> bool:
        """Whether a run is loaded and warm."""
        return self._watch is not None

    @property
    def recommender(self) -> Recommender:
        """The newest that is loaded and warm.

        Raises:
            ServiceError: there is none yet, or the first one could not be loaded.
        """
        if self._watch is None:
            raise ServiceError(HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {self._problem}", BUSY)
        return self._watch.recommender

    async def ask(self, question: Callable[[Recommender], _Result]) -> _Result:
        """Put a question to the recommender in another thread.

        Raises:
            ServiceError: no run is loaded, too many requests wait, or the answer takes too long. A thread cannot be
                stopped, so one that takes too long ends in its own time and is not there for others until then.
        """
        limits = self.settings.limits
        if len(self._asked) >= limits.waiting + self.settings.threads:
            raise ServiceError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{limits.waiting} requests wait for an answer already (service.limits.waiting): try again later",
                BUSY,
            )
        recommender = self.recommender
        asked: Future[_Result] = self._pool.submit(partial(question, recommender))
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(asked), limits.seconds)
        except TimeoutError as error:
            raise ServiceError(
                HTTPStatus.GATEWAY_TIMEOUT,
                f"no answer within {limits.seconds:g} s (service.limits.seconds): ask for less, or in several requests",
                BUSY,
            ) from error

    def _load(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch = RunWatch(self.run, every=self.settings.reload_every, prepare=self._warm_up)
            except (GraphRecallError, OSError) as error:
                self._problem = str(error)
                _log.warning("no run to answer from, next try in %g s: %s", LOAD_AGAIN_AFTER, error)
                self._stop.wait(LOAD_AGAIN_AFTER)
            else:
                name = run_name(self._watch.recommender)
                _log.info("ready, answers from %s", name, extra={FIELDS: {"event": "ready", "run": name}})
                return

    def _warm_up(self, recommender: Recommender) -> None:
        """Do now what the first requests would wait for."""
        if self.settings.warm_text:
            recommender.warm_up()
        else:
            recommender.warm_up(text="")
        recommender.lookup.search("user", "", limit=1)
        recommender.lookup.search("item", "", limit=1)
