"""Generated interactions and triples whose ends follow power laws: few users, items and entities have most of them."""

from __future__ import annotations

import numpy as np

from kg.arrays import IntArray

INTERACTIONS_A_USER, INTERACTIONS_AN_ITEM = 25, 60
RELATIONS = {"made_by": 8, "in_genre": 2000, "part_of": 40}  # items an entity, about


def power_law_pairs(count: int, users: int, items: int) -> tuple[IntArray, IntArray]:
    """Distinct pairs of a user and an item, sorted by user, then item; int64 (count,) each."""
    random = np.random.default_rng(0)
    keys = np.zeros(0, dtype=np.int64)
    while len(keys) < count:
        missing = (count - len(keys)) * 5 // 4
        user = (users * random.random(missing) ** 1.5).astype(np.int64)
        item = (items * random.random(missing) ** 2).astype(np.int64)
        keys = np.unique(np.concatenate([keys, user * items + item]))
    keys = keys[np.sort(random.permutation(len(keys))[:count])]
    return keys // items, keys % items


def entities(items: int, shared: int) -> int:
    """How many entities a relation has, of which each is shared by so many items, about."""
    return max(items // shared, 2)


def power_law_triples(count: int, items: int) -> dict[str, tuple[IntArray, IntArray]]:
    """For each of `RELATIONS` distinct pairs of an item and an entity, a third of `count` less the repeated ones.

    The first entity of each is a hub: a tenth of the triples name it.
    """
    random = np.random.default_rng(1)
    triples = {}
    for name, shared in RELATIONS.items():
        width, number = entities(items, shared), count // len(RELATIONS)
        entity = (width * random.random(number) ** 2).astype(np.int64)
        entity[: number // 10] = 0
        joined = np.unique(random.integers(0, items, number) * width + entity)
        triples[name] = (joined // width, joined % width)
    return triples
