"""Keys of the first edition of the configuration, and where they stand now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

PLACES = {"model": "channels.lightgcn", "training": "channels.lightgcn.training"}
OLD_CHANNEL, CHANNEL = "embedding", "lightgcn"


def moved_keys(data: Mapping[str, Any]) -> Iterator[str]:
    """A line for each key that is written at a place of the first edition."""
    for section, place in PLACES.items():
        yield from _moved(data.get(section), section, place)
    fusion = data.get("fusion")
    if isinstance(fusion, Mapping):
        if "channels" in fusion:
            renamed = isinstance(fusion["channels"], list) and OLD_CHANNEL in fusion["channels"]
            note = f', and its channel "{OLD_CHANNEL}" is "{CHANNEL}"' if renamed else ""
            yield f"fusion.channels is pipeline.channels now{note}"
        weights = fusion.get("weights")
        if isinstance(weights, Mapping) and OLD_CHANNEL in weights:
            yield f"fusion.weights.{OLD_CHANNEL} is fusion.weights.{CHANNEL} now"
    tune = data.get("tune")
    if isinstance(tune, Mapping):
        for section, place in PLACES.items():
            yield from _moved(tune.get(section), f"tune.{section}", f"tune.{place}")
        for name in tune["keep"] if isinstance(tune.get("keep"), list) else ():
            section, dot, key = str(name).partition(".")
            if section in PLACES:
                yield f'tune.keep: "{name}" is "{PLACES[section]}{dot}{key}" now'


def _moved(section: Any, old: str, new: str) -> Iterator[str]:
    if isinstance(section, Mapping) and section:
        yield from (f"{old}.{key} is {new}.{key} now" for key in section)
    elif section is not None:
        yield f"{old} is {new} now"
