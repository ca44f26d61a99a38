"""One trainer for every model with weights: early stopping, checkpoints, a log, ranks, a guard against divergence."""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from gnn.training.checkpoint import CHECKPOINT, Checkpoint
from gnn.training.context import RunContext
from gnn.training.schedule import Schedule
from gnn.training.task import Measured, Outcome, TrainingTask
from kg.errors import TrainingError
from kg.io.files import write_text
from kg.progress import SILENT

CHECK_EVERY = 10  # steps between two looks at the loss where a look waits for the device
STATE_VERSION = 2  # of what a checkpoint holds beside the tensors

Result = TypeVar("Result")


@dataclass
class _Best:
    """The best validation so far, and how many came after it without a better one."""

    step: int = 0
    misses: int = 0
    measured: Measured | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "misses": self.misses,
            "measured": None if self.measured is None else asdict(self.measured),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> _Best:
        measured = data["measured"]
        return cls(data["step"], data["misses"], None if measured is None else Measured(**measured))


class Trainer(Generic[Result]):
    """Trains a task once.

    Attributes:
        task: what is trained.
        step: steps taken so far.
        optimizer: AdamW over the task's weights.
    """

    def __init__(self, task: TrainingTask[Result], schedule: Schedule, context: RunContext) -> None:
        self.task, self.schedule, self.context = task, schedule, context
        self.step = 0
        self._ranks = context.ranks
        self._device = context.torch_device
        self._weights = dict(task.parameters())
        self._replicated = [weight.value for weight in self._weights.values() if not weight.split]
        # One fused update where torch has it: the optimiser is a visible part of a CPU step otherwise.
        self.optimizer = torch.optim.AdamW(
            [weight.value for weight in self._weights.values()],
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            fused=True,
        )
        self._seconds = 0.0
        self._best = _Best()
        self._best_values: dict[str, Tensor] = {}
        self._history: list[dict[str, Any]] = []

    def run(self) -> Result | None:
        """Train, from a checkpoint or from the start, and return the task's result; None in all ranks but the first.

        Raises:
            TrainingError: the loss or a weight is no longer a finite number, or another rank was lost; the last good
                checkpoint is kept.
        """
        checkpointing: bool = self._ranks.broadcast(self.context.checkpoints is not None)
        fingerprint = self._fingerprint()
        if checkpointing:
            self._resume(fingerprint)
        started = time.perf_counter() - self._seconds
        max_steps = self.schedule.max_steps
        progress = self.context.progress if self._ranks.first else SILENT
        with progress.task("train", total=max_steps) as bar:
            bar.advance(self.step)
            while self.step < max_steps and self._best.misses < self.schedule.patience:
                loss = self._train_step()
                self.step += 1
                bar.advance()
                last = self.step == max_steps
                if self._device.type == "cpu" or self.step % CHECK_EVERY == 0 or last:
                    self._check_loss(float(loss))  # waits for the device
                if self.step % self.schedule.eval_every == 0 or last:
                    self._check_weights()
                    self._seconds = time.perf_counter() - started
                    self._validate(float(loss))
                    if checkpointing:
                        self._save(fingerprint)
                    bar.note(self._note(float(loss)))
                    if self.context.on_validation is not None and self._ranks.first:
                        self.context.on_validation(self._history)
        for name, value in self._best_values.items():
            self._weights[name].assign(value)
        best = self._best.measured
        steps = self.step if best is None else self._best.step
        return self.task.result(Outcome(steps, self._seconds, self._history, best))

    # ------------------------------------------------------------------------------------------------ a step

    def _train_step(self) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.task.loss(self.step)
        loss.backward()  # type: ignore[no-untyped-call]
        loss = loss.detach()
        self._ranks.all_reduce(loss, *(weight.grad for weight in self._replicated if weight.grad is not None))
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.step)
        self.optimizer.step()
        return loss

    def _validate(self, loss: float) -> None:
        entry: dict[str, Any] = {"step": self.step, "loss": round(loss, 6), "seconds": round(self._seconds, 3)}
        measured = self.task.validate()
        if measured is not None:
            entry |= {name: round(value, 6) for name, value in measured.values.items()}
            entry |= measured.choices
            if self._best.measured is None or measured.score > self._best.measured.score:
                self._best = _Best(self.step, 0, measured)
                self._best_values = {name: weight.value.detach().clone() for name, weight in self._weights.items()}
            else:
                self._best.misses += 1
        self._history.append(entry)
        if self.context.log is not None and self._ranks.first:
            write_text(self.context.log, "".join(json.dumps(line) + "\n" for line in self._history))

    def _note(self, loss: float) -> str:
        best = self._best.measured
        if best is None:
            return f"loss {loss:.4f}"
        now = self._history[-1][best.metric]
        return f"loss {loss:.4f}, {best.metric.upper()} {now:.4f} (best {best.score:.4f})"

    # ------------------------------------------------------------------------------------------------ divergence

    def _check_loss(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(self._diverged(f"the loss is {loss}"))

    def _check_weights(self) -> None:
        bad = torch.stack([~torch.isfinite(weight.value.detach()).all() for weight in self._weights.values()])
        counts = bad.to(self.context.dtype)
        self._ranks.all_reduce(counts)
        for name, count in zip(self._weights, counts.tolist(), strict=True):
            if count:
                raise TrainingError(self._diverged(f"{name} holds values that are not finite"))

    def _diverged(self, reason: str) -> str:
        lower = f"lower training.learning_rate (now {self.schedule.learning_rate:g})"
        advice = " or ".join([lower, *self.task.advice()])
        kept = ""
        if self.context.checkpoints is not None and (self.context.checkpoints / CHECKPOINT).exists():
            kept = f"; the last good checkpoint is {self.context.checkpoints / CHECKPOINT}"
        return f"training diverged at step {self.step}: {reason}; {advice}{kept}"

    # ------------------------------------------------------------------------------------------------ checkpoints

    def _fingerprint(self) -> str:
        """Digest of all that decides the training, 64 hexadecimal digits; empty where no checkpoint is written."""
        if self.context.checkpoints is None:
            return ""
        parts = [STATE_VERSION, self.task.fingerprint(), asdict(self.schedule), self.context.seed]
        return hashlib.sha256(json.dumps([*parts, self.context.precision], sort_keys=True).encode()).hexdigest()

    def _save(self, fingerprint: str) -> None:
        tensors: dict[str, Tensor | None] = {}
        for name, weight in self._weights.items():
            tensors[f"parameter.{name}"] = weight.gather(weight.value, self._ranks)
            if name in self._best_values:
                tensors[f"best.{name}"] = weight.gather(self._best_values[name], self._ranks)
            for moment, value in self.optimizer.state[weight.value].items():
                split = weight.split and value.dim() > 0
                tensors[f"adam.{moment}.{name}"] = self._ranks.gather(value, split=split)
        if self._ranks.first and self.context.checkpoints is not None:
            state = {
                "step": self.step,
                "seconds": self._seconds,
                "best": self._best.to_json(),
                "history": self._history,
            }
            whole = {name: value for name, value in tensors.items() if value is not None}
            Checkpoint(whole, state).save(self.context.checkpoints, fingerprint)

    def _resume(self, fingerprint: str) -> None:
        """Continue from a checkpoint of this very training; one of another training, or a damaged one, is overwritten.

        The first rank reads it and sends each rank its columns, whatever number of ranks wrote it.
        """
        checkpoint = None
        if self._ranks.first and self.context.checkpoints is not None:
            checkpoint = Checkpoint.load(self.context.checkpoints, fingerprint)
        state = self._ranks.broadcast(None if checkpoint is None else checkpoint.state)
        if state is None:
            return

        def stored(name: str) -> Tensor | None:
            return None if checkpoint is None else checkpoint.tensors[name]

        count = torch.zeros((), dtype=torch.float32)
        for name, weight in self._weights.items():
            weight.assign(weight.scatter(stored(f"parameter.{name}"), self._ranks))
            if state["best"]["step"]:
                self._best_values[name] = weight.scatter(stored(f"best.{name}"), self._ranks)
            moments = self.optimizer.state[weight.value]
            taken = self._ranks.scatter(stored(f"adam.step.{name}"), count, split=False)
            moments["step"] = taken.to(self._device)
            for moment in ("exp_avg", "exp_avg_sq"):
                moments[moment] = weight.scatter(stored(f"adam.{moment}.{name}"), self._ranks)
        self.step, self._seconds, self._history = state["step"], state["seconds"], list(state["history"])
        self._best = _Best.from_json(state["best"])
