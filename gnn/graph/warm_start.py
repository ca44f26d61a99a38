"""The weights that a training leaves, and the start of a later one from them.

Nodes are matched by their external id, never by position. A free embedding that is not trained yet (of a new user or
item, or of an item that nobody had touched) starts at the prediction of a ridge regression over the trained ones, from
what a node receives from its neighbours. A random start would take as many steps to undo as a full training, and a zero
start leaves vectors that are far too short.
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

from gnn.tensor_file import write_tensors
from kg import KnowledgeGraph, RelationKey
from kg.arrays import IntArray
from kg.errors import ArtifactError
from kg.topology.adjacency import Numbering
from kg.vocabulary import Vocabulary

FILE = "parameters.safetensors"
FREE = "layer0.free"  # a row a node
RELATIONS = "relation_logits"  # a number a relation
TRAINED = "trained"
RIDGE = 0.01  # of the mean of the diagonal

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The trained parameters of an encoder and its loss.

    Attributes:
        tensors: float32, by the name that they have in training; `FREE` has a row a node, by global node number.
        trained: whether the node had a free embedding in the training, bool (nodes,).
        nodes: node type -> its ids, in the order of the global numbering.
        relations: in the order of `RELATIONS`.
    """

    tensors: Mapping[str, FloatArray]
    trained: npt.NDArray[np.bool_]
    nodes: Mapping[str, Vocabulary]
    relations: tuple[RelationKey, ...]

    @property
    def fingerprint(self) -> str:
        """Digest of all of it, 64 hexadecimal digits."""
        digest = hashlib.sha256(self._facts().encode())
        for name in sorted(self.tensors):
            digest.update(name.encode() + np.ascontiguousarray(self.tensors[name]).tobytes())
        digest.update(self.trained.tobytes())
        return digest.hexdigest()

    def learned(self, graph: KnowledgeGraph) -> npt.NDArray[np.bool_]:
        """Nodes of another graph whose free embedding is trained, bool (nodes,)."""
        before = self._matched(graph)
        result: npt.NDArray[np.bool_] = (before >= 0) & self.trained[before]
        return result

    def starts(self, graph: KnowledgeGraph, relations: tuple[RelationKey, ...]) -> dict[str, FloatArray]:
        """The values that a training on another graph starts with, all columns.

        Args:
            graph: to train on.
            relations: to propagate along; their weights are only taken over where the relations are the same.

        Returns:
            Name -> values; for `FREE` a row for each node of `graph`, zeros where it was not trained.
        """
        result = {name: value for name, value in self.tensors.items() if name not in (FREE, RELATIONS)}
        if RELATIONS in self.tensors and relations == self.relations:
            result[RELATIONS] = self.tensors[RELATIONS]
        if FREE in self.tensors:
            before = self._matched(graph)
            learned = self.learned(graph)
            result[FREE] = np.where(learned[:, None], self.tensors[FREE][before], np.float32(0))
        return result

    def _matched(self, graph: KnowledgeGraph) -> IntArray:
        """The number that each node of another graph has here, -1 for none, (nodes,)."""
        old, new = _numbering(self.nodes), Numbering.of(graph)
        before = np.full(len(new), -1, dtype=np.int64)
        for name in new.names:
            if name in self.nodes:
                place = self.nodes[name].index(graph.vocabulary(name).ids, missing="negative")
                before[new.span(name)] = np.where(place >= 0, place + old.span(name).start, -1)
        return before

    def save(self, folder: Path) -> None:
        """Write `parameters.safetensors` into a folder; ids are in the graph that it was trained on, not in it."""
        tensors = {**self.tensors, TRAINED: self.trained}
        write_tensors(folder / FILE, tensors, {"facts": self._facts()})

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
                trained = tensors.pop(TRAINED)
                relations = tuple(RelationKey(*key) for key in facts["relations"])
                ids: dict[str, str] = facts["nodes"]
        except Exception as error:  # safetensors raises its own untyped errors
            raise ArtifactError(f"{path} cannot be read: {error}") from error
        nodes = {name: graph.vocabulary(name) for name in graph.nodes}
        if {name: vocabulary.fingerprint for name, vocabulary in nodes.items()} != ids or list(ids) != list(nodes):
            raise ArtifactError(f"{path} was trained on other nodes than the graph beside it has")
        return cls(tensors=tensors, trained=trained, nodes=nodes, relations=relations)

    def _facts(self) -> str:
        nodes = {name: vocabulary.fingerprint for name, vocabulary in self.nodes.items()}
        return json.dumps({"relations": [list(key) for key in self.relations], "nodes": nodes})


def predict_free(
    received: FloatArray, free: FloatArray, *, trained: npt.NDArray[np.bool_], new: npt.NDArray[np.bool_]
) -> FloatArray:
    """Free embeddings of new nodes, by a ridge regression over the trained nodes of their type.

    Args:
        received: the sum that each node receives from its neighbours, float32 (n, dim).
        free: free embeddings, float32 (n, dim).
        trained: nodes to learn from, bool (n,).
        new: nodes to predict, bool (n,).

    Returns:
        float32 (new, dim); zeros where there is nothing to learn from.
    """
    inputs, targets = received[trained].astype(np.float64), free[trained].astype(np.float64)
    squares = inputs.T @ inputs
    penalty = RIDGE * np.trace(squares) / max(len(squares), 1)
    if penalty == 0:
        return np.zeros((int(new.sum()), free.shape[1]), dtype=np.float32)
    weights = np.linalg.solve(squares + penalty * np.eye(len(squares)), inputs.T @ targets)
    result: FloatArray = (received[new].astype(np.float64) @ weights).astype(np.float32)
    return result


def _numbering(nodes: Mapping[str, Vocabulary]) -> Numbering:
    counts = [len(vocabulary) for vocabulary in nodes.values()]
    return Numbering(tuple(nodes), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
