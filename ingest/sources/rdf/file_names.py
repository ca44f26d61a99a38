"""What the name of an RDF file says: its format, and the base of its relative IRIs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import quote

from kg.errors import InvalidDataError

FORMATS = {
    ".nt": "ntriples",
    ".ntriples": "ntriples",
    ".ttl": "turtle",
    ".turtle": "turtle",
    ".rdf": "rdfxml",
    ".xml": "rdfxml",
    ".owl": "rdfxml",
    ".nq": "nquads",
    ".nquads": "nquads",
    ".trig": "trig",
}


def default_base(name: str) -> str:
    """The base of a file that none is given for: its name, without the folders of this machine.

    Args:
        name: of the file, relative to the configuration.
    """
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
    return "file:///" + quote("/".join(parts))


def format_of(path: Path) -> str:
    """The RDF format that a file name says.

    Raises:
        InvalidDataError: the ending is unknown.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    if suffixes and suffixes[-1] in FORMATS:
        return FORMATS[suffixes[-1]]
    raise InvalidDataError(
        f"{path.name}: no RDF format is known by this name; rename it to one of {', '.join(FORMATS)} (or .gz of "
        "these), or give `format`"
    )
