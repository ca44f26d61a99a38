"""English for explanations: safe titles, clauses for edges, sentences for paths."""

from __future__ import annotations

import re

from kg.schema import RelationKey
from kg.topology.paths import Path
from recall.explain.pair import Pair

LONGEST_TITLE = 80
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\s]+")


def clean(title: str) -> str:
    """A title on one line: no control characters, no change of writing direction, not too long."""
    text = _UNPRINTABLE.sub(" ", title).strip()
    return text if len(text) <= LONGEST_TITLE else text[: LONGEST_TITLE - 1].rstrip() + "…"


def plural(phrase: str) -> str:
    """A phrase after "you" or "they": "has rated" becomes "have rated", "likes" becomes "like"."""
    first, _, rest = phrase.partition(" ")
    irregular = {"has": "have", "is": "are", "was": "were", "does": "do", "goes": "go"}
    if first in irregular:
        first = irregular[first]
    elif first.endswith("ies"):
        first = first[:-3] + "y"
    elif first.endswith(("ches", "shes", "sses", "xes")):
        first = first[:-2]
    elif first.endswith("s") and not first.endswith("ss"):
        first = first[:-1]
    return f"{first} {rest}" if rest else first


def other_users(count: int, phrase: str) -> tuple[str, str]:
    """`("1 other user", "likes")` or `("3 other users", "like")`."""
    return (f"{count} other users", plural(phrase)) if count != 1 else ("1 other user", phrase)


def clause(pair: Pair, near: int, far: int, relation: RelationKey, *, forward: bool, center: int | None = None) -> str:
    """An edge in the direction in which the phrase of its relation is meant.

    Args:
        pair: its user is "you".
        near: node number of one end.
        far: node number of the other end.
        relation: of the edge.
        forward: whether the edge leads from `near` to `far`.
        center: a node called "it"; None: every node has its title.
    """
    source, target = (near, far) if forward else (far, near)
    phrase = pair.graph.schema.relations[relation].phrase
    if source == pair.user:
        return f"you {plural(phrase)} {_reference(pair, target, center)}"
    return f"{_reference(pair, source, center)} {phrase} {_reference(pair, target, center)}"


def group_clause(pair: Pair, count: int, relation: RelationKey, *, outgoing: bool, center: int) -> str:
    """The edges between the center and other users, who are counted."""
    phrase = pair.graph.schema.relations[relation].phrase
    who, their_phrase = other_users(count, phrase)
    if outgoing:
        return f"you {plural(phrase)} {who}" if center == pair.user else f"it {phrase} {who}"
    return f"{who} {their_phrase} {'you' if center == pair.user else 'it'}"


def sentence(pair: Pair, path: Path) -> str:
    """Every edge of a path as a clause; two edges of one relation that meet in a node share one."""
    clauses = []
    position = 0
    while position < len(path.steps):
        step = path.steps[position]
        after = path.steps[position + 1] if position + 1 < len(path.steps) else None
        meets = after is not None and after.relation == step.relation and after.forward != step.forward
        text = clause(pair, step.source, step.target, step.relation, forward=step.forward)
        if after is not None and meets and step.source != pair.user:
            third = _reference(pair, after.target)
            text += f", like {third}" if step.forward else f" and {third}"
            position += 1
        clauses.append(text)
        position += 1
    return "; ".join(clauses)


def _reference(pair: Pair, node: int, center: int | None = None) -> str:
    if node == pair.user:
        return "you"
    return "it" if node == center else pair.node_of(node).title
