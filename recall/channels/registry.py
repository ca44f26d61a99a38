"""All kinds of channels by name: those built in, and those that other packages add.

Another package adds a channel by an entry point of the group `graphrecall.channels`, whose name is the channel's:

    [project.entry-points."graphrecall.channels"]
    stroll = "my_package.stroll:Stroll"
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

from kg.errors import ConfigError
from kg.settings import Settings
from recall.channels.attribute_knn import AttributeKNN
from recall.channels.bert4rec import BERT4RecChannel
from recall.channels.cheby import ChebyCF
from recall.channels.content_knn import ContentKNN
from recall.channels.ease import EASE
from recall.channels.gcn import GCNChannel
from recall.channels.gru4rec import GRU4RecChannel
from recall.channels.item_knn import ItemKNN
from recall.channels.lightgcn import LightGCNChannel
from recall.channels.narm import NARMChannel
from recall.channels.overlooked import Overlooked
from recall.channels.popularity import Popularity
from recall.channels.rp3beta import RP3Beta
from recall.channels.sasrec import SASRecChannel
from recall.channels.segment import SegmentPopularity
from recall.channels.spectral import Spectral
from recall.channels.text_interest import TextInterest
from recall.channels.trends import Recent, Trending
from recall.channels.user_knn import UserKNN
from recall.channels.walk import Walk
from recall.contracts import Channel

GROUP = "graphrecall.channels"
OWN = "graphrecall"
BUILT_IN: tuple[type[Channel], ...] = (
    LightGCNChannel,
    GCNChannel,
    SASRecChannel,
    BERT4RecChannel,
    GRU4RecChannel,
    NARMChannel,
    EASE,
    ItemKNN,
    UserKNN,
    RP3Beta,
    ChebyCF,
    Spectral,
    ContentKNN,
    TextInterest,
    AttributeKNN,
    Walk,
    Popularity,
    Recent,
    Trending,
    SegmentPopularity,
    Overlooked,
)

_NEEDED = (
    "config_type",
    "capabilities",
    "recipe",
    "facts",
    "item_vectors",
    "fit",
    "score",
    "attribute",
    "save",
    "load",
)


class _Entry(NamedTuple):
    """A channel of a package, or why it cannot be used."""

    package: str
    kind: type[Channel] | None
    problem: str = ""


_entries: dict[str, list[_Entry]] = {kind.name: [_Entry(OWN, kind)] for kind in BUILT_IN}


def register(kind: type[Channel], *, package: str = OWN) -> type[Channel]:
    """Add a kind of channel under its name; returns it, so that it can be a decorator.

    Raises:
        ConfigError: there is another channel of that name.
    """
    there = _all().setdefault(kind.name, [])
    if there:
        raise ConfigError(_twice(kind.name, [*there, _Entry(package, kind)]))
    there.append(_Entry(package, kind))
    return kind


def channel_class(name: str) -> type[Channel]:
    """The kind of channel of a name.

    Raises:
        ConfigError: there is none, its package cannot be imported, or two packages have one of that name.
    """
    entries = _all().get(name, [])
    if not entries:
        raise ConfigError(f"there is no channel {name!r}; there are {', '.join(registered())}")
    if len(entries) > 1:
        raise ConfigError(_twice(name, entries))
    (entry,) = entries
    if entry.kind is None:
        raise ConfigError(_broken(name, entry))
    return entry.kind


def package_of(name: str) -> str:
    """The package that has the channel of a name.

    Raises:
        ConfigError: see `channel_class`.
    """
    channel_class(name)
    return _all()[name][0].package


def registered() -> dict[str, type[Channel]]:
    """All kinds of channels that can be used, by name."""
    return {
        name: entries[0].kind for name, entries in _all().items() if len(entries) == 1 and entries[0].kind is not None
    }


def unusable() -> dict[str, str]:
    """Why channels cannot be used, by name: their package is broken, or two packages have one of that name."""
    problems = {}
    for name, entries in _all().items():
        if len(entries) > 1:
            problems[name] = _twice(name, entries)
        elif entries[0].kind is None:
            problems[name] = _broken(name, entries[0])
    return problems


def _broken(name: str, entry: _Entry) -> str:
    return f"the channel {name!r} of the package {entry.package} cannot be used: {entry.problem}"


def _twice(name: str, entries: list[_Entry]) -> str:
    packages = " and ".join(entry.package for entry in entries)
    return f"there are two channels {name!r}, of the packages {packages}: uninstall one of them"


def _all() -> dict[str, list[_Entry]]:
    _load_plugins()
    return _entries


@cache
def _load_plugins() -> None:
    for point in entry_points(group=GROUP):
        _entries.setdefault(point.name, []).append(_loaded(point))


def _loaded(point: EntryPoint) -> _Entry:
    package = point.dist.name if point.dist is not None else point.value
    try:
        kind: Any = point.load()
    except Exception as error:  # whatever the other package raises: the other channels go on
        return _Entry(package, None, f"importing {point.value} failed with {type(error).__name__}: {error}")
    if getattr(kind, "name", None) != point.name:
        return _Entry(package, None, f"{point.value} has no attribute name = {point.name!r}")
    if lacking := [part for part in _NEEDED if not hasattr(kind, part)]:
        return _Entry(package, None, f"{point.value} lacks {', '.join(lacking)}; see recall.contracts.Channel")
    if not (isinstance(kind.config_type, type) and issubclass(kind.config_type, Settings)):
        return _Entry(package, None, f"the config_type of {point.value} is no subclass of kg.settings.Settings")
    try:
        kind.config_type()
    except ConfigError as error:
        return _Entry(package, None, f"every key of its config_type needs a default: {error}")
    return _Entry(package, kind)
