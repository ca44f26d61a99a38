"""What every type of step is: an operator on items that can say which paths its values are made of."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray

FloatArray = npt.NDArray[np.float64]


class Powers(NamedTuple):
    """Powers of the degrees that a path's worth is divided by.

    Attributes:
        start: of the degree of the item that the path starts at.
        middle: of the degree of the node in the middle.
        end: of the degree of the item that the path ends at; larger values bring rarer items.
    """

    start: float = 0.5
    middle: float = 0.5
    end: float = 0.3


class WalkPaths(NamedTuple):
    """Paths of one type of step that end at one item.

    Attributes:
        row: which of the start items asked for each path begins at, int64 (paths,).
        middle: positions of the nodes between, each within the table of its own type, int64 (paths, hops - 1).
        values: what each path is worth; the sum over the paths of one start is the operator's value, float64 (paths,).
    """

    row: IntArray
    middle: IntArray
    values: FloatArray

    @classmethod
    def none(cls, between: int) -> Self:
        """No paths, with so many nodes between the two ends."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros((0, between), dtype=np.int64), np.zeros(0))


class Step(Protocol):
    """A type of step."""

    def add_reached(self, scores: npt.NDArray[np.float32], start: Any) -> None:
        """Walk from weighted items, and add what each item is worth.

        Args:
            scores: (n, items), changed in place.
            start: CSR (n, items), float32.
        """

    def paths(self, items: IntArray, item: int) -> WalkPaths:
        """The paths from some items to one, by position."""


def divided(counts: npt.NDArray[Any], power: float) -> FloatArray:
    """counts^-power, 0 where the count is 0."""
    result = np.zeros(len(counts))
    there = counts > 0
    result[there] = counts[there].astype(np.float64) ** -power
    return result
