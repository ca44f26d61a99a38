"""RDF that asks a parser for more than it has."""

from __future__ import annotations

from pathlib import Path

HEAD = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:a="http://a/">'
GOOD = b"<http://a/s> <http://a/p> <http://a/o> .\n"


def star(depth: int) -> bytes:
    """A statement about a statement about a statement ..."""
    opening, closing = b"<<( <http://a/s> <http://a/p> ", b")>> "
    return b"<http://a/s> <http://a/p> " + opening * depth + b"<http://a/o> " + closing * depth + b".\n"


def xml(path: Path, inner: str, entities: str = "") -> Path:
    """An RDF/XML file with some entities."""
    path.write_text(f'<?xml version="1.0"?>\n<!DOCTYPE rdf:RDF [\n{entities}]>\n{HEAD}{inner}</rdf:RDF>')
    return path


def exploding_entities(path: Path, *, entities: int, width: int) -> Path:
    """RDF/XML in which each entity stands for the one before so many times."""
    text = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * width if n else "lol"}">\n' for n in range(entities))
    return xml(path, f'<rdf:Description rdf:about="http://a/x"><a:p>&e{entities - 1};</a:p></rdf:Description>', text)


def elements_in_each_other(path: Path, *, depth: int) -> Path:
    """RDF/XML whose elements lie in each other; `depth` pairs of them."""
    return xml(path, "<a:T><a:p>" * depth + "<a:T/>" + "</a:p></a:T>" * depth)


def attributes(path: Path, *, count: int) -> Path:
    """RDF/XML with one element of very many attributes."""
    return xml(path, '<rdf:Description rdf:about="http://a/x" ' + " ".join(f'a:p{n}="v"' for n in range(count)) + "/>")


def entity_in_each_element(path: Path, *, length: int, elements: int) -> Path:
    """RDF/XML whose elements each hold an entity that stands for a long text."""
    return xml(path, "<a:T><a:p>&e;</a:p></a:T>" * elements, f'<!ENTITY e "{"x" * length}">\n')
