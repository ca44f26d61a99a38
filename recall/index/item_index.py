"""Nearest items by inner product: FAISS, exact up to a size, beyond it as approximate as measured recall allows.

What FAISS returns is scored again from the vectors in float64, so a hit has the same score alone and in a batch,
through an exact and an approximate index.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
import numpy.typing as npt

from kg import RaggedArray
from kg.arrays import IntArray, places
from kg.errors import ArtifactError, InvalidDataError
from kg.io.files import atomic_path, read_json, write_json
from recall.index.kinds import NAMES, FloatArray, Kind, stored_vectors, trained
from recall.index.settings import IndexConfig
from recall.index.top_k import BLOCK_SCORES, TopK, check_k, check_positions, mask_out

_log = logging.getLogger(__name__)
_FORMAT = 1
_SLACK = 8  # hits fetched beyond k, so that rounding at the edge of the answer cannot drop a better item
_MOST_FETCHED = 2048  # beyond this scoring every item is faster than a heap of that size
# From so many queries times columns on one product of matrices is faster than reading all vectors for each query. FAISS
# 1.15 does so from 128,000 on; earlier versions count queries alone, from 20 on.
_PRODUCT_FROM = 512
_SUBSET = 100_000  # a candidate filter of at most this many items is scored directly
_ROUNDING = 1e-6  # of |query| * longest vector: how far float32 sums of different order can lie apart

faiss.cvar.distance_compute_blas_threshold = min(faiss.cvar.distance_compute_blas_threshold, _PRODUCT_FROM)


class ItemIndex:
    """Item vectors under inner product, searched by FAISS.

    Searching changes nothing, so threads can share one index.

    Attributes:
        kind: "flat" (exact), "ivf" or "hnsw".
        parameters: of the kind: `lists` and `probes`, or `links` and `ef`.
        recall: share of the exact top items found in the sample; 1 when exact.
        fingerprint: digest of the vectors.
        vectors: float32 (items, dim), read-only; memory-mapped after `load`.
    """

    def __init__(
        self,
        index: Any,
        vectors: FloatArray,
        *,
        kind: Kind,
        parameters: Mapping[str, int],
        recall: float,
        fingerprint: str,
    ) -> None:
        self._index = index
        self.vectors = vectors
        self.kind: Kind = kind
        self.parameters = dict(parameters)
        self.recall = recall
        self.fingerprint = fingerprint
        self._longest = _longest(vectors)

    @classmethod
    def build(
        cls, vectors: FloatArray, config: IndexConfig | None = None, *, queries: FloatArray | None = None
    ) -> ItemIndex:
        """Index item vectors.

        Args:
            vectors: float32 (items, dim), finite.
            config: sizes and targets.
            queries: vectors like those that will be asked, (n, dim), to measure recall with; without them the items
                ask for their own neighbours, which is easier than what users ask.

        Raises:
            InvalidDataError: the vectors are not a finite matrix.
        """
        config = config or IndexConfig()
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise InvalidDataError("an index needs a matrix of finite item vectors; train again or look at the data")
        digest = vectors_fingerprint(vectors)
        flat = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(vectors)
        exact = cls(flat, stored_vectors(flat), kind="flat", parameters={}, recall=1.0, fingerprint=digest)
        if len(vectors) <= config.exact_up_to:
            return exact
        random = np.random.default_rng(config.seed)
        asked = vectors if queries is None else np.ascontiguousarray(queries, dtype=np.float32)
        sample = asked[np.sort(random.permutation(len(asked))[: config.sample])]
        k = min(config.measured_at, len(vectors))
        truth = exact._exact(sample, k, None, None).scores[:, -1]
        for kind in config.kinds:
            index, ladder = trained(kind, vectors, config)
            for parameters in ladder:
                candidate = cls(index, vectors, kind=kind, parameters=parameters, recall=0.0, fingerprint=digest)
                candidate.recall = candidate._measure(sample, k, truth)
                _log.info("index kind=%s parameters=%s recall=%.4f", kind, parameters, candidate.recall)
                if candidate.recall >= config.target_recall:
                    candidate.vectors = stored_vectors(index) if kind == "hnsw" else vectors
                    return candidate
        _log.warning("no approximate index reaches recall %.3f: searching exactly", config.target_recall)
        return exact

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """Columns of every vector."""
        return int(self.vectors.shape[1])

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says of it, plain data."""
        return {"kind": self.kind, "parameters": self.parameters, "recall": self.recall, "items": len(self)}

    def search(
        self, queries: FloatArray, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None
    ) -> TopK:
        """The k items with the largest inner product for each query.

        Args:
            queries: float32 (n, dim).
            k: items wanted, at least 1.
            exclude: items to leave out, a list for each query.
            only: positions of the only items allowed; None for all.

        Returns:
            (n, k), equal scores in the order of their positions; -1 where fewer than k items are left.

        Raises:
            ConfigError: k is below 1.
            InvalidDataError: the queries have another width, or `only` names items that are not there.
        """
        check_k(k)
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise InvalidDataError(f"queries of shape {queries.shape} do not fit an index of {self.dim} columns")
        if only is not None:
            only = check_positions(only, len(self), "candidates")
        if not len(self) or (only is not None and self._exact_is_faster(len(only), k + _SLACK)):
            return self._exact(queries, k, exclude, only)
        need = np.full(len(queries), k + _SLACK) if exclude is None else exclude.counts + (k + _SLACK)
        # Rows that need similar numbers of hits are searched together: a heavy user does not slow the others down.
        size = np.minimum(2 ** np.ceil(np.log2(np.maximum(need, 32))).astype(np.int64), len(self))
        items = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        for fetch in np.unique(size):
            rows = np.flatnonzero(size == fetch)
            step = max(1, BLOCK_SCORES // int(fetch * max(self.dim, 1)))
            for start in range(0, len(rows), step):
                block = rows[start : start + step]
                left_out = None if exclude is None else exclude.take(block)
                if fetch <= _MOST_FETCHED:
                    top = self._indexed(queries[block], k, int(fetch), left_out, only)
                elif self.kind == "flat" or left_out is None or k + _SLACK > _MOST_FETCHED:
                    top = self._exact(queries[block], k, left_out, only)
                else:
                    top = self._one_by_one(queries[block], k, left_out, only)
                items[block], scores[block] = top.items, top.scores
        return TopK(items, scores)

    def _exact_is_faster(self, allowed: int, fetch: int) -> bool:
        """Whether scoring all allowed items takes less than searching the index for them."""
        if self.kind == "flat" or allowed <= min(_SUBSET, len(self) // 2):
            return True
        # The search of a graph passes through what is left out, and compares `links` neighbours a step.
        return self.kind == "hnsw" and self._ef(fetch, allowed / len(self)) * self.parameters["links"] > allowed

    def _one_by_one(self, queries: FloatArray, k: int, exclude: RaggedArray, only: IntArray | None) -> TopK:
        """Searches that leave out so much that the index has to skip it, each with a selector of its own."""
        items = np.empty((len(queries), k), dtype=np.int64)
        scores = np.empty((len(queries), k), dtype=np.float32)
        nothing = RaggedArray.empty(1)
        for row in range(len(queries)):
            allowed = np.ones(len(self), dtype=bool)
            if only is not None:
                allowed[:] = False
                allowed[only] = True
            allowed[exclude[row]] = False
            left = np.flatnonzero(allowed)
            one = queries[[row]]
            if self._exact_is_faster(len(left), k + _SLACK):
                top = self._exact(one, k, None, left)
            else:
                top = self._indexed(one, k, k + _SLACK, nothing, left)
            items[row], scores[row] = top.items[0], top.scores[0]
        return TopK(items, scores)

    def _indexed(
        self, queries: FloatArray, k: int, fetch: int, exclude: RaggedArray | None, only: IntArray | None
    ) -> TopK:
        """Over-fetch by the number of excluded items, drop those, score the rest again."""
        raw, hits = self._index.search(queries, fetch, params=self._search_parameters(fetch, only))
        hits = hits.astype(np.int64, copy=False)
        kept = hits >= 0
        if exclude is not None:
            kept &= ~exclude.contains(hits)
        exact = np.matmul(self.vectors[np.maximum(hits, 0)].astype(np.float64), queries.astype(np.float64)[:, :, None])[
            :, :, 0
        ].astype(np.float32)
        values = np.where(kept, exact, np.float32(-np.inf))
        order = np.lexsort((hits, -values), axis=1)[:, :k]
        items = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        scores[:, : order.shape[1]] = np.take_along_axis(values, order, axis=1)
        items[:, : order.shape[1]] = np.where(
            scores[:, : order.shape[1]] > -np.inf, np.take_along_axis(hits, order, axis=1), -1
        )
        if fetch < len(self):
            again = scores[:, k - 1] == -np.inf
            if self.kind == "flat":
                # What was not fetched scores at most the last hit: only a clear distance to it proves the answer.
                again |= scores[:, k - 1] <= raw[:, -1] + self._rounding(queries)
            if again.any():
                rows = np.flatnonzero(again)
                top = self._exact(queries[rows], k, None if exclude is None else exclude.take(rows), only)
                items[rows], scores[rows] = top.items, top.scores
        return TopK(items, scores)

    def scores(self, queries: FloatArray, items: IntArray) -> FloatArray:
        """Exact scores of given items, float32 (n, m).

        Args:
            queries: float32 (n, dim).
            items: positions, int64 (n, m); -1 scores 0.
        """
        row, place = np.nonzero(items >= 0)
        result = np.zeros(items.shape, dtype=np.float32)
        result[row, place] = _inner_products(queries, self.vectors, row, items[row, place])
        return result

    def _exact(self, queries: FloatArray, k: int, exclude: RaggedArray | None, only: IntArray | None) -> TopK:
        """Score all allowed items; those that rounding could bring into the top k are scored again in float64."""
        items = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        barred: npt.NDArray[np.bool_] | None = None
        if only is not None and 2 * len(only) > len(self):  # a copy of most vectors costs more than their scores
            barred = np.ones(len(self), dtype=bool)
            barred[only] = False
            only = None
        vectors = self.vectors if only is None else self.vectors[only]
        if not len(vectors):
            return TopK(items, scores)
        step = max(1, BLOCK_SCORES // len(vectors))
        for start in range(0, len(queries), step):
            block = queries[start : start + step]
            rough = block @ vectors.T
            if barred is not None:
                rough[:, barred] = -np.inf
            if exclude is not None:
                mask_out(rough, exclude.take(np.arange(start, start + len(block))), only)
            edge = np.full(len(block), -np.inf)
            if k < len(vectors):
                edge = np.partition(rough, len(vectors) - k, axis=1)[:, len(vectors) - k].astype(np.float64)
            floor = (edge - self._rounding(block))[:, None]
            row, column = np.nonzero((rough >= floor) & (rough > -np.inf))
            value = _inner_products(block, vectors, row, column)
            order = np.lexsort((column, -value, row))
            row, column, value = row[order], column[order], value[order]
            place = places(row)
            best = place < k
            row, column, value, place = row[best], column[best], value[best], place[best]
            items[start + row, place] = column if only is None else only[column]
            scores[start + row, place] = value
        return TopK(items, scores)

    def _rounding(self, queries: FloatArray) -> npt.NDArray[np.float64]:
        result: npt.NDArray[np.float64] = _ROUNDING * self._longest * np.linalg.norm(queries, axis=1).astype(np.float64)
        return result

    def _ef(self, fetch: int, share: float) -> int:
        """Candidates that a search of the graph keeps, where only a share of the items may be given out."""
        return math.ceil(max(self.parameters["ef"], fetch) / max(share, 1 / len(self)))

    def _search_parameters(self, fetch: int, only: IntArray | None) -> Any:
        selector, share = {}, 1.0
        if only is not None:
            allowed = np.zeros(len(self), dtype=np.uint8)
            allowed[only] = 1
            selector = {"sel": faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))}
            share = len(only) / len(self)
        # What is allowed lies as deep among all items as it is rare: the search goes so much further.
        if self.kind == "ivf":
            probes = math.ceil(self.parameters["probes"] / max(share, 1 / len(self)))
            return faiss.SearchParametersIVF(nprobe=min(probes, self.parameters["lists"]), **selector)
        if self.kind == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=self._ef(fetch, share), **selector)
        return faiss.SearchParameters(**selector) if selector else None

    def _measure(self, sample: FloatArray, k: int, truth: FloatArray) -> float:
        """Share of the k exact best that are found; an item that ties with the k-th counts."""
        if not len(sample):
            return 1.0
        raw, hits = self._index.search(sample, k, params=self._search_parameters(k, None))
        good = (hits >= 0) & (raw >= truth[:, None] - self._rounding(sample)[:, None])
        return float(good.mean())

    def save(self, folder: Path) -> None:
        """Write `index.faiss`, `index.json` and, for an IVF index, `vectors.npy` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / "index.faiss") as temporary:
            faiss.write_index(self._index, str(temporary))
        if self.kind == "ivf":
            with atomic_path(folder / "vectors.npy") as temporary, temporary.open("wb") as stream:
                np.save(stream, self.vectors, allow_pickle=False)
        write_json(
            folder / "index.json",
            {
                "format": _FORMAT,
                "kind": self.kind,
                "parameters": self.parameters,
                "metric": "inner_product",
                "dim": self.dim,
                "count": len(self),
                "recall": self.recall,
                "fingerprint": self.fingerprint,
            },
        )

    @classmethod
    def load(cls, folder: Path, *, verify: bool = True) -> Self:
        """Map a saved index into memory.

        Args:
            folder: what `save` wrote.
            verify: compare the digest of the vectors as well, which reads them all once.

        Raises:
            ArtifactError: a file is missing or damaged, or the parts do not belong together.
        """
        facts = read_json(folder / "index.json")
        path = folder / "index.faiss"
        if not isinstance(facts, dict) or facts.get("format") != _FORMAT or facts.get("metric") != "inner_product":
            raise ArtifactError(f"{folder / 'index.json'} is of another format: build the index again")
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
            kind: Kind = facts["kind"]
            vectors = np.load(folder / "vectors.npy", mmap_mode="r") if kind == "ivf" else stored_vectors(index)
            loaded = cls(
                index,
                vectors,
                kind=kind,
                parameters=facts["parameters"],
                recall=facts["recall"],
                fingerprint=facts["fingerprint"],
            )
        except (RuntimeError, OSError, ValueError, KeyError, AttributeError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}") from error
        actual = {
            "kind": NAMES.get(type(index).__name__, type(index).__name__),
            "metric": "inner_product" if index.metric_type == faiss.METRIC_INNER_PRODUCT else index.metric_type,
            "dim": index.d,
            "count": index.ntotal,
        }
        if wrong := [name for name, value in actual.items() if facts[name] != value]:
            raise ArtifactError(
                f"{path} does not belong to its index.json: {wrong[0]} is {actual[wrong[0]]!r}, "
                f"not {facts[wrong[0]]!r}; build the index again"
            )
        if vectors.shape != (index.ntotal, index.d) or (verify and vectors_fingerprint(vectors) != loaded.fingerprint):
            raise ArtifactError(f"the vectors of {path} are not those it was built from: build the index again")
        return loaded


def vectors_fingerprint(vectors: FloatArray) -> str:
    """A digest of a float32 matrix and its shape."""
    digest = hashlib.sha256(str(vectors.shape).encode())
    for start in range(0, len(vectors), 65_536):
        digest.update(np.ascontiguousarray(vectors[start : start + 65_536], dtype="<f4").data)
    return digest.hexdigest()[:32]


def _longest(vectors: FloatArray) -> float:
    longest = 0.0
    for start in range(0, len(vectors), 65_536):
        block = vectors[start : start + 65_536]
        longest = max(longest, float(np.sqrt(np.einsum("nd,nd->n", block, block).max(initial=0.0))))
    return longest


def _inner_products(left: FloatArray, right: FloatArray, row: IntArray, column: IntArray) -> FloatArray:
    """Inner products of the given pairs of rows, summed in float64, float32 (pairs,)."""
    result = np.empty(len(row), dtype=np.float32)
    step = max(1, BLOCK_SCORES // max(left.shape[1], 1) // 4)
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        result[part] = np.einsum("pd,pd->p", left[row[part]], right[column[part]], dtype=np.float64)
    return result
