"""A run whose channel is an inner product: its vectors in an export, and for a database."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recall.config.deployment import load_config
from recall.jobs.refresh import refresh
from recall.runs.layout import RunLayout
from recall.serve.export import export_run
from recall.serve.recommender import Recommender
from recall.serve.vectors import inner_product_vectors
from recall.serve.write_back import results_of
from tests.recall.conftest import CONFIG, write_deployment


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    """A run of GRU4Rec alone, in which one user likes nothing and nothing is joined to one movie."""
    folder = tmp_path_factory.mktemp("run")
    path = write_deployment(folder)
    text = CONFIG.replace('channels = ["lightgcn"]', 'channels = ["gru4rec"]')
    text = text.replace("channels.lightgcn", "channels.gru4rec").replace("batch_size = 64", "batch_size = 8")
    path.write_text(text)
    with (folder / "ratings.csv").open("a") as stream:
        stream.write("nobody,m1,1,2000000\n")
    result = refresh(load_config(path))
    assert result.run is not None
    return result.run


def test_the_product_of_two_vectors_is_the_score(run: RunLayout, tmp_path: Path) -> None:
    export_run(run, tmp_path / "out")
    users, movies = (pq.read_table(tmp_path / "out" / "embeddings" / f"{name}.parquet") for name in ("user", "movie"))
    recommender = Recommender.load(run.path)
    row = recommender.recommend(["u1"], k=1).table.to_pylist()[0]
    user = np.array(users["embedding"][users["id"].to_pylist().index("u1")].as_py())
    movie = np.array(movies["embedding"][movies["id"].to_pylist().index(row["item_id"])].as_py())
    assert user @ movie == pytest.approx(row["score"], rel=1e-5)
    assert set(users["id"].to_pylist()) == set(recommender.graph.users.ids.to_pylist()) - {"nobody"}


def test_a_database_gets_the_same_vectors(run: RunLayout) -> None:
    schema, results = results_of(run, k=3)
    assert (schema.user_type, schema.item_type) == ("user", "movie")
    assert set(results.vectors) == {"items", "users"}
    vectors = inner_product_vectors(Recommender.load(run.path))
    assert vectors is not None
    for role, (ids, matrix) in results.vectors.items():
        assert pa.array(ids).to_pylist() == vectors[role].ids.to_pylist()
        np.testing.assert_array_equal(matrix, vectors[role].matrix)
        assert len(matrix) > 0
    assert results.candidates.num_rows == 3 * len(Recommender.load(run.path).graph.users)
