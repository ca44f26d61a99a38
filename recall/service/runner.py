"""The run that answers, and the threads that ask it, of one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from recall.config.service import ServiceSettings
from recall.serve.recommender import Recommender
from recall.service.problems import ServiceError

_Result = TypeVar("_Result")

BUSY = {"Retry-After": "1"}


class Runner:
    """Answers from one run, in a few threads.

    Attributes:
        settings: of the service.
        loaded: the one that answers; None: nothing can be answered yet.
    """

    def __init__(self, recommender: Recommender | None, settings: ServiceSettings, *, problem: str = "") -> None:
        """Answer from a run.

        Args:
            recommender: loaded and warm; None while there is none.
            settings: of the service.
            problem: why there is none.
        """
        self.loaded = recommender
        self.settings = settings
        self._problem = problem
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="answer")
        self._asked: set[Future[Any]] = set()

    def close(self) -> None:
        """Take no more questions."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self.loaded is not None:
            self.loaded.close()

    @property
    def recommender(self) -> Recommender:
        """The one that answers.

        Raises:
            ServiceError: there is none yet.
        """
        if self.loaded is None:
            raise ServiceError(HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {self._problem}", BUSY)
        return self.loaded

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
