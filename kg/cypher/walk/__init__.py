"""Cypher for typed walks: the score of a pair, path by path, and who else is reached, best first.

The database gives edges, degrees and likes. What it cannot know comes with the rows that a walk starts from: ages, the
places of items in sequences, cosines of texts, and which ends the cut lists of neighbours still hold.
"""

from kg.cypher.walk.reached import reached_parts_query, reached_query
from kg.cypher.walk.rules import (
    DirectRule,
    NextRule,
    Part,
    Popularity,
    RelationRule,
    Rule,
    StatedRule,
    StatedTextRule,
    TextRule,
    UsersRule,
)
from kg.cypher.walk.score import score_query

__all__ = [
    "DirectRule",
    "NextRule",
    "Part",
    "Popularity",
    "RelationRule",
    "Rule",
    "StatedRule",
    "StatedTextRule",
    "TextRule",
    "UsersRule",
    "reached_parts_query",
    "reached_query",
    "score_query",
]
