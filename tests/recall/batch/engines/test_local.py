"""Parts answered by processes of this machine, some of which are killed."""

from __future__ import annotations

import threading

import pytest

from kg.errors import BatchError
from recall.batch.engines.local import TRIES, answer_locally
from recall.batch.work import answer_part
from tests.recall.batch.making import candidates, kill_processes

WORKERS = "recall.batch.engines.worker"  # in the commands of the processes that answer parts


def test_a_killed_process_loses_nothing(make_job) -> None:
    job, expected = make_job(), make_job("expected")
    parts = job.plan.parts()
    for part in parts:
        answer_part(expected, part)
    results = answer_locally(job, parts, workers=2)
    first = next(results)
    assert kill_processes(WORKERS) == 2
    others = list(results)
    assert sorted(result.part for result in (first, *others)) == list(range(len(parts)))
    assert not [result for result in others if result.problem]
    assert candidates(job.out) == candidates(expected.out)
    assert kill_processes(WORKERS) == 0


def test_a_part_that_kills_its_process_again_and_again_ends_the_batch(make_job) -> None:
    job = make_job()
    over = threading.Event()

    def kill_all() -> None:
        while not over.wait(0.02):
            kill_processes(WORKERS)

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        with pytest.raises(BatchError, match=f"died {TRIES} times: SIGKILL.*the same command goes on from there"):
            list(answer_locally(job, job.plan.parts(), workers=1))
    finally:
        over.set()
        killer.join()
    assert kill_processes(WORKERS) == 0


def test_an_error_in_a_process_is_a_result(make_job) -> None:
    job = make_job(filter="genre ==== 5")
    results = answer_locally(job, job.plan.parts()[:1], workers=1)
    (result,) = results
    assert result.kind == "ConfigError"
    assert "a.parquet, queries 0 to 4" in result.problem
