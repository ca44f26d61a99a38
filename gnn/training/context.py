"""What is told to the trainer: how to train, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gnn.distributed import ALONE, Ranks
from gnn.settings import ModelConfig, TrainingConfig
from kg.progress import SILENT, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """Where and how loudly to train; nothing in here changes what is learned but the seed and the precision.

    Attributes:
        device: "auto", "cpu", "cuda" or "cuda:N".
        seed: of the start, the batches, the negatives and the masks.
        precision: of all parameters and products.
        progress: who listens.
        checkpoints: folder of the checkpoint that a killed training goes on from; None: no checkpoints.
        log: JSON lines, one a validation; None: no log.
        on_validation: hears the log's lines so far after each validation, also those of before a kill; what it raises
            ends the training.
        ranks: the processes that train together (gnn.distributed.joined): the first calls `gnn.training.trainer.fit`,
            the others `gnn.training.trainer.assist`.
    """

    device: str = "auto"
    seed: int = 0
    precision: Literal["float32", "float64"] = "float32"
    progress: Progress = SILENT
    checkpoints: Path | None = None
    log: Path | None = None
    on_validation: Callable[[Sequence[Mapping[str, Any]]], None] | None = None
    ranks: Ranks = ALONE


__all__ = ["ModelConfig", "RunContext", "TrainingConfig"]
