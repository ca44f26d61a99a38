"""What a training leaves for the next one, and how that one begins where it ended.

Nodes are matched by their external id, never by position. A free embedding that no training has taught yet, that of a
new node or of an item that nobody had touched, begins at nothing: there the node stands where its neighbours and its
text put it, which simulated cold start has taught, and a few steps could not undo a start by chance.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save_file

from kg import KnowledgeGraph, RelationKey
from kg.adjacency import Numbering
from kg.errors import ArtifactError
from kg.files import atomic_path
from kg.ids import Vocabulary

FILE = "parameters.safetensors"
FREE = "layer0.free"  # a row a node
RELATIONS = "relation_logits"  # a number a relation
TAUGHT = "taught"

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The trained parameters of an encoder and its loss.

    Attributes:
        tensors: float32, by the name that they have in training; `FREE` has a row a node, by global node number.
        taught: whether training had a free embedding for the node, bool (nodes,).
        nodes: node type -> its ids, in the order of the global numbering.
        relations: in the order of `RELATIONS`.
    """

    tensors: Mapping[str, FloatArray]
    taught: npt.NDArray[np.bool_]
    nodes: Mapping[str, Vocabulary]
    relations: tuple[RelationKey, ...]

    @property
    def fingerprint(self) -> str:
        """Digest of all of it, 64 hexadecimal digits."""
        digest = hashlib.sha256(self._facts().encode())
        for name in sorted(self.tensors):
            digest.update(name.encode() + np.ascontiguousarray(self.tensors[name]).tobytes())
        digest.update(self.taught.tobytes())
        return digest.hexdigest()

    def starts(self, graph: KnowledgeGraph, relations: tuple[RelationKey, ...]) -> dict[str, FloatArray]:
        """The values that a training on another graph begins with, all columns.

        Args:
            graph: what is to be trained on.
            relations: what it is to be propagated along; one that is new gets no value here.

        Returns:
            By name; a row a node of `graph` for `FREE`.
        """
        result = {name: value for name, value in self.tensors.items() if name not in (FREE, RELATIONS)}
        if RELATIONS in self.tensors and relations == self.relations:
            result[RELATIONS] = self.tensors[RELATIONS]
        if FREE in self.tensors:
            old, new = _numbering(self.nodes), Numbering.of(graph)
            free = np.zeros((len(new), self.tensors[FREE].shape[1]), dtype=np.float32)
            for name in new.names:
                if name not in self.nodes:
                    continue
                place = self.nodes[name].index(graph.vocabulary(name).ids, missing="negative")
                there = np.flatnonzero(place >= 0)
                before = place[there] + old.span(name).start
                free[new.span(name).start + there] = self.tensors[FREE][before] * self.taught[before, None]
            result[FREE] = free
        return result

    def save(self, folder: Path) -> None:
        """Write `parameters.safetensors` into a folder; it holds no id, the graph it was trained on does."""
        tensors = {**self.tensors, TAUGHT: self.taught}
        with atomic_path(folder / FILE) as temporary:
            save_file(
                {name: np.asarray(value, order="C") for name, value in tensors.items()},
                temporary,
                metadata={"facts": self._facts()},
            )

    @classmethod
    def load(cls, folder: Path, graph: KnowledgeGraph) -> Parameters:
        """Read what `save` wrote; executes no code.

        Args:
            folder: of the model.
            graph: what it was trained on, or another one with the same nodes.

        Raises:
            ArtifactError: the file is missing, damaged, or of other nodes.
        """
        path = folder / FILE
        try:
            with safe_open(path, framework="numpy") as stored:
                facts = json.loads(stored.metadata()["facts"])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no iterator)
                taught = tensors.pop(TAUGHT)
                relations = tuple(RelationKey(*key) for key in facts["relations"])
                ids: dict[str, str] = facts["nodes"]
        except Exception as error:  # safetensors raises its own untyped errors
            raise ArtifactError(f"{path} cannot be read: {error}") from error
        nodes = {name: graph.vocabulary(name) for name in graph.nodes}
        if {name: vocabulary.fingerprint for name, vocabulary in nodes.items()} != ids or list(ids) != list(nodes):
            raise ArtifactError(f"{path} was trained on other nodes than the graph beside it has")
        return cls(tensors=tensors, taught=taught, nodes=nodes, relations=relations)

    def _facts(self) -> str:
        nodes = {name: vocabulary.fingerprint for name, vocabulary in self.nodes.items()}
        return json.dumps({"relations": [list(key) for key in self.relations], "nodes": nodes})


def _numbering(nodes: Mapping[str, Vocabulary]) -> Numbering:
    counts = [len(vocabulary) for vocabulary in nodes.values()]
    return Numbering(tuple(nodes), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
