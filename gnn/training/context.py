"""Where a training runs, and who follows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from gnn.distributed import ALONE, Ranks
from kg.progress import SILENT, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """Where to train and what to report; only the seed and the precision change what is learned.

    Attributes:
        device: "auto", "cpu", "cuda" or "cuda:N".
        seed: of the start, the batches, the negatives and the masks.
        precision: of all parameters and products.
        progress: shown while training.
        checkpoints: folder of the checkpoint that an interrupted training resumes from; None: no checkpoints.
        log: JSON lines, one a validation; None: no log.
        on_validation: called with the log's entries so far after each validation, those of before a resume included; an
            exception of it ends the training.
        ranks: the processes that train together (gnn.distributed.process_group): the first calls `fit`, the others
            `gnn.workers.run_worker`.
    """

    device: str = "auto"
    seed: int = 0
    precision: Literal["float32", "float64"] = "float32"
    progress: Progress = SILENT
    checkpoints: Path | None = None
    log: Path | None = None
    on_validation: Callable[[Sequence[Mapping[str, Any]]], None] | None = None
    ranks: Ranks = ALONE

    @property
    def torch_device(self) -> torch.device:
        """The device of this rank.

        Raises:
            ConfigError: it is unknown or not there, or there are fewer GPUs than ranks on this machine.
        """
        return self.ranks.device(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch names it."""
        return {"float32": torch.float32, "float64": torch.float64}[self.precision]
