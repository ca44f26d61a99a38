"""A training on disk: what an interrupted one resumes from.

One safetensors file holds the tensors, the state, and a sha256 of both: in two files they could be of different steps.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from gnn.tensor_file import write_tensors

_log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of one.

    Attributes:
        tensors: weights, the best ones so far and the optimiser's moments, by name, on the CPU.
        state: step, seconds, the best validation and the history, plain data.
    """

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]

    def save(self, folder: Path, fingerprint: str) -> None:
        """Write it in place of the one before.

        Args:
            folder: where to.
            fingerprint: of the training.
        """
        state = json.dumps({"fingerprint": fingerprint, **self.state})
        tensors = {name: value.contiguous().cpu() for name, value in self.tensors.items()}
        arrays = {name: value.numpy() for name, value in tensors.items()}
        write_tensors(folder / CHECKPOINT, arrays, {"state": state, "digest": _digest(state, tensors)})

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
                metadata = stored.metadata()
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no iterator)
            if metadata.keys() != {"state", "digest"} or _digest(metadata["state"], tensors) != metadata["digest"]:
                raise ValueError("its checksum does not match its content")
            state = json.loads(metadata["state"])
        except Exception as error:  # safetensors raises its own untyped errors; starting afresh is always right
            _log.warning("%s is damaged, so that the training begins anew: %r", file, error)
            return None
        return cls(tensors, state) if state.pop("fingerprint") == fingerprint else None


def _digest(state: str, tensors: Mapping[str, Tensor]) -> str:
    """sha256 of the state and of each tensor's name, type, shape and bytes, 64 hexadecimal digits."""
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
