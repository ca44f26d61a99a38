"""Writes configurations: the sections of one file, changed, into another file that may lie elsewhere."""

from __future__ import annotations

import copy
import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kg.io.files import write_text
from recall.config.deployment import parse_config

FILE_LISTS = ("files", "train", "valid", "test")


def write_config(
    data: Mapping[str, Any], changes: Mapping[str, Any], target: Path, *, base: Path, heading: str
) -> None:
    """Write a configuration that a refresh takes, and that means the same files wherever it lies; comments are lost.

    Args:
        data: the sections as they were read.
        changes: "channels.ease.weights" -> value.
        target: written anew, whole or not at all.
        base: folder that the paths in `data` are relative to.
        heading: first lines, as comments.

    Raises:
        ConfigError: the result would not be a good configuration.
    """
    import tomli_w

    target = target.resolve()
    changed = _moved(data, base.resolve(), target.parent)
    for name, value in changes.items():
        *sections, key = name.split(".")
        if value is not None:  # TOML has no null; what is None was not in the file
            place = changed
            for section in sections:
                place = place.setdefault(section, {})
            place[key] = value
    parse_config(changed, base=target.parent, name=str(target))
    comment = "".join(f"# {line}\n" for line in heading.splitlines())
    write_text(target, f"{comment}\n{tomli_w.dumps(changed)}")


def _moved(data: Mapping[str, Any], old: Path, new: Path) -> dict[str, Any]:
    """The same sections for a file in another folder."""
    moved: dict[str, Any] = copy.deepcopy(dict(data))
    if old == new:
        return moved
    way = os.path.relpath(old, new)
    for entry in _sources(moved):
        for name in FILE_LISTS:
            if name in entry:
                entry[name] = [_pattern(written, way, old) for written in entry[name]]
    runs = moved.setdefault("runs", {})
    runs["folder"] = _path(runs.get("folder", "runs"), way)
    text = moved.get("text", {})
    # A text model is a name, or a folder where there is one.
    if "model" in text and (old / Path(text["model"]).expanduser()).is_dir():
        text["model"] = _home_or_path(text["model"], way)
    server = moved.get("neo4j", {})
    if "password_file" in server:
        server["password_file"] = _home_or_path(server["password_file"], way)
    return moved


def _sources(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for entries in data.get("sources", {}).values():
        if isinstance(entries, list):
            yield from entries


def _pattern(written: str, way: str, old: Path) -> str:
    """A path, or a pattern, whose brackets and stars must stay the only ones (ingest.configured.base)."""
    is_pattern = glob.has_magic(written) and not (old / written).exists()
    return _path(written, glob.escape(way) if is_pattern else way)


def _home_or_path(written: str, way: str) -> str:
    return written if written.startswith("~") else _path(written, way)


def _path(written: str, way: str) -> str:
    return (Path(way) / written).as_posix()  # an absolute path stays what it is
