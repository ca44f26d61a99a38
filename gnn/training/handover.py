"""What a training is made of, from the rank that has it to those that help: plain data and arrays, no pickles."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from gnn.distributed import Ranks
from gnn.evaluation.validation import Validation
from gnn.graph.layer0 import TextVectors
from gnn.settings import GCNConfig, LightGCNConfig, ModelConfig, TrainingConfig
from gnn.text.features import TextFeatures
from kg import KnowledgeGraph, RaggedArray, RelationKey, Schema

MODELS: dict[str, type[LightGCNConfig] | type[GCNConfig]] = {"LightGCN": LightGCNConfig, "GCN": GCNConfig}


@dataclass(frozen=True, kw_only=True)
class Job:
    """The arguments of a training; see `gnn.training.trainer.fit`."""

    graph: KnowledgeGraph
    model: ModelConfig
    training: TrainingConfig
    features: TextVectors | None
    validation: Validation | None
    steps: int | None
    beta: float | None
    prior: float | None
    device: str
    seed: int
    precision: Literal["float32", "float64"]

    def give(self, ranks: Ranks) -> None:
        """Send it to all other ranks; of nodes only the ids, without texts and attributes."""
        nodes = {name: table.select(["id"]) for name, table in self.graph.nodes.items()}
        arrays: dict[str, Any] = {}
        if self.features is not None:
            arrays |= {"nodes": self.features.nodes, "vectors": self.features.vectors}
        if self.validation is not None:
            for name in ("truth", "seen"):
                lists: RaggedArray = getattr(self.validation, name)
                arrays |= {f"{name}.offsets": lists.offsets, f"{name}.items": lists.values}
        arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
        head = {
            "schema": self.graph.schema.to_json(),
            "nodes": list(nodes),
            "edges": [list(key) for key in self.graph.edges],
            "model": next(name for name, kind in MODELS.items() if isinstance(self.model, kind)),
            "model_config": asdict(self.model),
            "training": asdict(self.training),
            "features": self.features is not None,
            "validation": self.validation is not None,
            "arrays": [[name, value.dtype.str, list(value.shape)] for name, value in arrays.items()],
            **{name: getattr(self, name) for name in ("steps", "beta", "prior", "device", "seed", "precision")},
        }
        ranks.tell(head, patience=False)
        for table in (*nodes.values(), *self.graph.edges.values()):
            ranks.hand(_written(table))
        for value in arrays.values():
            ranks.hand(memoryview(value).cast("B") if value.size else b"")

    @classmethod
    def take(cls, ranks: Ranks) -> Job | None:
        """Wait for what the first rank gives next; None when it has no more."""
        head = ranks.tell(None, patience=False)
        if head is None:
            return None
        nodes = {name: _read(ranks.hand(None)) for name in head["nodes"]}
        edges = {RelationKey(*key): _read(ranks.hand(None)) for key in head["edges"]}
        arrays = {
            name: np.frombuffer(ranks.hand(None), dtype=np.dtype(kind)).reshape(shape)
            for name, kind, shape in head["arrays"]
        }
        features = validation = None
        if head["features"]:
            features = TextFeatures(nodes=arrays["nodes"], vectors=arrays["vectors"], model="")
        if head["validation"]:
            truth, seen = (
                RaggedArray(arrays[f"{name}.offsets"], arrays[f"{name}.items"]) for name in ("truth", "seen")
            )
            validation = Validation(truth=truth, seen=seen)
        return cls(
            graph=KnowledgeGraph(Schema.from_json(head["schema"]), nodes, edges),
            model=_config(MODELS[head["model"]], head["model_config"]),
            training=_config(TrainingConfig, head["training"]),
            features=features,
            validation=validation,
            **{name: head[name] for name in ("steps", "beta", "prior", "device", "seed", "precision")},
        )


def _config(kind: type[Any], values: dict[str, Any]) -> Any:
    """A config from JSON, which has no tuples."""
    known = {field.name for field in fields(kind)}
    return kind(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if name in known}
    )


def _written(table: Any) -> Any:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _read(body: Any) -> Any:
    return pa.ipc.open_stream(pa.py_buffer(body)).read_all()
