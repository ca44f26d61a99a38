"""Queries a second, recall and memory of each kind of index over a million vectors, with and without filters.

python -m benchmarks index --data DIR [--vectors 1000000] [--kinds ivf sq pq hnsw]

The vectors are drawn from a trained model: leading singular vectors of gowalla's interactions, scaled by their singular
values, the spectral model of item-item graphs. Each drawn vector lies between those of two items that one user liked,
and a little beside. What is asked are vectors of users. Each kind is searched with the first of its parameters that
finds .99 of the exact best 100, on one thread, 500 queries at a time, and one at a time. All times are those of the
processor, which other work on the machine does not change much.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from benchmarks.gowalla_data import load
from benchmarks.results import record
from kg.history import InteractionHistory
from recall.channels.decomposition import leading, normalised
from recall.index.build import build_index
from recall.index.exact import FloatArray
from recall.index.item_index import ItemIndex
from recall.index.settings import IndexConfig

DIM, K = 64, 100
TARGET = 0.99
EXCLUDED = (0.01, 0.1, 0.5, 0.9, 0.999)
"""Shares of the items that a filter leaves out."""
FRESH = 500  # queries that the parameters were not chosen with


def main(argv: Sequence[str]) -> None:
    """Measure each kind."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks index", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", default=["ivf", "sq", "pq", "hnsw"])
    arguments = parser.parse_args(argv)
    vectors, queries = drawn(Path(arguments.data), arguments.vectors)
    fresh, sample = queries[:FRESH], queries[FRESH:]
    with threadpool_limits(1):
        faiss.omp_set_num_threads(1)
        exact = build_index(vectors, IndexConfig(exact_up_to=len(vectors)))
        rows = [row(exact, exact, fresh, 0.0)]
        for kind in arguments.kinds:
            start = time.process_time()
            config = IndexConfig(exact_up_to=0, kinds=(kind,), target_recall=TARGET, measured_at=K, memory_mib=None)
            index = build_index(vectors, config, queries=sample)
            taken = time.process_time() - start
            rows.append(row(index, exact, fresh, taken))
            rows[-1]["times_exact"] = rows[-1]["queries_a_second"] / rows[0]["queries_a_second"]
            record(
                "index", rows, vectors=len(vectors), dim=DIM, k=K, target=TARGET, excluded=list(EXCLUDED), queries=FRESH
            )


def drawn(data: Path, count: int) -> tuple[FloatArray, FloatArray]:
    """Vectors of as many items, and of users, from a model of gowalla; float32 (count, 64) and (users, 64)."""
    history = InteractionHistory.of(load(data))
    matrix = normalised(history)
    directions, values = leading(matrix, DIM, seed=0)
    items = directions * values
    random = np.random.default_rng(0)
    liked, starts = history.liked.values, history.liked.offsets
    entry = random.integers(0, len(liked), count)
    owner = np.searchsorted(starts, entry, side="right") - 1
    other = starts[owner] + (random.random(count) * (starts[owner + 1] - starts[owner])).astype(np.int64)
    part = random.uniform(0.5, 1, (count, 1)).astype(np.float32)
    noise = random.normal(size=(count, DIM)).astype(np.float32) * (0.1 * items.std(axis=0))
    vectors = part * items[liked[entry]] + (1 - part) * items[liked[other]] + noise
    users = np.asarray(matrix @ directions, dtype=np.float32)
    users = users[np.abs(users).any(axis=1)]
    asked = users[random.permutation(len(users))[: FRESH + 1500]]
    return np.ascontiguousarray(vectors, dtype=np.float32), np.ascontiguousarray(asked)


def row(index: ItemIndex, exact: ItemIndex, queries: FloatArray, seconds: float) -> dict[str, Any]:
    """Speed and recall without a filter, and with each."""
    truth = exact.search(queries, K)
    start = time.process_time()
    found = index.search(queries, K)
    taken = time.process_time() - start
    some = queries[:100]
    start = time.process_time()
    for query in some:
        index.search(query[None], K)
    alone = (time.process_time() - start) / len(some)
    size = len(faiss.serialize_index(index._index)) / len(index)
    measured: dict[str, Any] = {
        "model": index.kind,
        "parameters": index.parameters,
        "recall": shared(found.items, truth.items),
        "queries_a_second": len(queries) / taken,
        "one_at_a_time_ms": alone * 1000,
        "bytes_a_vector": size,
        "build_seconds": seconds,
    }
    random = np.random.default_rng(1)
    filters = []
    for share in EXCLUDED:
        only = np.flatnonzero(random.random(len(index)) >= share)
        best = exact.search(queries[:100], K, only=only)
        start = time.process_time()
        filtered = index.search(queries[:100], K, only=only)
        taken = (time.process_time() - start) / len(filtered.items)
        filters.append({"excluded": share, "ms": taken * 1000, "recall": shared(filtered.items, best.items)})
    measured["filters"] = {f"{each['excluded']:.1%}": each for each in filters}
    return measured


def shared(found: npt.NDArray[np.int64], best: npt.NDArray[np.int64]) -> float:
    """Share of the best items that were found."""
    hits = [len(set(ours) & set(theirs[theirs >= 0])) for ours, theirs in zip(found, best, strict=True)]
    return sum(hits) / max(int((best >= 0).sum()), 1)
