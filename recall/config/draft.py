"""A proposed configuration as commented TOML."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingest.look import Proposal, Section
from recall.config.deployment import RefreshConfig, parse_config

WIDTH = 110


def as_toml(proposal: Proposal) -> str:
    """The sections with what was guessed and what is doubtful as comments."""
    blocks = [
        _comment("Written by `graphrecall init`. Every guess is marked; `graphrecall check` says what becomes of it.")
    ]
    # TOML wants the keys of a table before its sub-tables: graph.nodes stands after graph.
    sections = sorted(proposal.sections, key=lambda section: _place(proposal, section))
    blocks += [_section(section, proposal) for section in sections]
    if proposal.doubts:
        blocks += ["\n".join(_comment(f"Doubt: {doubt}") for doubt in proposal.doubts)]
    return "\n\n".join(blocks) + "\n"


def check_draft(text: str, *, base: Path, name: str) -> RefreshConfig:
    """What the text says, as a refresh would read it.

    Raises:
        ConfigError: it is no good configuration.
    """
    return parse_config(tomllib.loads(text), base=base, name=name)


def _place(proposal: Proposal, section: Section) -> tuple[bool, int]:
    return not section.name.startswith("graph"), proposal.sections.index(section)


def _section(section: Section, proposal: Proposal) -> str:
    lines = [_comment(f"Guess: {section.guess}")]
    lines += [_comment(f"Doubt: {doubt}") for doubt in section.doubts]
    lines.append(f"[[{section.name}]]" if section.is_list else f"[{section.name}]")
    lines += [f"{key} = {_value(value)}" for key, value in section.keys.items()]
    if section.name == "graph" and proposal.rules:
        kept = ", ".join(f"{rule.removeprefix('rating ')}: {count:,}" for rule, count in proposal.rules.items())
        lines.append(_comment(f"How many ratings each rule would keep: {kept}"))
    return "\n".join(lines)


def _comment(text: str) -> str:
    # A file's content must not end the comment.
    plain = "".join(char if char.isprintable() else " " for char in text)
    return "\n".join(f"# {line}" for line in textwrap.wrap(plain, WIDTH))


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)
