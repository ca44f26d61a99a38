"""Items whose texts are alike, by the cosine of their BERT vectors; the search goes through FAISS."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from gnn.text.features import TextFeatures
from kg import KnowledgeGraph
from kg.arrays import IntArray
from recall.channels.arrays import load_arrays, pack_csr, save_arrays, unpack_csr
from recall.channels.texts import unit_item_texts, unit_texts
from recall.index.build import build_index
from recall.index.item_index import ItemIndex
from recall.index.settings import IndexConfig

FloatArray = npt.NDArray[np.float32]

ARRAYS = "texts.safetensors"
_BLOCK = 4096


class ItemTexts:
    """The text vectors of the items that have a text, centred; see `recall.channels.texts`.

    Attributes:
        items: positions of the items with a text, ascending, int64 (texts,).
        mean: what is subtracted, float32 (dim,).
        index: over their centred unit vectors.
        similar: cosines of each item with the n most similar ones, and with those that it is among the n most similar
            of, CSR (items, items), float32, positive entries, sorted columns.
    """

    def __init__(self, items: IntArray, mean: FloatArray, index: ItemIndex, similar: Any) -> None:
        self.items, self.mean, self.index, self.similar = items, mean, index, similar

    @classmethod
    def of(cls, graph: KnowledgeGraph, features: TextFeatures, config: IndexConfig | None, *, n: int) -> Self:
        """From the text vectors of a graph's nodes."""
        items, unit, mean = unit_item_texts(graph, features)
        index = build_index(unit, config)
        count = graph.num_nodes(graph.schema.item_type)
        texts = cls(items, mean, index, csr_matrix((count, count), dtype=np.float32))
        texts.similar = texts._neighbours(n)
        return texts

    def _neighbours(self, n: int) -> Any:
        shape = self.similar.shape
        matrix = csr_matrix(shape, dtype=np.float32)
        for at in range(0, len(self.items), _BLOCK):
            near = self.most_similar(self.index.vectors[at : at + _BLOCK], n + 1).tocoo()
            row = self.items[near.row + at]
            other = row != near.col
            matrix = matrix + csr_matrix((near.data[other], (row[other], near.col[other])), shape=shape)
        result = matrix.maximum(matrix.T).tocsr()
        result.sort_indices()
        return result

    def most_similar(self, vectors: FloatArray, n: int) -> Any:
        """Positive cosines with the n most similar items, CSR (m, items), for centred unit vectors (m, dim)."""
        if not len(self.items):
            return csr_matrix((len(vectors), self.similar.shape[0]), dtype=np.float32)
        top = self.index.search(vectors, min(n, len(self.items)))
        row, place = np.nonzero((top.items >= 0) & (top.scores > 0))
        entries = (top.scores[row, place], (row, self.items[top.items[row, place]]))
        return csr_matrix(entries, shape=(len(vectors), self.similar.shape[0]), dtype=np.float32)

    def of_texts(self, encoded: FloatArray, n: int) -> Any:
        """The same for encoded texts, (m, dim); a zero row is no text."""
        return self.most_similar(unit_texts(encoded, self.mean), n)

    def save(self, folder: Path) -> None:
        """Write the index and the arrays into a folder."""
        self.index.save(folder)
        save_arrays(folder / ARRAYS, {"items": self.items, "mean": self.mean, **pack_csr(self.similar, "similar")})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: a file is missing or damaged.
        """
        arrays = load_arrays(folder / ARRAYS)
        index = ItemIndex.load(folder, verify=False)  # the run's checksums cover it
        return cls(arrays["items"], arrays["mean"], index, unpack_csr(arrays, "similar"))
