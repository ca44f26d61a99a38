"""The vectors of a trained model: what serving, explaining and exporting need, without the code that trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from gnn.graph.warm_start import Parameters
from gnn.tensor_file import write_tensors
from kg import KnowledgeGraph, RelationKey
from kg.errors import ArtifactError
from kg.io.files import read_json, write_json
from kg.topology.adjacency import Numbering

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LinearParts:
    """The parts of a linear propagation, Z = sum_l alpha_l A^l E with A = sum_r w_r D_r^-1/2 B_r D_r^-1/2.

    By Horner's rule: tail_1 = alpha_1 E + A tail_2 and Z = alpha_0 E + A tail_1. So each first hop of a node has an
    exact part of its vector (z_u = alpha_0 e_u + sum_j A_uj tail_1_j), and a node that training did not have can be
    placed.

    Attributes:
        base: E, the layer-0 embedding: free embedding plus projected text, float32 (nodes, dim).
        tail: h = sum over l >= 1 of alpha_l A^(l-1) E, float32 (nodes, dim).
        tail2: g = sum over l >= 2 of alpha_l A^(l-2) E, float32 (nodes, dim); zero with fewer than two layers.
        alphas: layer weights, float32 (layers + 1,).
        relations: the relations propagated along.
        weights: w_r, on the simplex, float32 (relations,).
        text_projection: from a text vector to E, float32 (text dim, dim), or None.
        placing: relations among these that lead into `placed` nodes alone, with weights outside the simplex; nodes
            that are not placed receive along the others only (gnn.graph.cold_start).
        placed: bool (nodes,), or None where no relation places nodes.
    """

    base: FloatArray
    tail: FloatArray
    tail2: FloatArray
    alphas: FloatArray
    relations: tuple[RelationKey, ...]
    weights: FloatArray
    text_projection: FloatArray | None = None
    placing: tuple[RelationKey, ...] = ()
    placed: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Vectors by global node number (kg.topology.adjacency.Numbering), and the scale of the items.

    The score of a pair is `final[user] @ final[item] * item_scale[item] + |final[user]| * item_prior[item]`: the inner
    product of a row of `query_vectors` and one of `index_vectors`.

    Attributes:
        numbering: which row is which node.
        fingerprints: node type -> fingerprint of its ids, to notice vectors of another graph.
        user_type, item_type: names of the two node types.
        final: Z, float32 (nodes, dim).
        item_scale: s_i, float32 (items,); see the function `item_scale`.
        item_prior: what an item's popularity adds, float32 (items,); see the function `item_prior`.
        beta: 0 ranks by cosine, 1 by dot product.
        prior: weight of the popularity; 0 leaves it out.
        cold: items that nobody liked in training, or those that were placed (gnn.graph.cold_start), bool (items,);
            None: none has a scale of its own.
        cold_scale: their factor.
        linear: the parts of the propagation when the model is linear, else None.
        facts: how it was trained: configuration, steps, seed, validation metrics; plain data.
        parameters: the weights that a later training can start from (gnn.graph.warm_start), right after a training;
            serving needs none, so that `save` and `load` leave them out.
    """

    numbering: Numbering
    fingerprints: Mapping[str, str]
    user_type: str
    item_type: str
    final: FloatArray
    item_scale: FloatArray
    item_prior: FloatArray
    beta: float
    prior: float = 0.0
    cold: npt.NDArray[np.bool_] | None = None
    cold_scale: float = 1.0
    linear: LinearParts | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    parameters: Parameters | None = field(default=None, repr=False, compare=False)

    @property
    def dim(self) -> int:
        """Columns of every vector."""
        return int(self.final.shape[1])

    @property
    def index_dim(self) -> int:
        """Columns of `index_vectors`."""
        return self.dim + bool(self.prior)

    @property
    def users(self) -> FloatArray:
        """User vectors, (users, dim)."""
        return self.final[self.numbering.span(self.user_type)]

    @property
    def items(self) -> FloatArray:
        """Item vectors without their scale, (items, dim)."""
        return self.final[self.numbering.span(self.item_type)]

    @property
    def scaled_items(self) -> FloatArray:
        """Item vectors with their scale: the inner product with a user vector is the score but for the prior."""
        return self.items * self.item_scale[:, None]

    @property
    def index_vectors(self) -> FloatArray:
        """Item vectors as they are indexed, (items, dim), with a column more where there is a prior."""
        scaled = self.scaled_items
        return np.hstack([scaled, self.item_prior[:, None]]) if self.prior else scaled

    def query_vectors(self, users: FloatArray) -> FloatArray:
        """The queries to the index for user vectors (n, dim): as wide as `index_vectors`."""
        return np.hstack([users, np.linalg.norm(users, axis=1, keepdims=True)]) if self.prior else users

    def with_beta(self, beta: float) -> Embeddings:
        """The same vectors under another popularity exponent; the scale of placed items stays."""
        return replace(self, beta=beta, item_scale=self._scale(beta, self.cold_scale))

    def with_cold_scale(self, scale: float) -> Embeddings:
        """The same vectors with another factor of the cold items."""
        return replace(self, cold_scale=scale, item_scale=self._scale(self.beta, scale))

    def _scale(self, beta: float, cold_scale: float) -> FloatArray:
        if self.linear is None or self.linear.placed is None or self.cold is None:
            return item_scale(self.items, beta, cold=self.cold, cold_scale=cold_scale)
        scale = item_scale(self.items, beta)
        # A placed vector is a prediction of a served one, length included.
        scale[self.cold] = cold_scale
        return scale

    def check_graph(self, graph: KnowledgeGraph) -> None:
        """Make sure that these vectors belong to a graph's nodes.

        Raises:
            ArtifactError: node types or ids differ.
        """
        for name in graph.nodes:
            if self.fingerprints.get(name) != graph.vocabulary(name).fingerprint:
                raise ArtifactError(
                    f"these embeddings were trained on other {name!r} nodes than the graph has: train again"
                )

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `model.json` into a folder."""
        tensors: dict[str, Any] = {"final": self.final, "item_scale": self.item_scale, "item_prior": self.item_prior}
        if self.cold is not None:
            tensors["cold"] = self.cold
        data: dict[str, Any] = {
            "node_types": list(self.numbering.names),
            "starts": self.numbering.starts.tolist(),
            "fingerprints": dict(self.fingerprints),
            "user_type": self.user_type,
            "item_type": self.item_type,
            "beta": self.beta,
            "prior": self.prior,
            "cold_scale": self.cold_scale,
            "facts": dict(self.facts),
            "relations": None,
        }
        if self.linear is not None:
            data["relations"] = [list(key) for key in self.linear.relations]
            data["placing"] = [list(key) for key in self.linear.placing]
            for name in ("base", "tail", "tail2", "alphas", "weights", "text_projection", "placed"):
                if getattr(self.linear, name) is not None:
                    tensors[name] = getattr(self.linear, name)
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / "model.safetensors", tensors)
        write_json(folder / "model.json", data)

    @classmethod
    def load(cls, folder: Path) -> Embeddings:
        """Read what `save` wrote; executes no code.

        Raises:
            ArtifactError: a file is missing or damaged, or another version wrote it.
        """
        data = read_json(folder / "model.json")
        try:
            tensors = load_file(folder / "model.safetensors")
        except Exception as error:  # safetensors raises its own untyped errors
            raise ArtifactError(f"{folder / 'model.safetensors'} cannot be read: {error}") from error
        try:
            return cls._of(data, tensors)
        except KeyError as error:
            raise ArtifactError(
                f"{folder} lacks {error}: another version of graphrecall wrote it; run the refresh again"
            ) from error

    @classmethod
    def _of(cls, data: Mapping[str, Any], tensors: Mapping[str, Any]) -> Embeddings:
        linear = None
        if data["relations"] is not None:
            linear = LinearParts(
                base=tensors["base"],
                tail=tensors["tail"],
                tail2=tensors["tail2"],
                alphas=tensors["alphas"],
                relations=tuple(RelationKey(*key) for key in data["relations"]),
                weights=tensors["weights"],
                text_projection=tensors.get("text_projection"),
                placing=tuple(RelationKey(*key) for key in data.get("placing", [])),
                placed=tensors.get("placed"),
            )
        return cls(
            numbering=Numbering(tuple(data["node_types"]), np.array(data["starts"], dtype=np.int64)),
            fingerprints=data["fingerprints"],
            user_type=data["user_type"],
            item_type=data["item_type"],
            final=tensors["final"],
            item_scale=tensors["item_scale"],
            item_prior=tensors["item_prior"],
            beta=data["beta"],
            prior=data["prior"],
            cold=tensors.get("cold"),
            cold_scale=data["cold_scale"],
            linear=linear,
            facts=data["facts"],
        )


def item_scale(
    items: FloatArray, beta: float, *, cold: npt.NDArray[np.bool_] | None = None, cold_scale: float = 1.0
) -> FloatArray:
    """`|z_i|^(beta - 1)`, and 0 for zero vectors.

    Items that nobody liked in training have short vectors because they lack interactions, not because they are
    disliked: in place of their own `|z_i|^beta` they get the median of the others', times `cold_scale`.

    Args:
        items: z, (items, dim).
        beta: 0 ranks by cosine, 1 by dot product.
        cold: bool (items,), or None.
        cold_scale: a factor.

    Returns:
        float32 (items,).
    """
    norms = np.linalg.norm(items, axis=1).astype(np.float64)
    scale = np.zeros_like(norms)
    np.power(norms, beta - 1, out=scale, where=norms > 0)
    if cold is not None and cold.any():
        warm = norms[~cold & (norms > 0)]
        usual = float(np.median(warm**beta)) if len(warm) else 1.0
        np.divide(cold_scale * usual, norms, out=scale, where=cold & (norms > 0))
    result: FloatArray = scale.astype(np.float32)
    return result


def item_prior(likes: npt.NDArray[np.int64], prior: float) -> FloatArray:
    """`prior * ln(1 + likes)`, 0 for an item that nobody liked.

    Cosines have no lengths that could express popularity, so that cosine / temperature approximates log P(item | user)
    without a part of log P(item). Adding the logarithm of the frequency restores it, as the logit adjustment of Menon
    et al. (ICLR 2021) does with the frequency of labels; with the temperature as weight all of it is restored.

    Args:
        likes: users who liked each item, int64 (items,).
        prior: weight of the logarithm, in units of the cosine.

    Returns:
        float32 (items,).
    """
    return (prior * np.log1p(likes)).astype(np.float32)
