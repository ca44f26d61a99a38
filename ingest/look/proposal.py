"""What a configuration of some files and perhaps a database would say: sections, guesses and doubts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Section:
    """A section of a configuration.

    Attributes:
        name: "graph", "sources.interactions".
        keys: what it says.
        guess: what it is taken for, for a person.
        doubts: what may be wrong about it.
        is_list: whether there may be several.
    """

    name: str
    keys: dict[str, Any]
    guess: str
    doubts: list[str] = field(default_factory=list)
    is_list: bool = False


@dataclass(slots=True)
class Proposal:
    """A configuration that nobody has checked yet.

    Attributes:
        sections: in the order in which they are written; the first is `graph`.
        doubts: about no section in particular.
        rules: rule for positives -> how many interactions it keeps, where there are grades.
    """

    sections: list[Section] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    rules: dict[str, int] = field(default_factory=dict)

    @property
    def graph(self) -> Section:
        """The section `graph`."""
        return self.sections[0]

    def rename(self, old: str, new: str) -> None:
        """Give a node type another name, wherever it stands."""
        for section in self.sections:
            for key in ("user", "item", "node", "source", "target"):
                if section.keys.get(key) == old:
                    section.keys[key] = new
            if section.name == f"graph.nodes.{old}":
                section.name = f"graph.nodes.{new}"

    def add(self, name: str, keys: dict[str, Any], guess: str, doubts: Sequence[str] = (), *, is_list: bool) -> Section:
        """Add a section."""
        section = Section(name, keys, guess, list(doubts), is_list)
        self.sections.append(section)
        return section
