"""Relations of the movie graphs that `tests/conftest.py` makes."""

from __future__ import annotations

from kg import RelationKey

RATED = RelationKey("user", "rated", "movie")
TAGGED = RelationKey("user", "tagged", "movie")
GENRE = RelationKey("movie", "genre", "genre")
DIRECTOR = RelationKey("movie", "director", "person")
STARRING = RelationKey("movie", "starring", "person")
SEQUEL = RelationKey("movie", "sequel_of", "movie")
HAS_TAG = RelationKey("movie", "has_tag", "tag")
