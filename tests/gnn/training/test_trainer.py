"""The trainer with a task that has nothing to do with graphs: a line through points."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gnn.sampling import Stream, uniform
from gnn.training.checkpoint import CHECKPOINT
from gnn.training.context import RunContext
from gnn.training.schedule import Schedule
from gnn.training.task import Measured, Outcome, Weight
from gnn.training.trainer import Trainer
from kg.errors import TrainingError

CPU = RunContext(device="cpu")
SCHEDULE = Schedule(max_steps=60, eval_every=5, patience=100, learning_rate=0.05)


@dataclass(frozen=True)
class Line:
    slope: float
    offset: float
    outcome: Outcome


class LineTask:
    """y = 3 x - 1 from noisy points drawn for each step; validation measures how far the slope is off."""

    def __init__(self, *, best_at: float = 3.0, validated: bool = True, broken_at: int | None = None) -> None:
        self.slope, self.offset = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.best_at, self.validated, self.broken_at = best_at, validated, broken_at

    def parameters(self) -> Mapping[str, Weight]:
        return {"slope": Weight(self.slope), "offset": Weight(self.offset)}

    def loss(self, step: int) -> Tensor:
        draw = uniform(torch.arange(64), seed=0, step=step, stream=Stream.NEGATIVES).float().view(2, 32)
        x, noise = 2 * draw[0] - 1, draw[1] - 0.5
        loss = (self.slope * x + self.offset - (3 * x - 1 + noise)).pow(2).mean()
        return loss * math.nan if step == self.broken_at else loss

    def validate(self) -> Measured | None:
        if not self.validated:
            return None
        error = abs(self.slope.item() - self.best_at)
        return Measured("closeness", {"closeness": -error, "error": error}, {"rounded": round(self.slope.item())})

    def result(self, outcome: Outcome) -> Line:
        return Line(self.slope.item(), self.offset.item(), outcome)

    def fingerprint(self) -> str:
        return f"line {self.best_at} {self.validated}"

    def advice(self) -> Sequence[str]:
        return ["draw more points"]


def train(task: LineTask, schedule: Schedule = SCHEDULE, context: RunContext = CPU) -> Line:
    line = Trainer(task, schedule, context).run()
    assert line is not None
    return line


def test_it_trains_whatever_the_task_is() -> None:
    line = train(LineTask(validated=False), replace(SCHEDULE, max_steps=400))
    assert line.slope == pytest.approx(3, abs=0.1)
    assert line.offset == pytest.approx(-1, abs=0.1)
    assert line.outcome.steps == 400
    assert line.outcome.best is None


def test_it_stops_early_and_returns_the_weights_of_the_best_step() -> None:
    line = train(LineTask(best_at=1.0), replace(SCHEDULE, patience=3))
    best, history = line.outcome.best, line.outcome.history
    assert best is not None
    assert line.outcome.steps == max(history, key=lambda entry: entry["closeness"])["step"]
    assert history[-1]["step"] == line.outcome.steps + 15
    assert abs(line.slope - 1.0) == pytest.approx(best.values["error"])
    assert best.choices == {"rounded": 1}


def test_the_log_holds_what_the_task_measures(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    line = train(LineTask(), context=replace(CPU, log=file))
    entries = [json.loads(text) for text in file.read_text().splitlines()]
    assert entries == line.outcome.history
    assert set(entries[0]) == {"step", "loss", "seconds", "closeness", "error", "rounded"}
    assert [entry["step"] for entry in entries] == list(range(5, 61, 5))


def test_it_resumes_to_the_same_result(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(history: Sequence[Mapping[str, float]]) -> None:
        if history[-1]["step"] == 25:
            raise KilledError

    context = replace(CPU, checkpoints=tmp_path)
    with pytest.raises(KilledError):
        train(LineTask(), context=replace(context, on_validation=kill))
    lengths: list[int] = []
    resumed = train(LineTask(), context=replace(context, on_validation=lambda history: lengths.append(len(history))))
    whole = train(LineTask())
    assert lengths[0] == 6, "the checkpoint was not used"
    assert (resumed.slope, resumed.offset) == (whole.slope, whole.offset)
    assert resumed.outcome.best == whole.outcome.best


def test_a_checkpoint_of_another_task_schedule_or_seed_is_not_resumed(tmp_path: Path) -> None:
    others = [
        (LineTask(best_at=2.0), SCHEDULE, CPU),
        (LineTask(), replace(SCHEDULE, learning_rate=0.06), CPU),
        (LineTask(), SCHEDULE, replace(CPU, seed=1)),
    ]
    for number, (task, schedule, context) in enumerate(others):
        folder, lengths = tmp_path / str(number), []
        train(LineTask(), replace(SCHEDULE, max_steps=5), replace(CPU, checkpoints=folder))
        train(task, schedule, replace(context, checkpoints=folder, on_validation=lambda h, n=lengths: n.append(len(h))))
        assert lengths[0] == 1


def test_a_loss_that_is_not_finite_is_named_with_the_advice_of_the_task(tmp_path: Path) -> None:
    message = r"diverged at step 13: the loss is nan; lower training.learning_rate \(now 0.05\) or draw more points; "
    with pytest.raises(TrainingError, match=message + "the last good checkpoint"):
        train(LineTask(broken_at=12), context=replace(CPU, checkpoints=tmp_path))
    assert (tmp_path / CHECKPOINT).exists()


def test_a_weight_that_is_not_finite_is_named() -> None:
    class Broken(LineTask):
        def loss(self, step: int) -> Tensor:
            loss = super().loss(step)
            with torch.no_grad():
                self.offset.fill_(torch.inf)
            return loss

    with pytest.raises(TrainingError, match="offset holds values that are not finite"):
        train(Broken(), replace(SCHEDULE, eval_every=1))


@pytest.mark.parametrize(("last", "rates"), [(1.0, [0.4, 0.4, 0.4, 0.4]), (0.0, [0.4, 0.3, 0.2, 0.1])])
def test_the_learning_rate_falls_evenly(last: float, rates: Sequence[float]) -> None:
    schedule = Schedule(max_steps=4, eval_every=4, patience=1, learning_rate=0.4, last_rate=last)
    taken = []

    class Recorded(LineTask):
        def loss(self, step: int) -> Tensor:
            taken.extend(group["lr"] for group in trainer.optimizer.param_groups if step)
            return super().loss(step)

    trainer = Trainer(Recorded(), schedule, CPU)
    trainer.run()
    taken.extend(group["lr"] for group in trainer.optimizer.param_groups)
    assert taken == pytest.approx(rates)
