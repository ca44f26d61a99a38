"""The kinds of FAISS indexes: how each is filled, and its search parameters from fast to thorough."""

from __future__ import annotations

from typing import Any, Literal

import faiss
import numpy as np
import numpy.typing as npt

from recall.index.settings import IndexConfig

FloatArray = npt.NDArray[np.float32]
Kind = Literal["flat", "ivf", "hnsw"]

# The classes that FAISS reads a saved index as.
NAMES = {"IndexFlatIP": "flat", "IndexFlat": "flat", "IndexIVFFlat": "ivf", "IndexHNSWFlat": "hnsw"}


def trained(kind: str, vectors: FloatArray, config: IndexConfig) -> tuple[Any, list[dict[str, int]]]:
    """A filled index of a kind, and its search parameters from fast to thorough."""
    count, dim = vectors.shape
    if kind == "ivf":
        lists = max(1, min(int(4 * np.sqrt(count)), count // 40))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.seed = config.seed
        index.cp.max_points_per_centroid = 64
        index.train(vectors)
        index.add(vectors)
        # Beyond a quarter of the lists an exact search is about as fast.
        most = max(1, lists // 4)
        probes = sorted({min(2**power, most) for power in range(2, 16)})
        return index, [{"lists": lists, "probes": probe} for probe in probes]
    index = faiss.IndexHNSWFlat(dim, config.hnsw_links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = config.hnsw_build
    index.add(vectors)
    return index, [{"links": config.hnsw_links, "ef": ef} for ef in (32, 64, 128, 256, 512, 1024)]


def stored_vectors(index: Any) -> FloatArray:
    """The vectors inside a flat or HNSW index, without a copy; the view keeps the index alive."""
    flat = faiss.downcast_index(index.storage) if hasattr(index, "storage") else index
    view = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
    view.flags.writeable = False
    result: FloatArray = view
    return result
