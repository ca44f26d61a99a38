"""Items liked by the same users: cosine item-kNN (Sarwar et al., WWW 2001; Deshpande & Karypis, TOIS 2004)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix, diags

from kg.topology.walk import largest
from recall.channels.aged import AgedConfig
from recall.channels.base import as_matrix
from recall.channels.neighbours import NeighbourChannel
from recall.contracts import FitData

_BLOCK = 2048


class ItemKNNConfig(AgedConfig):
    """Hyper-parameters of the item kNN: items liked by the same users."""

    section: ClassVar[str] = "channels.item_knn"

    neighbours: int = Field(default=100, ge=1, description="Most similar items kept for each item.")
    shrinkage: float = Field(
        default=10.0,
        ge=0,
        description="Added to the denominator, in users: pulls similarities that few users support towards 0.",
    )
    mean: bool = Field(
        default=False,
        description="Divide by the sum of the similarities of an item's neighbours, so that the score is the share of "
        "them that is liked (the weighted sum of Sarwar et al.); without, the plain sum (Deshpande and Karypis).",
    )


class ItemKNN(NeighbourChannel):
    """s_ij = |users who like both| / (sqrt(|users of i| |users of j|) + shrinkage), divided by its sum if so wished."""

    name: ClassVar[str] = "item_knn"
    config_type: ClassVar[type[Any]] = ItemKNNConfig

    def _neighbours(self, data: FitData) -> Iterator[Any]:
        liked = as_matrix(data.history.liked, data.history.num_items)
        by_item = liked.T.tocsr()
        root = np.sqrt(np.diff(by_item.indptr))
        for start in range(0, liked.shape[1], _BLOCK):
            stop = min(start + _BLOCK, liked.shape[1])
            both = (by_item[start:stop] @ liked).tocoo()
            other = both.col != both.row + start
            row, column, count = both.row[other], both.col[other], both.data[other]
            value = count / (root[row + start] * root[column] + self.config.shrinkage)
            kept = largest(csr_matrix((value, (row, column)), shape=both.shape), self.config.neighbours)
            if self.config.mean:
                total = np.asarray(kept.sum(axis=1)).ravel()
                kept = diags(np.divide(1, total, out=np.zeros_like(total), where=total > 0)) @ kept
            yield kept
