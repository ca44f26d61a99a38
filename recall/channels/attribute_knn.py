"""Items that share attributes in the graph: cosine of idf-weighted knowledge edges, summed over the history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.sparse import csr_matrix, diags

from kg import KnowledgeGraph, RaggedArray, RelationKey
from kg.arrays import IntArray
from kg.errors import ConfigError
from recall.channels.aged import AgedConfig
from recall.channels.arrays import load_arrays, pack_csr, save_arrays, unpack_csr
from recall.channels.base import check_attributes, item_likes, named_attributes, rows_with_attributes
from recall.channels.neighbours import NeighbourChannel, cosine_neighbours
from recall.channels.scores import FloatArray
from recall.contracts import Capabilities, FitData, Query
from recall.contracts.history import rows_with

_BLOCK = 1024


class AttributeKNNConfig(AgedConfig):
    """Hyper-parameters of the attribute kNN: items that share attributes in the graph."""

    section: ClassVar[str] = "channels.attribute_knn"

    neighbours: int = Field(default=50, ge=1, description="Most similar liked items kept for each item.")
    relations: tuple[str, ...] | None = Field(
        default=None,
        description="Names of the knowledge relations used; default: all that touch items and are no traces of users.",
    )


class AttributeKNN(NeighbourChannel):
    """s_ij = cosine of the idf-weighted attribute vectors of i and j.

    A column is one other end under one relation and direction, weighted ln(items / items that have it). A relation
    among items has one column an item, which the item itself has too: so being linked counts as sharing it. Attributes
    in a request count as one liked item that has them.
    """

    name: ClassVar[str] = "attribute_knn"
    config_type: ClassVar[type[Any]] = AttributeKNNConfig
    capabilities: ClassVar[Capabilities] = Capabilities(attributes=True)

    def __init__(self, config: AttributeKNNConfig | None = None) -> None:
        super().__init__(config)
        self._vectors: Any = csr_matrix((0, 0), dtype=np.float32)
        self._idf: FloatArray = np.zeros(0, dtype=np.float32)
        self._columns: dict[RelationKey, tuple[int, int]] = {}

    def _learn(self, data: FitData) -> None:
        count = data.history.num_items
        rows, columns, width = self._incidence(data.graph)
        has = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(count, width))
        has.data[:] = 1
        frequency = np.bincount(has.indices, minlength=width)
        self._idf = np.log(max(count, 1) / np.maximum(frequency, 1)).astype(np.float32)
        self._vectors = _unit_rows(has @ diags(self._idf))
        super()._learn(data)

    def _incidence(self, graph: KnowledgeGraph) -> tuple[IntArray, IntArray, int]:
        """Rows (items) and columns (attributes) of the incidence matrix, and its width."""
        item_type = graph.schema.item_type
        self._columns, width = {}, 0
        rows, columns = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for key in self._knowledge(graph):
            source, target = graph.positive_edges(key)
            if key.source == key.target:
                linked = np.unique(np.concatenate([source, target]))
                ours, others = np.concatenate([source, target, linked]), np.concatenate([target, source, linked])
                count = graph.num_nodes(item_type)
            elif key.source == item_type:
                ours, others, count = source, target, graph.num_nodes(key.target)
            else:
                ours, others, count = target, source, graph.num_nodes(key.source)
            rows.append(ours)
            columns.append(others + width)
            self._columns[key] = (width, count)
            width += count
        return np.concatenate(rows), np.concatenate(columns), width

    def _knowledge(self, graph: KnowledgeGraph) -> list[RelationKey]:
        schema = graph.schema
        events = schema.events()
        keys = [
            key
            for key in graph.edges
            if key not in events and key != schema.interaction and schema.item_type in (key.source, key.target)
        ]
        if self.config.relations is None:
            return keys
        names = {key.name for key in keys}
        if absent := [name for name in self.config.relations if name not in names]:
            raise ConfigError(
                f"attribute_knn.relations names {absent[0]!r}; the knowledge relations of "
                f"{schema.item_type!r} are {', '.join(sorted(names)) or 'none'}"
            )
        return [key for key in keys if key.name in self.config.relations]

    def _neighbours(self, data: FitData) -> Iterator[Any]:
        liked = item_likes(data.history) > 0
        yield from cosine_neighbours(self._vectors, liked=liked, n=self.config.neighbours, block=_BLOCK)

    def _answerable(self, queries: Query, history: RaggedArray) -> IntArray:
        return np.union1d(rows_with(history), rows_with_attributes(queries))

    def _asks_more(self, queries: Query) -> bool:
        return any(queries.attributes or ())

    def _scores(self, queries: Query, history: RaggedArray, columns: IntArray | None) -> FloatArray:
        scores = super()._scores(queries, history, columns)
        if queries.attributes is not None and self._asks_more(queries):
            vectors = self._vectors if columns is None else self._vectors[columns]
            by_attributes = (self._profiles(queries.attributes) @ vectors.T).toarray()
            scores = np.maximum(scores, 0) + by_attributes
            scores[scores == 0] = -np.inf
        return scores

    def _asked(self, queries: Query, items: IntArray) -> npt.NDArray[np.float64]:
        if queries.attributes is None:
            return super()._asked(queries, items)
        profiles = self._profiles(queries.attributes).astype(np.float64)
        sums: npt.NDArray[np.float64] = np.asarray(profiles.multiply(self._vectors[items]).sum(axis=1)).ravel()
        return sums

    def _profiles(self, attributes: Sequence[Mapping[RelationKey, IntArray]]) -> Any:
        """Unit attribute vectors of requests, CSR (n, columns); relations that the channel does not use add nothing."""
        rows, columns = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for row, chosen in enumerate(attributes):
            for key, positions in named_attributes(chosen):
                start, count = self._columns.get(key, (0, -1))
                if count < 0:
                    continue
                check_attributes(positions, count, key)
                rows.append(np.full(len(positions), row))
                columns.append(positions + start)
        at, column = np.concatenate(rows), np.concatenate(columns)
        has = csr_matrix(
            (np.ones(len(at), dtype=np.float32), (at, column)), shape=(len(attributes), self._vectors.shape[1])
        )
        has.data[:] = 1
        return _unit_rows(has @ diags(self._idf))

    def _more(self) -> dict[str, Any]:
        columns = [{"relation": list(key), "start": start, "count": n} for key, (start, n) in self._columns.items()]
        return {"columns": columns}

    def _write(self, folder: Path) -> None:
        save_arrays(
            folder / "attributes.safetensors",
            {"idf": self._idf, **pack_csr(self._vectors, "vectors"), **pack_csr(self._similar, "similar")},
        )

    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        arrays = load_arrays(folder / "attributes.safetensors")
        self._idf = arrays["idf"]
        self._vectors, self._similar = unpack_csr(arrays, "vectors"), unpack_csr(arrays, "similar")
        self._columns = {RelationKey(*c["relation"]): (c["start"], c["count"]) for c in facts["columns"]}


def _unit_rows(matrix: Any) -> Any:
    """Rows of a CSR matrix scaled to length 1; empty rows stay."""
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
    result = (diags(scale) @ matrix).tocsr().astype(np.float32)
    result.eliminate_zeros()
    return result
