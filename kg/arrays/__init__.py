"""Integer arrays: a list of values for each row, the index of pairs, and sorted values without repeats."""

from kg.arrays.integers import IntArray, distinct
from kg.arrays.pairs import PairIndex
from kg.arrays.ragged import RaggedArray, offsets_of, places, ranges

__all__ = ["IntArray", "PairIndex", "RaggedArray", "distinct", "offsets_of", "places", "ranges"]
