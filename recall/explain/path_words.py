"""English for paths that carry a share of the score: one sentence for each path, or for many that say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kg.schema import RelationKey, Schema
from kg.topology.paths import Shape
from recall.contracts import REQUEST_TEXT, StepKind
from recall.explain.entries import Node
from recall.explain.pair import Pair
from recall.explain.wording import other_users, plural

NAMED = 2
"""How many of several nodes a sentence names; the others are counted."""
REQUEST = Node("", "", "what you asked for")


@dataclass(frozen=True, slots=True)
class Route:
    """The paths that a sentence is about.

    Attributes:
        kind: by what they lead.
        shape: relation and direction of each hop.
        starts: nodes that they begin at, largest share first.
        ways: the nodes between the first and the item, (hops - 1,) of each way, largest share first; other people are
            left out.
        people: how many other people are on them.
    """

    kind: StepKind
    shape: Shape
    starts: Sequence[int]
    ways: Sequence[tuple[int, ...]]
    people: int


def sentence_of(pair: Pair, route: Route) -> str:
    """What the paths say."""
    if not route.shape:
        return _text(pair, route)
    if route.kind == StepKind.ATTRIBUTE:
        return _attribute(pair, route)
    if route.kind == StepKind.NEXT:
        return _next(pair, route)
    if route.people:
        return _people(pair, route)
    if len(route.shape) == 1:
        return _direct(pair, route)
    if _mirrored(route.shape):
        return _shared(pair, route)
    return _chain(pair, route)


def listing(titles: Sequence[str], total: int, joint: str, more: str = "") -> str:
    """`Alien`, `Alien or Aliens`, `Alien, Aliens or 21 more of your movies`.

    Args:
        titles: at least one, those to name.
        total: how many there are in all.
        joint: "and" or "or".
        more: what follows the number of those that are not named, such as " of your movies".
    """
    hidden = total - len(titles)
    if hidden:
        return f"{', '.join(titles)} {joint} {hidden} more{more}"
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} {joint} {titles[-1]}"


def nouns(schema: Schema, node_type: str, count: int) -> str:
    """What the schema calls nodes of a type: `movie`, `movies`."""
    word = schema.node_types[node_type].noun
    if count == 1:
        return word
    if word.endswith("person"):
        return word[: -len("person")] + "people"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")


def _liking(pair: Pair, kind: StepKind) -> str:
    """What the person did with the items that paths begin at, such as "liked"."""
    interaction = pair.graph.schema.interaction
    phrase = "likes" if interaction is None else pair.graph.schema.relations[interaction].phrase
    return plural(phrase) if kind != StepKind.DISLIKE else "did not like"


def _names(pair: Pair, nodes: Sequence[int], joint: str, more: str = "") -> str:
    return listing([pair.node_of(node).title for node in nodes[:NAMED]], len(nodes), joint, more)


def _starts(pair: Pair, route: Route, joint: str) -> str:
    return _names(pair, route.starts, joint, f" of your {_items(pair, 2)}")


def _this(pair: Pair) -> str:
    return f"this {_items(pair, 1)}"


def _text(pair: Pair, route: Route) -> str:
    starts = [node for node in route.starts if node != REQUEST_TEXT]
    asked = len(starts) < len(route.starts)
    if not starts:
        return f"its description is close to {REQUEST.title}"
    also = f" and to {REQUEST.title}" if asked else ""
    of = "that of" if len(starts) == 1 else "those of"
    names = _names(pair, starts, "and", f" of your {_items(pair, 2)}")
    against = ", which you did not like" if route.kind == StepKind.DISLIKE else ""
    return f"its description is close to {of} {names}{against}{also}"


def _attribute(pair: Pair, route: Route) -> str:
    names = _names(pair, route.starts, "and")
    key, forward = route.shape[-1]
    phrase = pair.graph.schema.relations[key].phrase
    if len(route.shape) > 1:
        return f"{names}, as you asked, {'leads' if len(route.starts) == 1 else 'lead'} to it{_by_way(pair, route)}"
    if forward:  # from the attribute to the item
        return f"{names} {phrase if len(route.starts) == 1 else plural(phrase)} it, as you asked"
    return f"it {phrase} {names}, as you asked"


def _crowd(pair: Pair, route: Route) -> tuple[str, str]:
    """Other people, counted, and what they did."""
    key: RelationKey = route.shape[0][0]
    _, phrase = other_users(route.people, pair.graph.schema.relations[key].phrase)
    return ("1 person" if route.people == 1 else f"{route.people} people"), phrase


def _against(route: Route) -> str:
    return ", which you did not like," if route.kind == StepKind.DISLIKE else ""


def _next(pair: Pair, route: Route) -> str:
    who, phrase = _crowd(pair, route)
    return f"{who} who {phrase} {_starts(pair, route, 'or')} went on to it"


def _people(pair: Pair, route: Route) -> str:
    who, phrase = _crowd(pair, route)
    _, then = other_users(route.people, pair.graph.schema.relations[route.shape[-1][0]].phrase)
    return f"{who} who {phrase} {_starts(pair, route, 'or')}{_against(route)} also {then} it"


def _direct(pair: Pair, route: Route) -> str:
    key, forward = route.shape[0]
    phrase = pair.graph.schema.relations[key].phrase
    names, liking = _starts(pair, route, "and"), _liking(pair, route.kind)
    if forward:
        return f"{names}, which you {liking}, {phrase if len(route.starts) == 1 else plural(phrase)} it"
    return f"it {phrase} {names}, which you {liking}"


def _mirrored(shape: Shape) -> bool:
    """Whether the second hop is the first one back: the two ends share a neighbour."""
    return len(shape) == 2 and shape[0][0] == shape[1][0] and shape[0][1] != shape[1][1]


def _shared(pair: Pair, route: Route) -> str:
    key, forward = route.shape[0]
    phrase = pair.graph.schema.relations[key].phrase
    count, liking = len(route.starts), _liking(pair, route.kind)
    shared = _names(pair, [way[0] for way in route.ways], "or" if forward and count > 1 else "and")
    few = _names(pair, route.starts, "and")
    if not forward:
        theirs = phrase if len(route.ways) == 1 else plural(phrase)
        items = f"{few}, which you {liking}" if count <= NAMED else f"{count} {_items(pair, count)} that you {liking}"
        return f"{shared} {theirs} {items}, and {_this(pair)}"
    if count > NAMED:
        return f"{count} {_items(pair, count)} that you {liking} {plural(phrase)} {shared}, like this one"
    return f"you {liking} {few}, which {phrase if count == 1 else plural(phrase)} {shared}, like {_this(pair)}"


def _chain(pair: Pair, route: Route) -> str:
    liking, count = _liking(pair, route.kind), len(route.starts)
    if count > NAMED:
        return f"{count} {_items(pair, count)} that you {liking} lead to it{_by_way(pair, route)}"
    names = _names(pair, route.starts, "and")
    return f"you {liking} {names}, which {'leads' if count == 1 else 'lead'} to it{_by_way(pair, route)}"


def _by_way(pair: Pair, route: Route) -> str:
    """The nodes on the way, of one way; of several, the last before the item of each."""
    if not route.ways or not route.ways[0]:
        return ""
    if len(route.ways) == 1:
        return " by way of " + ", ".join(pair.node_of(node).title for node in route.ways[0])
    last = list(dict.fromkeys(way[-1] for way in route.ways))
    return f" by way of {_names(pair, last, 'or')}"


def _items(pair: Pair, count: int) -> str:
    return nouns(pair.graph.schema, pair.graph.schema.item_type, count)
