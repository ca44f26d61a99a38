"""A trained sequence model: what serving needs, and what a later training can start from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open

from gnn.sequence.backbone import Backbone
from gnn.sequence.encoding import encode
from gnn.sequence.histories import Histories
from gnn.sequence.models import backbone_of, config_type
from gnn.sequence.settings import SequenceConfig
from gnn.sequence.warm_start import SequenceWeights
from gnn.tensor_file import write_tensors
from kg import KnowledgeGraph, RaggedArray
from kg.errors import ArtifactError, ConfigError

FILE = "parameters.safetensors"
FORMAT = 1
_BACKBONE = "backbone."
_VECTORS, _DESCRIBED, _TOUCHED, _NODES = "vectors", "described", "touched", "nodes"  # beside the weights

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class SequenceModel:
    """Vectors of items, and the states that follow histories.

    The score of an item after a history is the inner product of the history's state and the item's vector.

    Attributes:
        config: hyper-parameters of the model.
        facts: of the training, plain data: model, steps, seed, seconds, validation, history.
        vectors: of the items, float32 (items, dim).
        described: items that have a vector, bool (items,).
        weights: what was trained.
    """

    config: SequenceConfig
    facts: Mapping[str, Any]
    vectors: FloatArray
    described: npt.NDArray[np.bool_]
    weights: SequenceWeights

    def __post_init__(self) -> None:
        object.__setattr__(self, "_backbone", self._made())

    def _made(self) -> Backbone:
        backbone = backbone_of(self.config)(self.config)
        named = {name: value for name, value in self.weights.tensors.items() if name.startswith(_BACKBONE)}
        backbone.load_state_dict({name.removeprefix(_BACKBONE): torch.tensor(value) for name, value in named.items()})
        return backbone.eval()

    def encode(self, histories: RaggedArray) -> FloatArray:
        """The states that follow histories; nothing is trained.

        Args:
            histories: positions of items, oldest first, (n,) lists; times, where they have some. Items without a
                vector are passed over.

        Returns:
            float32 (n, dim); zero where nothing is left.
        """
        backbone: Backbone = self._backbone  # type: ignore[attr-defined]
        states = encode(backbone, torch.from_numpy(self.vectors), self.readable(histories), self.config.max_length)
        result: FloatArray = states.numpy()
        return result

    def readable(self, histories: RaggedArray) -> Histories:
        """Histories without the items that have no vector."""
        return Histories.of(histories).select(self.described[histories.values])

    def save(self, folder: Path) -> None:
        """Write `parameters.safetensors` into a folder; ids are in the graph that it was trained on, not in it."""
        tensors = {
            **self.weights.tensors,
            _VECTORS: self.vectors,
            _DESCRIBED: self.described,
            _TOUCHED: self.weights.touched,
            _NODES: self.weights.nodes,
        }
        model = backbone_of(self.config).name
        header = {
            "format": FORMAT,
            "model": model,
            "config": self.config.model_dump(mode="json", include=set(config_type(model).model_fields)),
            "facts": dict(self.facts),
            "nodes": {name: vocabulary.fingerprint for name, vocabulary in self.weights.vocabularies.items()},
        }
        write_tensors(folder / FILE, tensors, {"header": json.dumps(header)})

    @classmethod
    def load(cls, folder: Path, graph: KnowledgeGraph) -> SequenceModel:
        """Read what `save` wrote; executes no code.

        Args:
            folder: of the model.
            graph: what it was trained on, or another one with the same nodes.

        Raises:
            ArtifactError: the file is missing, damaged, of another format, or of other nodes.
        """
        path = folder / FILE
        try:
            with safe_open(path, framework="numpy") as stored:
                header = json.loads(stored.metadata()["header"])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no iterator)
            if header["format"] != FORMAT:
                raise ValueError(f"it is of format {header['format']}, not {FORMAT}")
            vectors, described, touched, nodes = (
                tensors.pop(name) for name in (_VECTORS, _DESCRIBED, _TOUCHED, _NODES)
            )
            config = config_type(header["model"])(**header["config"])
            fingerprints: dict[str, str] = header["nodes"]
        except ConfigError as error:
            raise ArtifactError(f"{path} holds hyper-parameters that are not allowed: {error}") from error
        except Exception as error:  # safetensors raises its own untyped errors
            raise ArtifactError(f"{path} cannot be read: {error}") from error
        vocabularies = {name: graph.vocabulary(name) for name in graph.nodes}
        now = {name: vocabulary.fingerprint for name, vocabulary in vocabularies.items()}
        if now != fingerprints or list(now) != list(fingerprints):
            raise ArtifactError(f"{path} was trained on other nodes than the graph beside it has")
        weights = SequenceWeights(tensors=tensors, touched=touched, nodes=nodes, vocabularies=vocabularies)
        try:
            return cls(config=config, facts=header["facts"], vectors=vectors, described=described, weights=weights)
        except RuntimeError as error:  # a tensor is missing or has another shape
            raise ArtifactError(f"{path} does not hold the weights of its model: {error}") from error
