"""Answers have a time, and only so many requests wait for theirs."""

from __future__ import annotations

import asyncio
import threading

import pytest

from recall.config.service import ServiceLimits, ServiceSettings
from recall.serve.recommender import Recommender
from recall.service.problems import ServiceError
from recall.service.runner import Runner


def test_an_answer_that_takes_too_long_is_given_up(recommender: Recommender) -> None:
    settings = ServiceSettings(threads=1, limits=ServiceLimits(seconds=0.05))
    runner, free = Runner(recommender, settings), threading.Event()
    with pytest.raises(ServiceError, match="no answer within") as raised:
        asyncio.run(runner.ask(lambda _: free.wait(60)))
    assert raised.value.status_code == 504
    free.set()
    runner.settings = ServiceSettings(threads=1)  # on a busy machine the thread is not free again in so short a time
    assert asyncio.run(runner.ask(lambda asked: asked)) is recommender
    runner.close()


def test_only_so_many_requests_wait(recommender: Recommender) -> None:
    runner = Runner(recommender, ServiceSettings(threads=1, limits=ServiceLimits(waiting=2)))
    free = threading.Event()

    async def crowd() -> list[object]:
        asked = [asyncio.create_task(runner.ask(lambda _: free.wait(60))) for _ in range(6)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        free.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(crowd())
    refused = [answer for answer in answers if isinstance(answer, ServiceError)]
    assert [error.status_code for error in refused] == [503] * 3
    assert answers[:3] == [True] * 3
    assert asyncio.run(runner.ask(lambda _: "again")) == "again"
    runner.close()


def test_without_a_run_the_reason_is_told() -> None:
    runner = Runner(None, ServiceSettings(), problem="the run is damaged")
    with pytest.raises(ServiceError, match="not ready: the run is damaged") as raised:
        asyncio.run(runner.ask(lambda _: None))
    assert raised.value.status_code == 503
    runner.close()
