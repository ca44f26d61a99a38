"""A job whose parts the engines answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recall.batch.plan import BatchJob, BatchPlan
from recall.batch.queries import look_at_queries
from recall.serve.questions import RecommendOptions


@pytest.fixture
def make_job(run, users, tmp_path) -> Callable[..., BatchJob]:
    """A job on 30 users in a folder of its own."""

    def make(name: str = "out", *, part_queries: int = 5, **options) -> BatchJob:
        folder, files = look_at_queries(users, ("country",))
        out: Path = tmp_path / name
        out.mkdir()
        plan = BatchPlan(
            run=run.name,
            run_digest=run.verify()["digest"],
            queries=files,
            options=RecommendOptions(**{"k": 4, **options}),
            keep=("country",),
            part_queries=part_queries,
        )
        return BatchJob(plan=plan, run=run.path, queries=folder, out=out)

    return make
