"""Typed walks from items to items: for each type of step a sparse operator, and the paths behind each of its values.

The value of an operator at (j, i) is a sum over paths j -> x -> i of one type, each the product of what its two steps
are worth. Nothing here is dense, or quadratic in the edges of one entity: users with very many items are left out by a
stated rule, lists of neighbours are cut at a stated length, and relations to entities stay two factors.
"""

from kg.topology.walk.direct import DirectStep
from kg.topology.walk.entities import EntityStep, Incidence
from kg.topology.walk.following import FollowingStep
from kg.topology.walk.lists import Neighbours, add_product, largest
from kg.topology.walk.step import Powers, Step, WalkPaths
from kg.topology.walk.users import UserStep

__all__ = [
    "DirectStep",
    "EntityStep",
    "FollowingStep",
    "Incidence",
    "Neighbours",
    "Powers",
    "Step",
    "UserStep",
    "WalkPaths",
    "add_product",
    "largest",
]
