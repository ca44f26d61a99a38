"""Which kind of index serves some vectors: by their number, the memory allowed, and the recall that is measured."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import faiss
import numpy as np

from kg.errors import ConfigError
from recall.index.exact import vectors_fingerprint
from recall.index.item_index import ItemIndex
from recall.index.kinds import FloatArray, bytes_a_vector, stored_vectors, trained
from recall.index.settings import IndexConfig
from recall.index.stored import checked_vectors

_log = logging.getLogger(__name__)
_LEAST_CODED = 1024  # vectors that codes can be learned from


def build_index(
    vectors: FloatArray, config: IndexConfig | None = None, *, queries: FloatArray | None = None
) -> ItemIndex:
    """Index item vectors by the first kind that fits the memory and finds enough.

    Args:
        vectors: float32 (items, dim), finite.
        config: sizes and targets.
        queries: vectors like those that will be asked, (n, dim), to measure recall with; without them the items
            ask for their own neighbours, which is easier than what users ask.

    Raises:
        InvalidDataError: the vectors are not a finite matrix.
        ConfigError: no kind fits the memory.
    """
    config = config or IndexConfig()
    vectors = checked_vectors(vectors)
    digest, fits = vectors_fingerprint(vectors), _fitting(vectors.shape, config)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    size = bytes_a_vector("flat", vectors.shape[1], config)
    exact = ItemIndex(
        flat, stored_vectors(flat), kind="flat", parameters={}, recall=1.0, fingerprint=digest, bytes_a_vector=size
    )
    if len(vectors) <= config.exact_up_to and fits("flat"):
        return exact
    random = np.random.default_rng(config.seed)
    asked = vectors if queries is None else np.ascontiguousarray(queries, dtype=np.float32)
    sample = asked[np.sort(random.permutation(len(asked))[: config.sample])]
    best = exact if fits("flat") else None
    for kind in config.kinds:
        if not fits(kind) or (kind == "pq" and len(vectors) < _LEAST_CODED):
            continue
        index, ladder = trained(kind, vectors, config)
        size = bytes_a_vector(kind, vectors.shape[1], config)
        for parameters in ladder:
            candidate = ItemIndex(
                index,
                vectors,
                kind=kind,
                parameters=parameters,
                recall=0.0,
                fingerprint=digest,
                bytes_a_vector=size,
            )
            candidate.recall = candidate.measured(sample, config.measured_at)
            _log.info("index kind=%s parameters=%s recall=%.4f", kind, parameters, candidate.recall)
            if candidate.recall >= config.target_recall:
                candidate.vectors = stored_vectors(index) if kind == "hnsw" else vectors
                return candidate
            if best is None or (best.kind != "flat" and candidate.recall > best.recall):
                best = candidate
    if best is None:
        raise ConfigError(
            f"no kind of index of {len(vectors):,} vectors of {vectors.shape[1]} columns fits index.memory_mib = "
            f"{config.memory_mib:g}: allow more, or other index.kinds"
        )
    _log.warning(
        "no approximate index reaches recall %.3f: %s",
        config.target_recall,
        "searching exactly" if best.kind == "flat" else f"of those that fit the memory {best.kind} finds most",
    )
    return best


def _fitting(shape: tuple[int, ...], config: IndexConfig) -> Callable[[str], bool]:
    """Whether an index of a kind fits the memory that the configuration allows."""
    count, dim = shape
    limit = math.inf if config.memory_mib is None else config.memory_mib * 2**20
    return lambda kind: count * bytes_a_vector(kind, dim, config) <= limit
