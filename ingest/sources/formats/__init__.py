"""Published data sets in the formats in which they are passed around: what each of their files says, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ingest.settings import DatasetFormat
from ingest.sources.formats import amazon, kgat, lastfm, movielens, recbole
from ingest.sources.formats.parts import (
    AttributesPart,
    DatasetFiles,
    EdgesPart,
    EventsPart,
    InteractionsPart,
    Part,
    Roles,
)

READERS: dict[DatasetFormat, Callable[[DatasetFiles, Roles], Iterator[Part]]] = {
    "recbole": recbole.read,
    "kgat": kgat.read,
    "movielens": movielens.read,
    "lastfm": lastfm.read,
    "amazon": amazon.read,
}

__all__ = [
    "READERS",
    "AttributesPart",
    "DatasetFiles",
    "EdgesPart",
    "EventsPart",
    "InteractionsPart",
    "Part",
    "Roles",
]
