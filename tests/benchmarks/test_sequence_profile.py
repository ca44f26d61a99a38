"""The profile of a training step of a sequence model."""

from __future__ import annotations

import json

import torch

from benchmarks import results, sequence_profile, walk


def test_all_models_are_profiled(small_beauty, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    sequence_profile.main(["--data", str(small_beauty)])
    rows = json.loads((tmp_path / "sequence_profile.json").read_text(encoding="utf-8"))["rows"]
    assert [(row["model"], row["parts"]) for row in rows[:2]] == [("sasrec", "id"), ("sasrec", "id + knowledge")]
    for row in rows:
        parts = [row[f"{part}_ms"] for part in ("preparation", "vectors", "model", "loss", "optimiser")]
        assert min(parts) >= 0
        assert abs(sum(parts) - row["step_ms"]) < 0.5  # of rounding
        assert row["targets"] > 0
        assert row["validated"] == 5


def test_the_parts_make_the_step_that_the_trainer_takes(small_beauty):
    problem = walk.sequences("beauty", small_beauty, lambda graph: None)
    task = sequence_profile.task_of(problem, "sasrec", ("id", "knowledge"))
    task.network.eval()  # without dropout, which a profile does not seed
    sequence_profile.parts_of(task, 0)
    in_parts = {name: weight.grad.clone() for name, weight in task.network.named_parameters()}
    task.network.zero_grad()
    task.network.train = lambda: task.network  # the loss of a step trains with dropout
    task.loss(0).backward()
    assert in_parts
    for name, weight in task.network.named_parameters():
        torch.testing.assert_close(in_parts[name], weight.grad, rtol=1e-4, atol=1e-6)
