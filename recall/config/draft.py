"""A proposed configuration as commented TOML."""

from __future__ import annotations

import textwrap
import tomllib
from pathlib import Path

from ingest.look import Proposal, Section
from kg.errors import ConfigError
from kg.settings.toml import toml_value
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
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} would be no TOML: {error}") from error
    return parse_config(data, base=base, name=name)


def _place(proposal: Proposal, section: Section) -> tuple[bool, int]:
    return not section.name.startswith("graph"), proposal.sections.index(section)


def _section(section: Section, proposal: Proposal) -> str:
    lines = [_comment(f"Guess: {section.guess}")]
    lines += [_comment(f"Doubt: {doubt}") for doubt in section.doubts]
    lines.append(f"[[{section.name}]]" if section.is_list else f"[{section.name}]")
    lines += [f"{key} = {toml_value(value)}" for key, value in section.keys.items()]
    if section.name == "graph" and proposal.rules:
        kept = ", ".join(f"{rule.removeprefix('rating ')}: {count:,}" for rule, count in proposal.rules.items())
        lines.append(_comment(f"How many ratings each rule would keep: {kept}"))
    return "\n".join(lines)


def _comment(text: str) -> str:
    # A file's content must not end the comment.
    plain = "".join(char if char.isprintable() else " " for char in text)
    return "\n".join(f"# {line}" for line in textwrap.wrap(plain, WIDTH))
