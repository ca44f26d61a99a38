"""A training on disk: what a killed one goes on from.

One safetensors file holds the tensors, the state and a sha256 of the whole file, written with zeros in its own place.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from gnn.evaluation.validation import Validation
from gnn.graph.layer0 import TextVectors
from gnn.graph.propagation import Propagation
from gnn.settings import ModelConfig, TrainingConfig
from kg import KnowledgeGraph
from kg.io.files import atomic_path

_log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.safetensors"
_NO_DIGEST = "0" * 64
_PIECE = 1 << 20  # bytes read at a time


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
        state = json.dumps({"fingerprint": fingerprint, **self.state})
        with atomic_path(folder / CHECKPOINT) as temporary:
            save_file(
                {name: value.contiguous().cpu() for name, value in self.tensors.items()},
                temporary,
                metadata={"state": state, "digest": _NO_DIGEST},
            )
            place, digest = _digest(temporary, _NO_DIGEST)
            with temporary.open("r+b") as stream:
                stream.seek(place)
                stream.write(digest.encode())

    @classmethod
    def load(cls, folder: Path, fingerprint: str) -> Checkpoint | None:
        """Read the checkpoint of this very training; None for one of another training, a damaged one, or none.

        A damaged one is a warning in the log.
        """
        file = folder / CHECKPOINT
        if not file.exists():
            return None
        try:
            with safe_open(file, framework="pt") as stored:
                told = stored.metadata()
                if _digest(file, told["digest"])[1] != told["digest"]:
                    raise ValueError("its checksum is another one")
                state = json.loads(told["state"])
                if state.pop("fingerprint") != fingerprint:
                    return None
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no iterator)
        except Exception as error:  # safetensors raises its own untyped errors; starting afresh is always right
            _log.warning("%s is damaged, so that the training begins anew: %r", file, error)
            return None
        return cls(tensors, state)


def _digest(file: Path, there: str) -> tuple[int, str]:
    """Where a checkpoint's digest stands, and what it should be.

    Args:
        file: safetensors: 8 bytes with the length of the header, the header, the tensors.
        there: what stands in its place now.
    """
    with file.open("rb") as stream:
        length = stream.read(8)
        header = stream.read(int.from_bytes(length, "little"))
        before, _, after = header.partition(there.encode())
        found = hashlib.sha256(length + before + _NO_DIGEST.encode() + after)
        while piece := stream.read(_PIECE):
            found.update(piece)
    return len(length) + len(before), found.hexdigest()


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
            digest.update(lists.offsets.tobytes() + lists.values.tobytes())
    return digest.hexdigest()
