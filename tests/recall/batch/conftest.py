"""A small run, and queries for it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recall.runs.layout import RunLayout
from recall.serve.recommender import Recommender
from tests.recall.serve.making import write_run

NAME = "20260131T235959123Z-1a2b3c4d"


@pytest.fixture(scope="session")
def runs(tmp_path_factory, movie_graph, linear_model) -> Path:
    """A runs folder whose run no test changes."""
    graph = movie_graph()
    folder = tmp_path_factory.mktemp("batch") / "runs"
    write_run(graph, linear_model(graph, seed=3), folder / NAME)
    (folder / "current").symlink_to(NAME)
    return folder


@pytest.fixture(scope="session")
def run(runs) -> RunLayout:
    return RunLayout.open(runs / "current")


@pytest.fixture(scope="session")
def recommender(run) -> Recommender:
    return Recommender.load(run.path)


@pytest.fixture
def users(tmp_path) -> Path:
    """30 users in two files, and what else is known of each."""
    folder = tmp_path / "queries"
    folder.mkdir()
    for name, first in (("a.parquet", 0), ("b.parquet", 17)):
        last = 17 if first == 0 else 30
        ids = [f"u{number}" for number in range(first, last)]
        table = pa.table({"user_id": ids, "country": [f"c{number % 3}" for number in range(first, last)]})
        pq.write_table(table, folder / name, row_group_size=5)
    return folder
