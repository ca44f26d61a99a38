"""Parts answered by a real Spark with executors of their own, one of which is killed: the rows are the local ones."""

from __future__ import annotations

import shutil
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kg.errors import ConfigError, InvalidDataError
from recall.batch.answering import CandidateFunction
from recall.batch.run import run_batch
from recall.serve.questions import RecommendOptions
from tests.recall.batch.making import candidates, check_rows, kill_processes

pytest.importorskip("pyspark")
WORKERS = "pyspark.daemon"  # in the commands of the processes that answer parts
pytestmark = [
    pytest.mark.engines,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java"),
]


@pytest.fixture(scope="module", autouse=True)
def session():
    """Two executors with a core each, in processes of their own as on two machines."""
    from recall.batch.engines.spark import _session

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        spark = _session("local-cluster[2,1,1024]")
        spark.sparkContext.setLogLevel("OFF")
        yield spark
        spark.stop()


def test_the_rows_are_those_of_the_local_engine(runs, users, tmp_path) -> None:
    check_rows(runs, users, tmp_path, engine="spark")


def test_a_killed_worker_loses_nothing(make_job) -> None:
    from recall.batch.engines.local import answer_locally
    from recall.batch.engines.spark import answer_with_spark

    job, expected = make_job(part_queries=1), make_job("expected")
    parts = job.plan.parts()
    list(answer_locally(expected, expected.plan.parts(), workers=1))
    killed, over = [], threading.Event()

    def kill_once() -> None:
        """As soon as a part is there."""
        while not over.wait(0.01):
            if list(job.out.glob("part-*.parquet")):
                killed.append(kill_processes(WORKERS))
                return

    killer = threading.Thread(target=kill_once)
    killer.start()
    try:
        results = list(answer_with_spark(job, parts))
    finally:
        over.set()
        killer.join()
    assert killed[0] > 0
    assert sorted(result.part for result in results) == list(range(len(parts)))
    assert candidates(job.out) == candidates(expected.out)


def test_the_function_answers_a_data_frame(run, recommender, session) -> None:
    from recall.batch.engines.spark import spark_schema

    function = CandidateFunction.of(run, RecommendOptions(k=3, titles=False), keep=("day",))
    queries = session.createDataFrame([(f"u{number}", number) for number in range(8)], "user_id string, day bigint")
    schema = function.schema(pa.schema([("user_id", pa.string()), ("day", pa.int64())]))
    rows = [row.asDict() for row in queries.mapInArrow(function, spark_schema(schema)).collect()]
    expected = recommender.recommend([f"u{number}" for number in range(8)], k=3).table.to_pylist()
    rows = sorted(rows, key=lambda row: (row["day"], row["rank"]))
    assert [{key: row[key] for key in expected[0]} for row in rows] == expected


def test_what_is_wrong_with_a_query_is_said_as_by_the_local_engine(runs, tmp_path) -> None:
    pq.write_table(pa.table({"user_id": ["u1", "u2"], "k": [3, 0]}), tmp_path / "users.parquet")
    with pytest.raises(InvalidDataError, match=r"users\.parquet, query 1: k: Input should be greater"):
        run_batch(runs / "current", tmp_path / "users.parquet", tmp_path / "out", engine="spark")


def test_columns_that_spark_has_no_plain_type_for_are_named() -> None:
    from recall.batch.engines.spark import spark_schema

    assert spark_schema(pa.schema([("a`b", pa.string()), ("k", pa.int32())])) == "`a``b` string, `k` int"
    with pytest.raises(ConfigError, match=r"'x' is of the type list"):
        spark_schema(pa.schema([("x", pa.list_(pa.string()))]))
