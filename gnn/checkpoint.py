"""A training on disk: what a killed one goes on from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from gnn.layer0 import TextVectors
from gnn.propagation import Propagation
from gnn.training import ModelConfig, TrainingConfig
from gnn.validation import Validation
from kg import KnowledgeGraph
from kg.files import atomic_path

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What one holds.

    Attributes:
        tensors: parameters, the best ones so far and the optimiser's moments, by name, on the CPU.
        state: step, seconds, the best validation and the history, plain data.
    """

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]

    def save(self, folder: Path, fingerprint: str) -> None:
        """Write it in place of the one before; state and tensors in one file: two could be of different steps."""
        with atomic_path(folder / CHECKPOINT) as temporary:
            save_file(
                {name: value.contiguous().cpu() for name, value in self.tensors.items()},
                temporary,
                metadata={"state": json.dumps({"fingerprint": fingerprint, **self.state})},
            )

    @classmethod
    def load(cls, folder: Path, fingerprint: str) -> Checkpoint | None:
        """Read the checkpoint of this very training; None for one of another training, a damaged one, or none."""
        if not (folder / CHECKPOINT).exists():
            return None
        try:
            with safe_open(folder / CHECKPOINT, framework="pt") as stored:
                state = json.loads(stored.metadata()["state"])
                if state.pop("fingerprint") != fingerprint:
                    return None
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no iterator)
        except Exception:  # safetensors raises its own untyped errors; starting afresh is always right
            return None
        return cls(tensors, state)


def fingerprint(
    graph: KnowledgeGraph,
    propagation: Propagation,
    features: TextVectors | None,
    validation: Validation | None,
    model: ModelConfig,
    training: TrainingConfig,
    *settings: Any,
) -> str:
    """What a checkpoint must have been trained on and with to be gone on from, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    digest.update(json.dumps([asdict(model), asdict(training), settings], sort_keys=True).encode())
    for name in graph.nodes:
        digest.update(graph.vocabulary(name).fingerprint.encode())
    for key, ends in zip(propagation.relations, propagation.ends(), strict=True):
        digest.update(str(key).encode())
        for end in ends:
            digest.update(end.cpu().numpy().data)
    if features is not None:
        digest.update(np.ascontiguousarray(features.nodes).tobytes())
        digest.update(np.ascontiguousarray(features.vectors).tobytes())
    if validation is not None:
        for lists in (validation.truth, validation.seen):
            digest.update(lists.offsets.tobytes() + lists.items.tobytes())
    return digest.hexdigest()
