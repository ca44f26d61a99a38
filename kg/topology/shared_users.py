"""Users who connect a user's history with an item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kg.arrays import IntArray, RaggedArray
from kg.errors import InvalidDataError
from kg.schema import RelationKey
from kg.topology.adjacency import Adjacency, entries_of


@dataclass(frozen=True)
class SharedUsers:
    """For each history item of a user, how many other users liked it and another item.

    Attributes:
        history: global node numbers of the history items with at least one such user; most users first, ties to the
            smaller number, int64 (n,).
        counts: distinct other users, int64 (n,).
        users: their global node numbers, one list for each history item, or None when not asked for.
    """

    history: IntArray
    counts: IntArray
    users: RaggedArray | None = None


def shared_users(
    adjacency: Adjacency, user: int, item: int, interaction: RelationKey, *, with_users: bool = False
) -> SharedUsers:
    """Count the users who connect a user's history with an item: "12 viewers of both".

    Args:
        adjacency: of a graph with the interaction relation.
        user: global node number of the user.
        item: global node number of the item.
        interaction: relation from users to items; the adjacency holds its positive edges only.
        with_users: also return who; off by default, since they are other people.

    Raises:
        InvalidDataError: the adjacency lacks the relation.
    """
    if interaction not in adjacency.relations:
        raise InvalidDataError(f"the adjacency has no relation {interaction}")
    number = adjacency.relations.index(interaction)

    def others(nodes: IntArray, *, forward: bool) -> tuple[IntArray, IntArray]:
        owner, entry = entries_of(adjacency.offsets, nodes)
        chosen = (adjacency.relation[entry] == number) & (adjacency.forward[entry] == forward)
        return nodes[owner[chosen]], adjacency.neighbour[entry[chosen]]

    _, history = others(np.array([user]), forward=True)
    _, people = others(np.array([item]), forward=False)
    history, people = history[history != item], people[people != user]
    mark = np.zeros(len(adjacency.numbering), dtype=bool)
    if adjacency.degree[number, people].sum() < adjacency.degree[number, history].sum():
        mark[history] = True
        who, liked = others(people, forward=True)
        who, liked = who[mark[liked]], liked[mark[liked]]
    else:
        mark[people] = True
        liked, who = others(history, forward=False)
        who, liked = who[mark[who]], liked[mark[who]]
    shared, row = np.unique(liked, return_inverse=True)
    counts = np.bincount(row, minlength=len(shared)).astype(np.int64)
    order = np.lexsort((shared, -counts))
    users = RaggedArray.from_pairs(row, who, num_rows=len(shared)).take(order) if with_users else None
    return SharedUsers(shared[order], counts[order], users)
