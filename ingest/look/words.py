"""What the name of a column, a class or a label says about its role."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kg.schema import snake_case

USERS = (
    "user", "customer", "member", "reader", "reviewer", "client", "account", "visitor", "listener", "viewer", "buyer",
    "shopper", "subscriber", "player", "student", "session", "uid",
)  # fmt: skip
ITEMS = (
    "item", "movie", "film", "book", "product", "article", "song", "track", "artist", "album", "game", "business",
    "show", "series", "course", "recipe", "restaurant", "hotel", "job", "video", "news", "venue", "place", "poi",
    "beer", "wine", "anime", "paper", "app", "event", "post", "podcast",
)  # fmt: skip
ITEM_CODES = {"isbn": "book", "asin": "product", "sku": "product", "parent_asin": "product", "iid": "item"}
RATINGS = ("rating", "ratings", "score", "stars", "star", "overall", "grade", "preference", "rate")
TIMES = ("timestamp", "time", "date", "datetime", "ts", "created", "at", "when", "day", "unix")
WEIGHTS = ("weight", "count", "plays", "playcount", "quantity", "qty", "clicks", "views", "hours", "amount")
TITLES = ("title", "name", "label")
TEXTS = ("description", "overview", "summary", "plot", "abstract", "synopsis", "text")
TRIPLES = (
    ("head", "relation", "tail"), ("h", "r", "t"), ("subject", "predicate", "object"), ("source", "relation", "target"),
    ("s", "p", "o"), ("from", "relation", "to"),
)  # fmt: skip
RELATIONS = ("relation", "rel", "predicate", "property", "edge", "edge_type", "relation_id", "relation_type", "r", "p")
GENERIC = (
    "target", "tail", "object", "object_uri", "value", "to", "t", "o", "friend_id", "data", "edge", "table", "list",
    "link", "relation", "pair",
)  # fmt: skip
ACTS = ("rated", "rates", "liked", "likes", "bought", "purchased", "watched", "viewed", "clicked", "read", "played",
        "listened", "ordered", "reviewed", "interacted", "visited")  # fmt: skip


def words_of(name: str) -> list[str]:
    """The words of a name: `userId` and `user_id` -> user, id; `userid` -> user, id as well."""
    words = snake_case(name).split("_")
    parts: list[str] = []
    for word in words:
        match = re.fullmatch(r"(.{3,})(id|ids|no|nr|key|code)", word)
        parts += [match[1], match[2]] if match and match[1] in (*USERS, *ITEMS) else [word]
    return parts


def is_one_of(name: str, words: Iterable[str]) -> bool:
    """Whether one of the words is in a name."""
    return not set(words).isdisjoint(words_of(name))


def user_rank(name: str) -> int:
    """How much a name says that it is of users; 0 says nothing."""
    return _rank(name, USERS)


def item_rank(name: str) -> int:
    """How much a name says that it is of items; 0 says nothing."""
    return 3 if snake_case(name) in ITEM_CODES else _rank(name, ITEMS)


def _rank(name: str, words: tuple[str, ...]) -> int:
    parts = words_of(name)
    if not set(words) & set(parts):
        return 0
    if parts[-1] in ("id", "ids", "no", "nr", "key", "code") or len(parts) == 1:
        return 3
    return 1 if parts[-1] in (*TITLES, *TEXTS, *RATINGS) else 2


def item_type(name: str) -> str:
    """The name of a node type after a column of items: `movieId` -> movie, `ISBN` -> book."""
    if snake_case(name) in ITEM_CODES:
        return ITEM_CODES[snake_case(name)]
    return next((word for word in words_of(name) if word in ITEMS), "item")


def type_name(name: str) -> str:
    """The name of a node type after a column: `genre_id` -> genre, `Genres` -> genre."""
    parts = [part for part in words_of(name) if part not in ("id", "ids", "name", "code", "key")] or words_of(name)
    text = re.sub(r"[^a-z0-9_]", "", "_".join(parts)).strip("_") or "value"
    text = text if text[0].isalpha() else f"type_{text}"
    return _singular(text)


def _singular(word: str) -> str:
    """`genres` -> genre, `countries` -> country; `series` and `bus` stay."""
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")) or word in ITEMS:
        return word
    if word.endswith("ies") and word[:-1] not in ITEMS:
        return word[:-3] + "y"
    return word[:-1]
