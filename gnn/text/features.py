"""The text vectors of a graph's nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from gnn.tensor_file import write_tensors
from gnn.text.cache import Encoder, TextCache
from kg.arrays import IntArray
from kg.errors import ArtifactError
from kg.graph import KnowledgeGraph
from kg.io.files import read_json, write_json
from kg.progress import SILENT, Progress
from kg.topology.adjacency import Numbering

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFeatures:
    """Text vectors of the nodes that have a text.

    Attributes:
        nodes: global numbers (kg.topology.adjacency.Numbering), ascending, int64 (rows,).
        vectors: unit vectors, float32 (rows, dim).
        model: `TextEncoder.space` of the encoder; a text encoded by one of the same space is comparable with these.
    """

    nodes: IntArray
    vectors: npt.NDArray[np.float32]
    model: str

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def dim(self) -> int:
        """Columns of every vector."""
        return int(self.vectors.shape[1])

    def of(self, numbering: Numbering, node_type: str) -> tuple[IntArray, npt.NDArray[np.float32]]:
        """Positions within one node type's table, int64 (n,), and their vectors, float32 (n, dim)."""
        span = numbering.span(node_type)
        start, stop = np.searchsorted(self.nodes, [span.start, span.stop])
        return self.nodes[start:stop] - span.start, self.vectors[start:stop]

    def save(self, folder: Path) -> None:
        """Write `text.safetensors` and `text.json` into a folder."""
        write_tensors(folder / "text.safetensors", {"nodes": self.nodes, "vectors": self.vectors})
        facts = {"format_version": FORMAT_VERSION, "model": self.model, "rows": len(self), "dim": self.dim}
        write_json(folder / "text.json", facts)

    @classmethod
    def load(cls, folder: Path) -> TextFeatures:
        """Read what `save` wrote; executes no code.

        Raises:
            ArtifactError: a file is missing, damaged, or of another format version.
        """
        facts: Any = read_json(folder / "text.json")
        path = folder / "text.safetensors"
        if not isinstance(facts, dict) or facts.get("format_version") != FORMAT_VERSION:
            raise ArtifactError(f"{folder / 'text.json'} is of another format version: run the refresh again")
        try:
            tensors = load_file(path)
            nodes, vectors = tensors["nodes"], tensors["vectors"]
        except Exception as error:  # safetensors raises its own untyped errors
            raise ArtifactError(f"{path} cannot be read: {error}") from error
        if vectors.shape != (facts.get("rows"), facts.get("dim")) or nodes.shape != (facts.get("rows"),):
            raise ArtifactError(f"{path} does not hold the {facts.get('rows')} rows that text.json names")
        return cls(nodes=nodes, vectors=vectors, model=str(facts.get("model")))


def encode_graph(
    graph: KnowledgeGraph, encoder: Encoder, *, cache: TextCache | None = None, progress: Progress = SILENT
) -> TextFeatures:
    """Encode the texts of all node types that have a `text` column.

    Args:
        graph: the graph; nodes with an empty, blank or missing text get no row.
        encoder: a `gnn.text.encoder.TextEncoder`; its weights are not loaded when the cache has every text.
        cache: of vectors, or None.
        progress: of encoded texts.

    Raises:
        ArtifactError: the text model is missing or damaged.
    """
    numbering = Numbering.of(graph)
    nodes: list[IntArray] = [np.zeros(0, dtype=np.int64)]
    texts: list[str] = []
    for name in graph.nodes:
        column = graph.texts(name)
        values = column.to_pylist() if column is not None else []
        rows = [row for row, text in enumerate(values) if text and not text.isspace()]
        nodes.append(np.array(rows, dtype=np.int64) + numbering.span(name).start)
        texts += [values[row] for row in rows]
    if cache is None:
        vectors = encoder.encode(texts, progress=progress)
    else:
        vectors = cache.encode(texts, encoder, progress=progress)
    return TextFeatures(nodes=np.concatenate(nodes), vectors=vectors, model=encoder.space)
