"""The benchmark of sequence models on four small histories."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import fusing, results, sequences, sequences_data, walk
from recall.contracts import FitData


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    for module in (sequences, results, fusing):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(sequences, "CHECKPOINTS", tmp_path / "checkpoints")


def test_a_row_for_each_model_with_known_targets_apart(small_beauty, tmp_path):
    for models in (["sasrec", "gru4rec"], ["sasrec"]):
        sequences.main(
            ["--data", str(small_beauty), "--only", "beauty", "--model", *models, "--steps", "3", "--seeds", "2"]
        )
    kept = json.loads((tmp_path / "sequences.json").read_text(encoding="utf-8"))
    assert [row["model"] for row in kept["rows"]] == ["gru4rec", "sasrec"]
    assert set(kept["data"]) == {"sequences/Beauty.txt", "sequences/Beauty_items.csv"}
    for row in kept["rows"]:
        assert (row["users"], row["known targets"], row["k"], row["seeds"]) == (5, 4, 10, 2)
        # With six items the best ten are all that are not seen; the item that nobody has touched has no vector.
        assert row["recall@10"] == pytest.approx(4 / 5)
        assert row["recall@10 known targets"] == 1
        assert 0 < row["ndcg@10"] < 1


def test_a_finished_training_is_not_made_again(small_beauty, monkeypatch):
    problem = walk.sequences("beauty", small_beauty, lambda graph: None)
    first = sequences.fitted(problem, "sasrec", ["id"], steps=3, seed=0)
    monkeypatch.setattr("gnn.training.trainer.Trainer._train_step", None)
    again = sequences.fitted(problem, "sasrec", ["id"], steps=3, seed=0)
    np.testing.assert_array_equal(first.model.vectors, again.model.vectors)


def test_shuffled_histories_hold_the_same_items_and_no_target(small_beauty):
    problem = walk.sequences("beauty", small_beauty, lambda graph: None)
    mixed = sequences.with_order_shuffled(problem, seed=1)
    users = problem.test.user
    before, after = (FitData.of(each.first).history.sequence(users) for each in (problem, mixed))
    assert [sorted(before[row]) for row in range(5)] == [sorted(after[row]) for row in range(5)]
    assert before.values.tolist() != after.values.tolist()
    asked = sequences.requests(mixed, seed=1)
    assert (asked.user == -1).all()
    for row in range(5):
        assert sorted(asked.history[row]) == sorted([*before[row], *problem.later[row]])
        assert problem.test.truth[row][0] not in asked.history[row]
    assert sequences.requests(problem, seed=1).user.tolist() == users.tolist()


def test_the_walk_is_fused_with_what_was_trained(small_beauty, tmp_path):
    settings = {"model": "walk", "data": "beauty", "settings": {}}
    (tmp_path / "walk.json").write_text(json.dumps({"rows": [settings]}), encoding="utf-8")
    problem = walk.sequences("beauty", small_beauty, lambda graph: None)
    channels = {
        name: [sequences.fitted(problem, name, ["id"], steps=3, seed=seed) for seed in (0, 1)]
        for name in ("sasrec", "gru4rec")
    }
    row = sequences.fused(problem, channels)
    assert (row["parts"], row["seeds"], len(row["weights"])) == ("sasrec + gru4rec + walk without texts", 2, 2)
    assert row["recall@10"] == 1  # of six items, each listed or not
    for weights in row["weights"]:
        assert {word.split()[0] for word in weights.split(", ")} <= {"sasrec", "gru4rec", "walk"}


def test_parts_that_are_not_there_are_refused(small_beauty, capsys):
    with pytest.raises(SystemExit):
        sequences.main(["--data", str(small_beauty), "--parts", "id,colour"])
    assert "'colour' is none of id, text, knowledge" in capsys.readouterr().err


def test_with_times_the_test_is_answered_by_a_training_on_all_that_is_before(small_beauty):
    graph = sequences_data.load(small_beauty / "sequences", "beauty")
    split = sequences_data.leave_one_out(graph)
    problem = walk.Problem.of("small", graph, split, k=10, refit=True, features=None, data={})
    channel = sequences.fitted(problem, "gru4rec", ["id"], steps=3, seed=0)
    assert channel.recipe["steps"] <= 3
    assert channel.query_vectors(sequences.requests(problem, seed=0)).shape == (5, 64)
    before = FitData.of(problem.final).history.sequence(problem.test.user)
    assert channel._histories(sequences.requests(problem, seed=0)).counts.tolist() == before.counts.tolist()
    row = sequences.row_of(problem, [sequences.measured(problem, channel, seed=0)])
    assert row["recall@10"] == pytest.approx(4 / 5)
    assert "known targets" not in row
