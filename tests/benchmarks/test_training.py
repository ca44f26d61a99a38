"""The clocks of the training benchmark: nobody pays for validation or for writing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.peers import snapshots
from benchmarks.training import Clock, Gowalla, OutOfTime, evaluate_peer


class Time:
    """A clock that stands still unless it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


def test_validations_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    monkeypatch.setattr("benchmarks.training.time", time)
    clock = Clock(most=9.0)
    history = []

    def train() -> None:
        with clock.task("train") as task:
            task.advance(0)
            for step, ndcg in ((1, 0.1), (2, 0.3), (3, 0.2), (4, 0.9)):
                time.now += 3.0
                task.advance()
                history.append({"step": step, "seconds": time.now - 100.0, "ndcg@20": ndcg, "recall@20": ndcg})
                time.now += 50.0
                clock.validated(history)

    with pytest.raises(OutOfTime):
        train()
    assert [point.seconds for point in clock.curve] == [3.0, 6.0, 9.0]
    assert clock.best().step == 2
    reached = clock.reached(0.15)
    assert reached is not None
    assert reached.seconds == 6.0
    assert clock.reached(0.4) is None


def test_a_peer_trains_its_budget_and_leaves_vectors_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    time = Time()
    monkeypatch.setattr(snapshots, "time", time)

    def vectors() -> tuple[torch.Tensor, torch.Tensor]:
        time.now += 1000.0
        return torch.full((2, 3), 1.0), torch.full((4, 3), 2.0)

    clock = snapshots.Snapshots(tmp_path, 10.0, 2, vectors)

    def train() -> None:
        clock.start()
        for _ in range(100):
            time.now += 2.0
            clock.after_step()

    with pytest.raises(snapshots.BudgetSpent):
        train()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["0000003.npz", "0000005.npz"]
    with np.load(tmp_path / "0000005.npz") as stored:
        assert float(stored["seconds"]) == 10.0
        assert int(stored["step"]) == 5
        assert stored["users"].shape == (2, 3)
        assert stored["items"].tolist() == [[2.0] * 3] * 4


def test_the_vectors_of_a_peer_are_ranked_on_validation(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    walks = [random.permutation(60).tolist() for _ in range(20)]
    for name, kept in (("train.txt", slice(0, 30)), ("test.txt", slice(30, 33))):
        lines = [" ".join(map(str, [user, *walk[kept]])) for user, walk in enumerate(walks)]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = Gowalla(tmp_path)
    wanted = np.zeros((len(data.graph.users), len(data.graph.items)), dtype=np.float32)
    truth = data.validation.truth
    wanted[truth.rows(), truth.values] = 1.0
    items = np.eye(len(data.graph.items), dtype=np.float32)
    np.savez(tmp_path / "1.npz", users=wanted, items=items, seconds=2.5, step=7)
    (point,) = evaluate_peer([tmp_path / "1.npz"], data)
    assert (point.seconds, point.step, point.ndcg, point.recall) == (2.5, 7, pytest.approx(1.0), pytest.approx(1.0))
