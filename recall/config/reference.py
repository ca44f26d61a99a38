"""The configuration explained: its JSON schema, and a reference of all keys made from it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from recall.config.deployment import RefreshConfig

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Its keys repeat those of the channels, each with a range for a value.
ONE_ENTRY = "tune.channels"

_TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "none"}
_LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
_REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of the configuration.

    Attributes:
        key: its name in the section.
        type: the values it takes, in words.
        default: as TOML, "required", or empty where nothing is the default.
        description: what it means.
    """

    key: str
    type: str
    default: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section of the configuration, or the keys outside of any.

    Attributes:
        header: as in TOML, `[split]` or `[[sources.rdf]]`; empty for the keys outside of sections.
        description: what it is about.
        entries: its keys.
    """

    header: str
    description: str
    entries: tuple[Entry, ...]


def schema() -> dict[str, Any]:
    """The JSON schema of a configuration, for the completion of editors."""
    return {"$schema": DIALECT, **RefreshConfig.model_json_schema()}


def sections() -> list[Section]:
    """All keys, section by section, in the order of the classes."""
    whole = schema()
    return list(_sections(whole, whole["$defs"], "", "", "Keys at the top of the file, before any section."))


def as_text(width: int = 100) -> str:
    """The reference for a terminal."""
    lines: list[str] = []
    for section in sections():
        lines += [section.header, *_wrapped(section.description, width, "# "), ""] if section.header else []
        for entry in section.entries:
            default = f", default {entry.default}" if entry.default not in ("", _REQUIRED) else ""
            needed = f", {_REQUIRED}" if entry.default == _REQUIRED else ""
            lines.append(f"  {entry.key}: {entry.type}{default}{needed}")
            lines += _wrapped(entry.description, width, "      ")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def as_markdown() -> str:
    """The reference as a page of the documentation."""
    lines = [
        "# Configuration",
        "",
        "Every key of the TOML file of a deployment. This page is written by `graphrecall config reference --format "
        "markdown`;",
        "`graphrecall config schema` prints the JSON schema, with which an editor completes and checks the file.",
    ]
    for section in sections():
        title = f"`{section.header}`" if section.header else "Top of the file"
        lines += ["", f"## {title}", "", section.description]
        if section.entries:
            lines += ["", "| key | values | default | meaning |", "|---|---|---|---|"]
            lines += [
                f"| `{entry.key}` | {_cell(entry.type)} | {_default_cell(entry.default)} | {_cell(entry.description)} |"
                for entry in section.entries
            ]
    return "\n".join(lines) + "\n"


def _sections(
    node: Mapping[str, Any],
    definitions: Mapping[str, Any],
    place: str,
    header: str,
    description: str,
    above: tuple[Mapping[str, Any], ...] = (),
) -> Iterator[Section]:
    """The section of a node of the schema, then those within it; one that holds others like itself is told once."""
    above = (*above, node)
    entries, inner = [], []
    for name, field in node.get("properties", {}).items():
        key = f"{place}.{name}" if place else name
        target, kind = _section_of(field, definitions)
        about = str(field.get("description") or target.get("description", ""))
        repeated = any(target is outer for outer in above)
        if key != ONE_ENTRY and "properties" in target and not repeated:
            below = f"{key}.NAME" if kind == "table" else key
            inner.append((target, below, f"[[{below}]]" if kind == "list" else f"[{below}]", about))
        else:
            default = _REQUIRED if name in node.get("required", ()) else _default(field.get("default"))
            type_ = "table of ranges" if key == ONE_ENTRY else f"{kind} of such tables" if repeated else _type(field)
            entries.append(Entry(key=name, type=type_, default=default, description=about))
    yield Section(header=header, description=description, entries=tuple(entries))
    for target, below, its_header, about in inner:
        yield from _sections(target, definitions, below, its_header, about, above)


def _section_of(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """What a field holds, and how: itself, or a "list" or a "table" of it."""
    if "$ref" in field:
        return definitions[field["$ref"].rpartition("/")[2]], "section"
    if "anyOf" in field:
        options = [option for option in field["anyOf"] if option.get("type") != "null"]
        return _section_of(options[0], definitions) if len(options) == 1 else ({}, "section")
    if field.get("type") == "array" and isinstance(field.get("items"), Mapping):
        return _section_of(field["items"], definitions)[0], "list"
    if isinstance(field.get("additionalProperties"), Mapping):
        return _section_of(field["additionalProperties"], definitions)[0], "table"
    return field, "section"


def _type(field: Mapping[str, Any]) -> str:
    """The values of a field in words."""
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"] if option.get("type") != "null")
    if "enum" in field or "const" in field:
        return " or ".join(_toml(value) for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        inner = field.get("items", {})
        return f"list of {_type(inner)}" if inner else "list"
    if field.get("type") == "object":
        inner = field.get("additionalProperties")
        return f"table of {_type(inner)}" if isinstance(inner, Mapping) else "table"
    if field.get("format") == "path":
        return "path"
    if field.get("maxLength") == 1:
        return "one character"
    limits = [f"{words} {field[name]:g}" for name, words in _LIMITS.items() if name in field]
    return ", ".join([_TYPES.get(str(field.get("type")), "value"), *([" and ".join(limits)] if limits else [])])


def _default(value: Any) -> str:
    return "" if value is None else _toml(value)


def _toml(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if value != int(value) else f"{value:.1f}"
    if isinstance(value, list):
        return f"[{', '.join(_toml(entry) for entry in value)}]"
    return json.dumps(value, ensure_ascii=False)


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _default_cell(default: str) -> str:
    return default if default in ("", _REQUIRED) else f"`{_cell(default)}`"
