"""What was added to a graph, removed from it and changed in it, from the graph before and the graph after.

Nodes are compared by external id, edges by the external ids of their ends (and of the user whose trace they are), so
where a node stands in its table makes no difference. What a relation of the same ends has more or fewer of counts as
added or removed; what is left is compared by its other columns.

    change = difference(before, after)
    change.nodes["movie"].added              # positions in the graph after
    change.ids("movie", "removed")           # external ids
    change.edges[key].changed                # rows of the table after; `was` are those of the table before
    change.touched("user")                   # nodes that changed, or whose edges did

Anti-joins in DuckDB give the same rows in twice the time (1,000,000 edges: .75 s, here .38 s), and the rules for equal
values of other types would stay; so sorted codes in NumPy are kept.
"""

from kg.difference.changes import KINDS, Difference, EdgeChange, Kind, NodeChange
from kg.difference.compare import difference

__all__ = ["KINDS", "Difference", "EdgeChange", "Kind", "NodeChange", "difference"]
