"""Filters on what the graph says of items: `year >= 1990 and genre in ["Drama"] and not has_tag "slow"`.

`where` makes a filter in Python, `parse_filter` reads a text, `ItemFilters` finds the items of a graph that pass.
"""

from recall.control.filters.expression import Filter, Moment, Now, where
from recall.control.filters.grammar import parse_filter
from recall.control.filters.selection import ItemFilters

__all__ = ["Filter", "ItemFilters", "Moment", "Now", "parse_filter", "where"]
