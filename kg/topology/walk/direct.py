"""From an item straight to another one, along edges of the graph or a list of similar items."""

from __future__ import annotations

from typing import Any

import numpy as np

from kg.arrays import IntArray
from kg.topology.walk.lists import Neighbours
from kg.topology.walk.step import WalkPaths


class DirectStep(Neighbours):
    """A path is one edge, worth its weight."""

    def __init__(self, lists: Any) -> None:
        """From the weights of the edges, CSR (items, items) with sorted columns, float32."""
        super().__init__(lists)

    def paths(self, items: IntArray, item: int) -> WalkPaths:
        """The edges from some items to one."""
        values = self.values(items, item)
        row = np.flatnonzero(values)
        return WalkPaths(row, np.zeros((len(row), 0), dtype=np.int64), values[row])
