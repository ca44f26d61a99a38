from __future__ import annotations

import numpy as np
import pyarrow as pa

from kg import Interactions
from kg.interactions import NO_TIME


def test_from_edges_fills_missing_times() -> None:
    table = pa.table({"src": [0, 1], "dst": [1, 0], "timestamp": pa.array([5, None], type=pa.int64())})
    interactions = Interactions.from_edges(table, positive=np.array([True, False]))
    assert interactions.timestamp.tolist() == [5, NO_TIME]
    assert not interactions.has_time
    assert interactions.select(np.array([True, False])).has_time
    assert len(interactions.select(np.array([1, 1]))) == 2
    without = Interactions.from_edges(table.drop(["timestamp"]), positive=np.array([True, False]))
    assert without.timestamp.tolist() == [NO_TIME, NO_TIME]
