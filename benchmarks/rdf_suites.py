"""The W3C test suites of N-Triples, N-Quads, Turtle, TriG and RDF/XML, read as sources are.

    python -m benchmarks rdf_suites --data DIR

`DIR` is a copy of https://github.com/w3c/rdf-tests, or a folder of it. Every `manifest.ttl` below it is a suite. A test
is right when a valid file is read (and gives the triples that the suite expects, blank nodes counted by what they are
joined with), or an invalid one is refused with file and place. Files without a triple are valid, but no source: their
refusal as empty is right.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urljoin
from xml.etree.ElementTree import ParseError, canonicalize

import rdflib

from ingest.report import QualityReport
from ingest.sources.rdf.reader import RdfReader
from kg.errors import InvalidDataError

TEST = rdflib.Namespace("http://www.w3.org/2001/sw/DataAccess/tests/test-manifest#")
FORMATS = {
    "NTriples": "ntriples",
    "NQuads": "nquads",
    "Turtle": "turtle",
    "Trig": "trig",
    "XML": "rdfxml",
}
XML_LITERAL = "http://www.w3.org/1999/02/22-rdf-syntax-ns#XMLLiteral"
EMPTY = "is empty: it holds no triple"


@dataclass(frozen=True, slots=True)
class Case:
    """A test of a suite.

    Attributes:
        name: of the test.
        format: of the file.
        valid: whether it is to be read.
        file: to be read.
        base: of its relative IRIs.
        result: the triples that it gives; None where the suite does not say.
    """

    name: str
    format: str
    valid: bool
    file: Path
    base: str
    result: Path | None


@dataclass(slots=True)
class Count:
    """What became of the tests of a suite."""

    accepted: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)


def cases(manifest: Path) -> Iterator[Case]:
    """The tests of a manifest that are of a format this package reads."""
    graph = rdflib.Graph().parse(manifest, format="turtle", publicID=manifest.as_uri())
    base = next(graph.objects(None, TEST.assumedTestBase), None)
    for test, action in graph.subject_objects(TEST.action):
        kinds = [str(kind).rpartition("#")[2] for kind in graph.objects(test, rdflib.RDF.type)]
        match = next(
            filter(None, (re.fullmatch(r"Test(NTriples|NQuads|Turtle|Trig|XML)(\w+)", k) for k in kinds)), None
        )
        if match is None or "C14N" in match[2] or not str(action).startswith("file:"):
            continue
        file = _path(str(action))
        result = next(graph.objects(test, TEST.result), None)
        yield Case(
            name=str(test).rpartition("#")[2],
            format=FORMATS[match[1]],
            valid="Negative" not in match[2],
            file=file,
            base=urljoin(str(base), file.relative_to(manifest.parent).as_posix()) if base else file.as_uri(),
            result=None if result is None else _path(str(result)),
        )


def _path(uri: str) -> Path:
    return Path(unquote(uri.removeprefix("file://")))


def check(case: Case, count: Count) -> None:
    """Read the file of a test and count what became of it."""
    try:
        triples = read(case.file, case.format, case.base)
    except InvalidDataError as error:
        empty = EMPTY in str(error)
        if case.valid and not empty:
            count.wrong.append(f"{case.name}: refused: {error}")
        elif (
            not case.valid
            and not empty
            and not re.search(rf"{re.escape(case.file.name)}(:\d+|, after \d+)", str(error))
        ):
            count.wrong.append(f"{case.name}: refused without a place: {error}")
        elif case.valid:
            count.accepted += 1
        elif empty:
            count.wrong.append(f"{case.name}: an invalid file was taken for an empty one")
        else:
            count.refused += 1
        return
    if not case.valid:
        count.wrong.append(f"{case.name}: an invalid file was read")
    elif case.result is not None and triples != _expected(case):
        count.wrong.append(f"{case.name}: read, but other triples than the suite says")
    else:
        count.accepted += 1


def _expected(case: Case) -> Counter[tuple[str, ...]]:
    if case.result is None:
        return Counter()
    kind = "nquads" if case.result.suffix == ".nq" else "ntriples"
    try:
        return read(case.result, kind, "")
    except InvalidDataError as error:
        if EMPTY in str(error):
            return Counter()
        raise


def read(file: Path, format: str, base: str) -> Counter[tuple[str, ...]]:
    """The triples of a file, without the names of blank nodes; with quoted triples (RDF 1.2) it has none."""
    report = QualityReport()
    reader = RdfReader(report, strict=True)
    reader.read_file(file, name=file.name, format=format, base=base or None)
    t = reader.finish()
    if "quoted triples" in report.findings:
        return Counter()
    terms = ["_:" if term.startswith("_:") else term for term in t.terms]
    graphs = [terms[g] if g >= 0 else "" for g in (*t.graph.tolist(), *t.literal_graph.tolist())]
    rows = [tuple(terms[n] for n in row) for row in zip(t.subject, t.predicate, t.object, strict=True)]
    literals = zip(
        t.literal_subject, t.literal_predicate, t.literal_value.to_pylist(), t.literal_kind.tolist(), strict=True
    )
    rows += [
        (terms[s], terms[p], _plain(value) if t.kinds[kind][1] == XML_LITERAL else value, *t.kinds[kind])
        for s, p, value, kind in literals
    ]
    return Counter({(*row, graph): 1 for row, graph in zip(rows, graphs, strict=True)})


def _plain(xml: str) -> str:
    """An XML literal in the one form of its tree: parsers may declare namespaces that it does not use."""
    try:
        return canonicalize(f"<literal>{xml}</literal>")
    except ParseError:
        return xml


def main(arguments: Sequence[str] = ()) -> None:
    """Print what became of the tests of every suite below a folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks rdf_suites")
    parser.add_argument("--data", type=Path, required=True, help="copy of https://github.com/w3c/rdf-tests")
    data = parser.parse_args(arguments).data.resolve()
    total = Count()
    for manifest in sorted(data.rglob("manifest.ttl")):
        count = Count()
        for case in cases(manifest):
            check(case, count)
        if count.accepted or count.refused or count.wrong:
            print(
                f"{manifest.parent.relative_to(data)}: {count.accepted} accepted, {count.refused} refused, "
                f"{len(count.wrong)} wrong"
            )
            for line in count.wrong:
                print(f"    {line}")
            total.accepted += count.accepted
            total.refused += count.refused
            total.wrong += count.wrong
    if not (total.accepted or total.refused or total.wrong):
        raise SystemExit(f"there is no suite below {data}: give a copy of https://github.com/w3c/rdf-tests")
    print(f"all: {total.accepted} accepted, {total.refused} refused, {len(total.wrong)} wrong")


if __name__ == "__main__":
    main()
