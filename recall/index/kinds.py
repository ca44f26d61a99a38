"""The kinds of FAISS indexes: how each is filled, what a vector takes, and its searches from fast to thorough.

    flat    every vector, exact
    ivf     inverted lists of whole vectors
    hnsw    a graph of neighbours over whole vectors
    sq      inverted lists of vectors of one byte a column (scalar quantisation)
    pq      inverted lists of codes of one byte for four columns (product quantisation)

What sq and pq find is scored again from the whole vectors, of which a search reads a few hundred: they are mapped from
the disk, and need no memory of their own.
"""

from __future__ import annotations

from typing import Any, Literal

import faiss
import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray
from recall.index.settings import IndexConfig

FloatArray = npt.NDArray[np.float32]
Kind = Literal["flat", "ivf", "hnsw", "sq", "pq"]

# The classes that FAISS reads a saved index as.
NAMES = {
    "IndexFlatIP": "flat",
    "IndexFlat": "flat",
    "IndexIVFFlat": "ivf",
    "IndexHNSWFlat": "hnsw",
    "IndexIVFScalarQuantizer": "sq",
    "IndexIVFPQ": "pq",
}
LISTED: tuple[Kind, ...] = ("ivf", "sq", "pq")  # with inverted lists, that forget a vector when it is removed

_ID_BYTES = 8
_COLUMNS_A_CODE = 4
_REFINED = {"ivf": (1,), "sq": (2,), "pq": (8, 24)}  # vectors scored again for each item wanted


def bytes_a_vector(kind: str, dim: int, config: IndexConfig) -> int:
    """Memory that an index of a kind needs for a vector, in bytes."""
    if kind == "hnsw":
        return 4 * dim + 4 * (2 * config.hnsw_links + 1) + _ID_BYTES
    return {"flat": 4 * dim, "ivf": 4 * dim + _ID_BYTES, "sq": dim + _ID_BYTES, "pq": _codes(dim) + _ID_BYTES}[kind]


def trained(kind: str, vectors: FloatArray, config: IndexConfig) -> tuple[Any, list[dict[str, int]]]:
    """A filled index of a kind, and its search parameters from fast to thorough."""
    count, dim = vectors.shape
    if kind == "hnsw":
        graph = faiss.IndexHNSWFlat(dim, config.hnsw_links, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = config.hnsw_build
        graph.add(vectors)
        return graph, [{"links": config.hnsw_links, "ef": ef} for ef in (32, 64, 128, 256, 512, 1024)]
    lists = max(1, min(int(4 * np.sqrt(count)), count // 40))
    index = _lists(kind, dim, lists)
    index.cp.seed = config.seed
    index.cp.max_points_per_centroid = 64
    index.cp.spherical = False
    index.train(padded_to(vectors, index.d))
    centroids = faiss.IndexFlatIP(index.d)
    centroids.add(_centroids(index))
    centroids.this.disown()  # the index frees it
    index.quantizer, index.own_fields = centroids, True
    add_to_lists(index, vectors, np.arange(count))
    # Beyond a quarter of the lists an exact search is about as fast.
    most = max(1, lists // 4)
    probes = sorted({min(2**power, most) for power in range(2, 16)})
    return index, [{"lists": lists, "probes": probe, "refine": refine} for refine in _REFINED[kind] for probe in probes]


def add_to_lists(index: Any, vectors: FloatArray, items: IntArray) -> None:
    """Add vectors to the lists of the centroids nearest by distance.

    A search looks into the lists whose centroids have the highest inner products with the query. FAISS by itself would
    also fill the lists by inner products, with centroids of length 1: each list would have short vectors and long ones,
    and the long ones, which answer most queries, would be spread over all lists.

    Args:
        index: with inverted lists.
        vectors: float32 (n, dim).
        items: their numbers, int64 (n,).
    """
    padded, items = padded_to(vectors, index.d), np.ascontiguousarray(items, dtype=np.int64)
    nearest = faiss.IndexFlatL2(index.d)
    nearest.add(_centroids(index))
    lists = np.ascontiguousarray(nearest.search(padded, 1)[1][:, 0])
    index.add_core(len(padded), faiss.swig_ptr(padded), faiss.swig_ptr(items), faiss.swig_ptr(lists))


def _centroids(index: Any) -> FloatArray:
    quantizer = faiss.downcast_index(index.quantizer)
    centroids: FloatArray = faiss.rev_swig_ptr(quantizer.get_xb(), quantizer.ntotal * quantizer.d)
    return centroids.reshape(quantizer.ntotal, quantizer.d).copy()


def padded_to(vectors: FloatArray, width: int) -> FloatArray:
    """Vectors with columns of zeros up to a width, which change no inner product."""
    if vectors.shape[1] == width:
        return np.ascontiguousarray(vectors, dtype=np.float32)
    return np.pad(vectors, ((0, 0), (0, width - vectors.shape[1]))).astype(np.float32, copy=False)


def stored_vectors(index: Any, *, writable: bool = False) -> FloatArray:
    """The vectors inside a flat or HNSW index, without a copy; the view keeps the index alive."""
    flat = faiss.downcast_index(index.storage) if hasattr(index, "storage") else index
    view = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
    view.flags.writeable = writable
    result: FloatArray = view
    return result


def _lists(kind: str, dim: int, lists: int) -> Any:
    """An empty index whose inverted lists will be the clusters by distance."""
    if kind == "pq":
        codes = _codes(dim)
        width = codes * _COLUMNS_A_CODE
        return faiss.IndexIVFPQ(faiss.IndexFlatL2(width), width, lists, codes, 8, faiss.METRIC_INNER_PRODUCT)
    quantizer = faiss.IndexFlatL2(dim)
    if kind == "sq":
        one_byte = faiss.ScalarQuantizer.QT_8bit
        return faiss.IndexIVFScalarQuantizer(quantizer, dim, lists, one_byte, faiss.METRIC_INNER_PRODUCT)
    return faiss.IndexIVFFlat(quantizer, dim, lists, faiss.METRIC_INNER_PRODUCT)


def _codes(dim: int) -> int:
    return -(-dim // _COLUMNS_A_CODE)
