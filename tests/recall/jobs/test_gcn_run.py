"""A GCN chosen in the configuration: trained, served, explained, continued, and made again without a user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gnn.graph.embeddings import Embeddings
from kg.errors import ConfigError
from recall.config.deployment import load_config
from recall.jobs.forget import forget
from recall.jobs.refresh import RefreshResult, refresh
from recall.runs.registry import RunsFolder
from recall.serve.recommender import Recommender
from tests.recall.conftest import CONFIG, write_deployment


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A deployment whose one channel is a GCN."""
    path = write_deployment(tmp_path)
    path.write_text(CONFIG.replace("lightgcn", "gcn"))
    return path


def serve(result: RefreshResult) -> tuple[Recommender, Embeddings]:
    assert result.run is not None
    return Recommender.load(result.run.path), Embeddings.load(result.run.artifact("models", "gcn"))


def test_it_serves_users_and_histories_and_its_scores_do_not_split(config: Path) -> None:
    recommender, embeddings = serve(refresh(load_config(config)))
    assert embeddings.linear is None
    assert embeddings.facts["model"] == "GCN"
    rows = recommender.recommend(["u1"], k=3).table.to_pylist()
    assert [row["source"] for row in rows] == ["gcn"] * 3
    user = recommender.graph.users.index(["u1"])[0]
    items = recommender.graph.items.index([row["item_id"] for row in rows])
    scores = embeddings.query_vectors(embeddings.users[[user]]) @ embeddings.index_vectors[items].T
    np.testing.assert_allclose([row["score"] for row in rows], scores[0], rtol=1e-5)
    assert len(recommender.recommend_for(history=["m3", "m5"], k=3).table) == 3
    with pytest.raises(ConfigError, match="text"):
        recommender.recommend_for(text="a night by the river", k=3)
    (explanation,) = recommender.explain([("u1", rows[0]["item_id"])])
    assert explanation.score == pytest.approx(rows[0]["score"], abs=1e-5)
    assert "not linear" in str(explanation.to_json())


def test_a_later_refresh_starts_from_it_and_a_user_can_be_forgotten(config: Path) -> None:
    refresh(load_config(config))
    with (config.parent / "ratings.csv").open("a") as stream:
        stream.write("u1,m20,5,2000000\nnew,m3,5,2000001\nnew,m4,5,2000002\n")
    config.write_text(config.read_text() + "[refresh]\nwarm_share = 0.5\n")
    result = refresh(load_config(config))
    assert result.report.kind == "incremental"
    recommender, embeddings = serve(result)
    assert embeddings.users[recommender.graph.users.index(["new"])[0]].any()
    forgotten = forget(RunsFolder(config.parent / "runs"), ["u1"])
    assert forgotten.run is not None
    after = Recommender.load(forgotten.run.path)
    before = embeddings.users[recommender.graph.users.index(["u2"])[0]]
    kept = Embeddings.load(forgotten.run.artifact("models", "gcn")).users[after.graph.users.index(["u2"])[0]]
    np.testing.assert_array_equal(kept, before)
    assert "u1" not in after.graph.users.ids.to_pylist()
    assert after.recommend(["u2"], k=3).table["source"].to_pylist() == ["gcn"] * 3
