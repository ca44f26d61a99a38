"""Parts answered and written, and what becomes of errors on their way through an engine."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from kg.errors import BatchError, InvalidDataError, UnknownIdError
from recall.batch.plan import BatchJob, BatchPlan
from recall.batch.queries import look_at_queries
from recall.batch.work import RESULTS, PartResult, PartsFunction, answer_part, results_of, results_table
from recall.serve.questions import RecommendOptions
from tests.recall.batch.making import batch_of


@pytest.fixture
def job(run, users, tmp_path) -> BatchJob:
    folder, files = look_at_queries(users, ("country",))
    plan = BatchPlan(
        run=run.name,
        run_digest=run.verify()["digest"],
        queries=files,
        options=RecommendOptions(k=4),
        keep=("country",),
        part_queries=10,
    )
    return BatchJob(plan=plan, run=run.path, queries=folder, out=tmp_path / "out")


def test_parts_are_numbered_over_all_files(job, recommender) -> None:
    parts = PartsFunction(job=job, numbers=(3, 1))
    results = list(parts([batch_of(id=[0]), batch_of(id=[1])]))
    assert [batch.schema for batch in results] == [RESULTS, RESULTS]
    assert [result for batch in results for result in results_of(batch)] == [
        PartResult(part=3, queries=3, candidates=12),
        PartResult(part=1, queries=7, candidates=28),
    ]
    assert sorted(path.name for path in job.out.iterdir()) == ["part-00001.parquet", "part-00003.parquet"]
    rows = pq.read_table(job.out / "part-00003.parquet").to_pylist()
    assert [row["query"] for row in rows[::4]] == [27, 28, 29]
    assert [row["country"] for row in rows[::4]] == ["c0", "c1", "c2"]
    expected = recommender.recommend(["u27", "u28", "u29"], k=4, titles=True).table.to_pylist()
    assert [{key: row[key] for key in expected[0]} for row in rows] == expected


def test_errors_arrive_as_they_were_raised(job) -> None:
    (job.queries / "b.parquet").unlink()
    result = answer_part(job, job.plan.parts()[2])
    assert result.kind == "InvalidDataError"
    (sent,) = results_of(results_table([result]))
    with pytest.raises(InvalidDataError, match=r"b\.parquet"):
        sent.check()
    with pytest.raises(UnknownIdError, match="'nobody'; on_unknown"):
        PartResult(part=1, kind="UnknownIdError", problem="unknown user id: 'nobody'").check()
    with pytest.raises(BatchError, match="part 1: the disk is full"):
        PartResult(part=1, kind="OSError", problem="the disk is full").check()
    PartResult(part=1).check()


def test_a_folder_that_cannot_be_written_to_is_a_result(job) -> None:
    job.out.write_text("a file in the place of the folder")
    result = answer_part(job, job.plan.parts()[0])
    assert (result.kind, result.queries) == ("FileExistsError", 0)
    assert str(job.out) in result.problem
