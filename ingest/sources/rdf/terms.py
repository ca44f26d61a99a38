"""Terms of RDF as integers, and the facts of a part of a file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_ANONYMOUS = re.compile(r"[a-f][0-9a-f]{27,31}")


class Numbers(dict[Any, int]):
    """Gives each new key the next integer."""

    def __missing__(self, key: Any) -> int:
        number = self[key] = len(self)
        return number


@dataclass(slots=True)
class Batch:
    """Facts of the block being read; thrown away when the block turns out to be bad."""

    edges: list[int] = field(default_factory=list)
    graphs: list[int] = field(default_factory=list)
    literals: list[int] = field(default_factory=list)
    literal_graphs: list[int] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    quoted: int = 0

    @property
    def size(self) -> int:
        """Number of facts."""
        return len(self.edges) // 3 + len(self.values) + self.quoted


class BlankNodes(dict[str, str]):
    """Names of one file's blank nodes: `_:file/label`, so that equal labels of two files stay apart.

    The parser gives nodes without a label ("[]") random ones; they are counted in the order of the file instead, so
    that reading it twice gives the same graph.
    """

    def __init__(self, scope: str) -> None:
        super().__init__()
        self._scope = scope
        self._anonymous = 0

    def __missing__(self, label: str) -> str:
        if _ANONYMOUS.fullmatch(label):
            self._anonymous += 1
            name = f"_:{self._scope}/[{self._anonymous}]"
        else:
            name = f"_:{self._scope}/{label}"
        self[label] = name
        return name


def parser_format(kind: str) -> Any:
    """The parser's name of one of the values of `ingest.sources.rdf.file_names.FORMATS`."""
    from pyoxigraph import RdfFormat

    return {
        "ntriples": RdfFormat.N_TRIPLES,
        "turtle": RdfFormat.TURTLE,
        "rdfxml": RdfFormat.RDF_XML,
        "nquads": RdfFormat.N_QUADS,
        "trig": RdfFormat.TRIG,
    }[kind]


def plain_datatype(datatype: str) -> str:
    """A datatype, "" for plain text."""
    return "" if datatype == "http://www.w3.org/2001/XMLSchema#string" else datatype
