"""What a query has to know of each type of step, and the rows that it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from kg.schema import RelationKey
from kg.topology.walk import Powers

Way = tuple[tuple[RelationKey, bool], ...]
"""Relation and direction of each hop, from an item on."""


class Popularity(NamedTuple):
    """What the likes of an item add to its score: weight * likes^power."""

    weight: float
    power: float

    def times(self, factor: float) -> Popularity:
        """The same times a factor."""
        return Popularity(self.weight * factor, self.power)


NOT_POPULAR = Popularity(0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A type of step.

    Attributes:
        name: what the rows of the answer call it.
        weight: that each path is multiplied by.
    """

    name: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersRule(Rule):
    """Through users, see `kg.topology.walk.UserStep`.

    Attributes:
        powers: of the likes of the start, of the user, and of the end.
        longest: likes up to which a user is walked through.
    """

    powers: Powers
    longest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRule(Rule):
    """To what users liked next, see `kg.topology.walk.FollowingStep`.

    Attributes:
        powers: of the likes of the start, of the user, and of the end.
    """

    powers: Powers


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationRule(Rule):
    """Through entities that both items are joined to, see `kg.topology.walk.EntityStep`.

    Attributes:
        way: one hop or two, from an item to the entity.
        powers: see the class.
        rarity: see the class.
        likes: power of 1 + likes of the end.
        cut: items keep only some of the entities that they reach, so that how many a node is joined to comes with the
            rows; only of ways of two hops.
    """

    way: Way
    powers: Powers
    rarity: float = 0.0
    likes: float = 0.0
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedRule(RelationRule):
    """A relation of one hop that is walked from entities which a request names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectRule(Rule):
    """Along an edge from one item to another.

    Attributes:
        way: the hop.
        powers: of the number of ends of the start, and of the number of starts of the end.
        likes: power of 1 + likes of the end.
    """

    way: Way
    powers: Powers
    likes: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRule(Rule):
    """To items with similar texts.

    Attributes:
        power: of the cosine.
        likes: power of 1 + likes of the end.
    """

    power: float
    likes: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedTextRule(TextRule):
    """From the text of a request to items with similar texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A type of step with the rows that the walk starts from.

    Each row has the `id` of an item and its `age`, how much it counts. Further columns, for a pair:

    - `NextRule`: `worth`, the sum of decay^(gap - 1) over what one user did, and `user`, the id of that user; or the
      sum of `worth` over all users, each with the power of that user's likes, and `users`, how many they are.
    - `RelationRule` that is cut: `entity`, id of an entity that both items keep, `d_start`, how many the start keeps,
      `d_middle`, how many items keep it, and `d_end`, how many the end keeps.
    - `TextRule`: `cosine`. A row of a `StatedTextRule` has no other column.
    - `StatedRule`: `id` is that of the entity, and `age` what stating it counts.

    In a ranking the rows of `NextRule` and of both text rules have the `id` of an end and its `worth`: what the starts
    give it, but for the powers of the end's degree and likes.

    Attributes:
        rule: the type of step.
        rows: where it starts.
    """

    rule: Rule
    rows: Sequence[Mapping[str, Any]]

    def times(self, factor: float) -> Part:
        """The same with every path worth so many times as much."""
        return replace(self, rule=replace(self.rule, weight=self.rule.weight * factor))
