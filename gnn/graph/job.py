"""The arguments of a training, and their way from the first rank to the others: plain data and arrays, no pickles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from gnn.distributed import Ranks
from gnn.evaluation.validation import Validation
from gnn.graph.layer0 import TextVectors
from gnn.settings import GCNConfig, LightGCNConfig, ModelConfig, TrainingConfig
from gnn.text.features import TextFeatures
from gnn.training.arrays import described, received, send
from kg import KnowledgeGraph, RaggedArray, RelationKey, Schema

CONFIGS: dict[str, type[ModelConfig]] = {kind.__name__: kind for kind in (LightGCNConfig, GCNConfig)}
_PLAIN = ("steps", "beta", "prior", "cold_scale", "device", "seed", "precision")


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """The arguments of a training; see `gnn.graph.fit.fit`."""

    graph: KnowledgeGraph
    model: ModelConfig
    training: TrainingConfig
    features: TextVectors | None = None
    validation: Validation | None = None
    steps: int | None = None
    beta: float | None = None
    prior: float | None = None
    cold_scale: float | None = None
    device: str = "auto"
    seed: int = 0
    precision: Literal["float32", "float64"] = "float32"

    def send(self, ranks: Ranks) -> None:
        """Send it to all other ranks; of nodes only the ids, without texts and attributes."""
        nodes = {name: table.select(["id"]) for name, table in self.graph.nodes.items()}
        arrays: dict[str, Any] = {}
        if self.features is not None:
            arrays |= {"nodes": self.features.nodes, "vectors": self.features.vectors}
        if self.validation is not None:
            for name in ("truth", "seen"):
                lists: RaggedArray = getattr(self.validation, name)
                arrays |= {f"{name}.offsets": lists.offsets, f"{name}.items": lists.values}
        header = {
            "training_of": "graph",
            "schema": self.graph.schema.to_json(),
            "nodes": list(nodes),
            "edges": [list(key) for key in self.graph.edges],
            "model": type(self.model).__name__,
            "model_config": self.model.model_dump(),
            "settings": self.training.model_dump(),
            "features": self.features is not None,
            "validation": self.validation is not None,
            "arrays": described(arrays),
            **{name: getattr(self, name) for name in _PLAIN},
        }
        ranks.broadcast(header, wait=True)
        for table in (*nodes.values(), *self.graph.edges.values()):
            ranks.broadcast_bytes(_to_bytes(table))
        send(ranks, arrays)

    @classmethod
    def receive(cls, ranks: Ranks, header: Mapping[str, Any]) -> TrainingJob:
        """The job of the first rank, whose header has been read."""
        nodes = {name: _to_table(ranks.broadcast_bytes(None)) for name in header["nodes"]}
        edges = {RelationKey(*key): _to_table(ranks.broadcast_bytes(None)) for key in header["edges"]}
        arrays = received(ranks, header["arrays"])
        features = validation = None
        if header["features"]:
            features = TextFeatures(nodes=arrays["nodes"], vectors=arrays["vectors"], model="")
        if header["validation"]:
            truth, seen = (
                RaggedArray(arrays[f"{name}.offsets"], arrays[f"{name}.items"]) for name in ("truth", "seen")
            )
            validation = Validation(truth=truth, seen=seen)
        return cls(
            graph=KnowledgeGraph(Schema.from_json(header["schema"]), nodes, edges),
            model=CONFIGS[header["model"]](**header["model_config"]),
            training=TrainingConfig(**header["settings"]),
            features=features,
            validation=validation,
            **{name: header[name] for name in _PLAIN},
        )


def _to_bytes(table: Any) -> Any:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _to_table(body: Any) -> Any:
    return pa.ipc.open_stream(pa.py_buffer(body)).read_all()
