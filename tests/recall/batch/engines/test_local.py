"""Parts answered by processes of this machine, some of which are killed."""

from __future__ import annotations

import threading

import psutil
import pytest

from kg.errors import BatchError
from recall.batch.engines.local import TRIES, answer_locally
from recall.batch.work import answer_part
from tests.recall.batch.making import candidates


def workers() -> list[psutil.Process]:
    """The processes of the engine that this process has started and that live."""
    children = psutil.Process().children()
    return [child for child in children if any("recall.batch" in word for word in child.cmdline())]


def test_a_killed_process_loses_nothing(make_job) -> None:
    job, expected = make_job(), make_job("expected")
    parts = job.plan.parts()
    for part in parts:
        answer_part(expected, part)
    results = answer_locally(job, parts, workers=2)
    first = next(results)
    for process in workers():
        process.kill()
    others = list(results)
    assert sorted(result.part for result in (first, *others)) == list(range(len(parts)))
    assert not [result for result in others if result.problem]
    assert candidates(job.out) == candidates(expected.out)
    assert workers() == []


def test_a_part_that_kills_its_process_again_and_again_ends_the_batch(make_job) -> None:
    job = make_job()
    over = threading.Event()

    def kill_all() -> None:
        while not over.wait(0.02):
            for process in workers():
                process.kill()

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        with pytest.raises(BatchError, match=f"died {TRIES} times: SIGKILL.*the same command goes on from there"):
            list(answer_locally(job, job.plan.parts(), workers=1))
    finally:
        over.set()
        killer.join()
    assert workers() == []


def test_an_error_in_a_process_is_a_result(make_job) -> None:
    job = make_job(filter="genre ==== 5")
    results = answer_locally(job, job.plan.parts()[:1], workers=1)
    (result,) = results
    assert result.kind == "ConfigError"
    assert "a.parquet, queries 0 to 4" in result.problem
