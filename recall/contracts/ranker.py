"""What orders a batch of candidates again, after the recall stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from recall.contracts.candidates import CandidateBatch
from recall.contracts.query import Query


class Ranker(Protocol):
    """Orders the candidates of a pipeline by features of user, item and request."""

    def fit(self, batches: Sequence[tuple[Query, CandidateBatch]], labels: Sequence[npt.NDArray[np.float32]]) -> Self:
        """Learn from candidates and whether they were taken, one label for each row of each batch; returns itself."""

    def rank(self, queries: Query, batch: CandidateBatch) -> CandidateBatch:
        """The same candidates with new scores and ranks."""

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[Any]:
        """Why pairs of a user and an item, by position, are ranked as they are."""
