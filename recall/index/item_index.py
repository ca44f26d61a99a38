"""Nearest items by inner product: FAISS, exact up to a size, beyond it as approximate as measured recall allows.

What FAISS returns is scored again from the vectors in float64, so a hit has the same score alone and in a batch,
through an exact and an approximate index.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np

from kg import RaggedArray
from kg.arrays import IntArray
from kg.errors import ArtifactError, InvalidDataError
from recall.index.exact import exact_top, inner_products, rounding, vectors_fingerprint
from recall.index.kinds import LISTED, FloatArray, padded_to
from recall.index.storage import read_index, write_index
from recall.index.stored import StoredVectors
from recall.index.top_k import BLOCK_SCORES, TopK, check_k, check_positions

_SLACK = 8  # hits fetched beyond k, so that rounding at the edge of the answer cannot drop a better item
_MOST_FETCHED = 2048  # beyond this scoring every item is faster than a heap of that size
# From so many queries times columns on one product of matrices is faster than reading all vectors for each query. FAISS
# 1.15 does so from 128,000 on; earlier versions count queries alone, from 20 on.
_PRODUCT_FROM = 512
_SUBSET = 100_000  # a candidate filter of at most this many items is scored directly

faiss.cvar.distance_compute_blas_threshold = min(faiss.cvar.distance_compute_blas_threshold, _PRODUCT_FROM)


class ItemIndex(StoredVectors):
    """Item vectors under inner product, searched by FAISS.

    Searching changes nothing, so threads can share one index. `recall.index.build.build_index` makes it.
    """

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
        if self._rows is not None and not self._rows.is_whole:
            only = self._rows.left if only is None else only[~self._rows.removed[only]]
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
        """Over-fetch by the number of excluded items; search exactly where that proves too little."""
        top, again = self._fetched(queries, k, fetch, exclude, only)
        if len(again):
            exact = self._exact(queries[again], k, None if exclude is None else exclude.take(again), only)
            top.items[again], top.scores[again] = exact.items, exact.scores
        return top

    def _fetched(
        self, queries: FloatArray, k: int, fetch: int, exclude: RaggedArray | None, only: IntArray | None
    ) -> tuple[TopK, IntArray]:
        """What the index finds, without the excluded and scored again, and the rows for which it is too little."""
        # Quantised vectors are near enough to choose whom to score again.
        refined = min(fetch * self.parameters.get("refine", 1), len(self))
        raw, hits = self._index.search(
            padded_to(queries, self._index.d), refined, params=self._search_parameters(refined, only)
        )
        hits = hits.astype(np.int64, copy=False)
        if self._rows is not None and self.kind not in LISTED:
            hits = self._rows.items_of(hits)
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
        again = np.zeros(len(queries), dtype=bool)
        if fetch < len(self):
            again = scores[:, k - 1] == -np.inf
            if self.kind == "flat":
                # What was not fetched scores at most the last hit: only a clear distance to it proves the answer.
                again |= scores[:, k - 1] <= raw[:, -1] + rounding(queries, self._longest)
        return TopK(items, scores), np.flatnonzero(again)

    def scores(self, queries: FloatArray, items: IntArray) -> FloatArray:
        """Exact scores of given items, float32 (n, m).

        Args:
            queries: float32 (n, dim).
            items: positions, int64 (n, m); -1 scores 0.
        """
        row, place = np.nonzero(items >= 0)
        result = np.zeros(items.shape, dtype=np.float32)
        result[row, place] = inner_products(queries, self.vectors, row, items[row, place])
        return result

    def _exact(self, queries: FloatArray, k: int, exclude: RaggedArray | None, only: IntArray | None) -> TopK:
        return exact_top(
            self.vectors, queries, k, exclude=exclude, only=only, longest=self._longest, block=BLOCK_SCORES
        )

    def _ef(self, fetch: int, share: float) -> int:
        """Candidates that a search of the graph keeps, where only a share of the items may be given out."""
        return math.ceil(max(self.parameters["ef"], fetch) / max(share, 1 / len(self)))

    def _search_parameters(self, fetch: int, only: IntArray | None) -> Any:
        selector, share = {}, 1.0
        if only is not None:
            if self._rows is None or self.kind in LISTED:
                allowed = np.zeros(len(self), dtype=np.uint8)
                allowed[only] = 1
            else:
                allowed = self._rows.allowed(only)
            selector = {"sel": faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))}
            share = len(only) / len(self)
        # What is allowed lies as deep among all items as it is rare: the search goes so much further.
        if self.kind in LISTED:
            probes = math.ceil(self.parameters["probes"] / max(share, 1 / len(self)))
            return faiss.SearchParametersIVF(nprobe=min(probes, self.parameters["lists"]), **selector)
        if self.kind == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=self._ef(fetch, share), **selector)
        return faiss.SearchParameters(**selector) if selector else None

    def measured(self, queries: FloatArray, k: int) -> float:
        """Share of the k exact best that the index finds by itself; an item that ties with the k-th counts.

        Queries for which it finds fewer than k are answered by an exact search, which is right and slow: they do not
        count as found, so that no setting is chosen for being exact.

        Args:
            queries: vectors like those that are asked, float32 (n, dim).
            k: items wanted.
        """
        k = min(k, len(self))
        if not len(queries) or not k:
            return 1.0
        only = None if self._rows is None else self._rows.left
        truth = self._exact(queries, k, None, only).scores
        top, _ = self._fetched(queries, k, min(k + _SLACK, len(self)), None, only)
        good = top.scores >= truth[:, -1:] - rounding(queries, self._longest)[:, None]
        there = truth > -np.inf
        return float((good & there).sum() / max(int(there.sum()), 1))

    def save(self, folder: Path) -> None:
        """Write `index.faiss`, `index.json`, and where FAISS does not hold them the vectors, into a folder."""
        write_index(self._index, self.vectors, folder, rows=self._rows, kind=self.kind, facts=self._facts())

    def _facts(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "parameters": self.parameters,
            "metric": "inner_product",
            "dim": self.dim,
            "count": len(self),
            "recall": self.recall,
            "fingerprint": self.fingerprint,
            "bytes_a_vector": self.bytes_a_vector,
        }

    @classmethod
    def load(cls, folder: Path, *, verify: bool = True) -> Self:
        """Map a saved index into memory.

        Args:
            folder: what `save` wrote.
            verify: compare the digest of the vectors as well, which reads them all once.

        Raises:
            ArtifactError: a file is missing or damaged, or the parts do not belong together.
        """
        index, vectors, rows, facts = read_index(folder)
        loaded = cls(
            index,
            vectors,
            kind=facts["kind"],
            parameters=facts["parameters"],
            recall=facts["recall"],
            fingerprint=facts["fingerprint"],
            rows=rows,
            bytes_a_vector=facts.get("bytes_a_vector", 0),
            mapped=True,
        )
        if verify and vectors_fingerprint(vectors) != loaded.fingerprint:
            raise ArtifactError(
                f"the vectors of {folder / 'index.faiss'} are not those it was built from: build the index again"
            )
        return loaded
