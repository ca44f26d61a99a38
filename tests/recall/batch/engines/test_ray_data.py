"""Parts answered by a real Ray, some of whose workers are killed: the rows are those of the local engine."""

from __future__ import annotations

import pyarrow as pa
import pytest

from kg.errors import ConfigError, InvalidDataError
from recall.batch.answering import CandidateFunction
from recall.batch.run import run_batch
from recall.serve.questions import RecommendOptions
from tests.recall.batch.making import candidates, check_rows, kill_processes

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
WORKERS = "MapBatches"  # in the commands of the processes that answer parts, not of Ray's own
pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_the_rows_are_those_of_the_local_engine(runs, users, tmp_path) -> None:
    check_rows(runs, users, tmp_path, engine="ray")


def test_a_killed_worker_loses_nothing(make_job, tmp_path) -> None:
    from recall.batch.engines.local import answer_locally
    from recall.batch.engines.ray_data import answer_with_ray

    job, expected = make_job(part_queries=1), make_job("expected")
    parts = job.plan.parts()
    list(answer_locally(expected, expected.plan.parts(), workers=1))
    answered, killed = [], 0
    for result in answer_with_ray(job, parts, workers=1):
        answered.append(result.part)
        killed = killed or kill_processes(WORKERS)
    assert killed
    assert sorted(answered) == list(range(len(parts)))
    assert candidates(job.out) == candidates(expected.out)


def test_the_function_answers_a_data_set(run, recommender) -> None:
    function = CandidateFunction.of(run, RecommendOptions(k=3, titles=False))
    queries = ray.data.from_arrow(pa.table({"user_id": [f"u{number}" for number in range(8)]}))

    def answer(table):
        return pa.Table.from_batches(function(table.to_batches()))

    rows = queries.map_batches(answer, batch_format="pyarrow").take_all()
    expected = recommender.recommend([f"u{number}" for number in range(8)], k=3).table.to_pylist()
    assert [{key: row[key] for key in expected[0]} for row in rows] == expected


def test_what_is_wrong_with_a_query_is_said_as_by_the_local_engine(runs, users, tmp_path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"user_id": ["u1", "u2"], "k": [3, 0]}), tmp_path / "users.parquet")
    with pytest.raises(InvalidDataError, match=r"users\.parquet, query 1: k: Input should be greater"):
        run_batch(runs / "current", tmp_path / "users.parquet", tmp_path / "out", engine="ray")


def test_a_cluster_that_is_not_there_is_named(runs, users, tmp_path) -> None:
    ray.shutdown()
    try:
        with pytest.raises(ConfigError, match=r"no Ray at 127\.0\.0\.1:9"):
            run_batch(
                *(runs / "current", users, tmp_path / "out"), engine="ray", cluster="127.0.0.1:9", keep=["country"]
            )
    finally:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
