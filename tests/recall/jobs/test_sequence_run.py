"""A sequence model in a configuration: trained, served, explained, continued, and made again without a user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gnn.sequence.model import SequenceModel
from recall.config.deployment import load_config
from recall.jobs.forget import forget
from recall.jobs.refresh import RefreshResult, refresh
from recall.runs.registry import RunsFolder
from recall.serve.recommender import Recommender
from tests.recall.conftest import CONFIG, write_deployment


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A deployment with SASRec and item-kNN, fused."""
    path = write_deployment(tmp_path)
    text = CONFIG.replace('channels = ["lightgcn"]', 'channels = ["sasrec", "item_knn"]')
    text = text.replace("channels.lightgcn", "channels.sasrec").replace("batch_size = 64", "batch_size = 8")
    path.write_text(text + "[fusion.weights]\nsasrec = 0.8\nitem_knn = 0.2\n")
    return path


def serve(result: RefreshResult) -> tuple[Recommender, SequenceModel]:
    assert result.run is not None
    recommender = Recommender.load(result.run.path)
    return recommender, SequenceModel.load(result.run.artifact("models", "sasrec"), recommender.graph)


def test_it_serves_users_and_histories_in_their_order(config: Path) -> None:
    result = refresh(load_config(config))
    recommender, model = serve(result)
    assert model.facts["model"] == "SASRec"
    assert model.described.all()
    steps = result.report.training["sasrec"]
    assert steps.serving is not None
    assert steps.evaluation.steps == steps.serving.steps
    rows = recommender.recommend(["u1"], k=3).table.to_pylist()
    assert {row["source"] for row in rows} <= {"fusion(sasrec+item_knn)", "fusion(sasrec)", "fusion(item_knn)"}
    (explanation,) = recommender.explain([("u1", rows[0]["item_id"])])
    assert "Leave-one-out" in explanation.text

    def scores(history: list[str]) -> list[float]:
        return recommender.recommend_for(history=history, k=40, exclude_seen=False).table["score"].to_pylist()

    assert scores(["m3", "m5", "m9"]) != scores(["m9", "m5", "m3"])
    assert scores(["m3", "m5", "m3"]) == scores(["m5", "m3"])


def test_a_later_refresh_starts_from_it_and_a_user_can_be_forgotten(config: Path) -> None:
    _, before = serve(refresh(load_config(config)))
    with (config.parent / "ratings.csv").open("a") as stream:
        stream.write("u1,m20,5,2000000\nnew,m3,5,2000001\nnew,m4,5,2000002\n")
    config.write_text(config.read_text() + "[refresh]\nwarm_share = 0.5\nwarm_rate = 0.000001\n")
    result = refresh(load_config(config))
    assert result.report.kind == "incremental"
    recommender, after = serve(result)
    np.testing.assert_allclose(after.vectors, before.vectors, atol=1e-3)
    assert len(recommender.recommend(["new"], k=3).table) == 3
    forgotten = forget(RunsFolder(config.parent / "runs"), ["u1"])
    assert forgotten.run is not None
    again = Recommender.load(forgotten.run.path)
    assert "u1" not in again.graph.users.ids.to_pylist()
    assert len(again.recommend(["u2"], k=3).table) == 3


def test_what_a_user_likes_now_is_the_newest_part_of_their_history(config: Path) -> None:
    """Without any training: the model reads the log's likes after what the run was made with, in their order."""
    text = config.read_text().replace('["sasrec", "item_knn"]', '["sasrec"]')
    config.write_text(text.partition("[fusion.weights]")[0])
    recommender, _ = serve(refresh(load_config(config)))
    (user,) = recommender.graph.users.index(["u1"])
    done = recommender.pipeline.history.sequence(np.array([user]))
    before = recommender.graph.items.take(done.values[done.positive]).to_pylist()
    new = [item for item in recommender.graph.items.ids.to_pylist() if item not in before][:2]

    def scores(**who: list[str]) -> dict[str, float]:
        asked = recommender.recommend(["u1"], k=40, exclude_seen=False)
        if who:
            asked = recommender.recommend_for(**who, k=40, exclude_seen=False)
        return dict(zip(asked.table["item_id"].to_pylist(), asked.table["score"].to_pylist(), strict=True))

    old = scores()
    recommender.add_feedback(
        {"user_id": "u1", "item_id": item, "kind": "like", "time": 3_000_000 + at} for at, item in enumerate(new)
    )
    now = scores()
    assert now == pytest.approx(scores(history=[*before, *new]), rel=1e-5)
    assert now != pytest.approx(scores(history=[*before, *new[::-1]]), rel=1e-5)
    assert now != pytest.approx(old, rel=1e-5)
    (explanation,) = recommender.explain([("u1", next(iter(now)))])
    assert set(new) <= {reason.node.id for reason in explanation.left_out if reason.node is not None}
