"""RDF/XML that the RDF parser alone refuses, beside rdflib as oracle where that can read it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import rdflib

from ingest.report import QualityReport
from ingest.sources.rdf.reader import RdfReader
from kg.errors import InvalidDataError

OPEN = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:e="https://example.org/">'
CLOSE = "</rdf:RDF>"
M = "https://example.org/m"


def film(content: str, attributes: str = "") -> str:
    return f'{OPEN}<rdf:Description rdf:about="{M}"><e:p{attributes}>{content}</e:p></rdf:Description>{CLOSE}'


def read(path: Path, data: str | bytes, **options: Any) -> tuple[Counter[tuple[str, ...]], QualityReport]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    reader = RdfReader(QualityReport())
    reader.read_file(path, **options)
    t = reader.finish()
    nodes = zip(t.subject, t.predicate, t.object, strict=True)
    texts = zip(
        t.literal_subject, t.literal_predicate, t.literal_value.to_pylist(), t.literal_kind.tolist(), strict=True
    )
    triples = [tuple(t.terms[n] for n in triple) for triple in nodes]
    triples += [(t.terms[s], t.terms[p], v, *t.kinds[k]) for s, p, v, k in texts]
    return Counter(triples), reader.report


TEXTS = {
    "text beside CDATA": film("<![CDATA[Tom & Jerry <1>]]> again"),
    "a comment in a text": film("Tom <!-- and --> Jerry"),
    "an instruction in a text": film("Tom <?p x?> Jerry"),
    "no language": film("Tom", ' xml:lang=""'),
    "no language inside a language": film("Tom", ' xml:lang=""').replace("<rdf:Desc", '<rdf:Desc xml:lang="en"', 0),
    "references": film("a &lt; b &amp;&amp; c &#x3e; d &#233;&#13;&#10;"),
    "quotes and tabs": film("\"\t'\n"),
    "entity in single quotes": "<!DOCTYPE rdf:RDF [<!ENTITY e 'https://example.org/'>]>"
    + film("&e;x").replace(M, "&e;m"),
    "entity that names a later one": '<!DOCTYPE rdf:RDF [<!ENTITY m "&e;m"><!ENTITY e "https://example.org/">]>'
    + film("x").replace(M, "&m;"),
    "entity with tags": "<!DOCTYPE rdf:RDF [<!ENTITY d '<e:q>y &amp; z</e:q>'>]>"
    + film("x").replace("</e:p>", "</e:p>&d;"),
    "a default attribute": '<!DOCTYPE rdf:RDF [<!ATTLIST e:p xml:lang CDATA "de">]>' + film("x"),
    "an XML literal": film('<b xmlns="https://example.org/" c="&amp;">x<i/>y</b>', ' rdf:parseType="Literal"'),
}


@pytest.mark.parametrize("name", TEXTS)
def test_valid_files_are_read_as_rdflib_reads_them(tmp_path: Path, name: str) -> None:
    triples, report = read(tmp_path / "x.rdf", TEXTS[name])
    assert not report.findings
    graph = rdflib.Graph().parse(data=TEXTS[name], format="xml")
    expected = Counter(
        (str(s), str(p), str(o), o.language or "", str(o.datatype or "")) for s, p, o in graph
    )  # fmt: skip
    if name == "an XML literal":  # the two write the same tree in different ways
        (triple,), (other,) = triples, expected
        assert triple[:2] + triple[3:] == other[:2] + other[3:]
        assert "x<i" in triple[2]
    else:
        assert triples == expected


def test_an_empty_language_ends_that_of_the_element_around_it(tmp_path: Path) -> None:
    text = film("Tom", ' xml:lang=""').replace("<rdf:Description", '<rdf:Description xml:lang="en" e:q="x"')
    triples, _ = read(tmp_path / "x.rdf", text)
    assert set(triples) == {(M, M[:-1] + "p", "Tom", "", ""), (M, M[:-1] + "q", "x", "en", "")}


@pytest.mark.parametrize(
    ("encoding", "stated"),
    [
        ("utf-8", "utf8"), ("utf-8", "UTF-8"), ("utf-8-sig", "utf-8"), ("latin-1", "ISO-8859-1"),
        ("cp1252", "windows-1252"), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"), ("shift_jis", "Shift_JIS"),
        ("gb18030", "GB18030"), ("koi8-r", "KOI8-R"),
    ],
)  # fmt: skip
def test_encodings(tmp_path: Path, encoding: str, stated: str) -> None:
    name = {"shift_jis": "カフェ", "gb18030": "咖啡é", "koi8-r": "кафе"}.get(encoding, "Café")
    text = f'<?xml version="1.0" encoding="{stated}"?>\n{film(name)}'
    data = text.encode(encoding)
    if encoding == "utf-16-le":
        data = b"\xff\xfe" + data
    triples, _ = read(tmp_path / "x.rdf", data)
    assert set(triples) == {(M, M[:-1] + "p", name, "", "")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (film("x &none; y"), r"x\.rdf:1: .* undefined entity"),
        ("<!DOCTYPE rdf:RDF SYSTEM 'x.dtd'>\n" + film("x &none; y"), r"x\.rdf:2: .*&none; is not declared"),
        ("<!DOCTYPE rdf:RDF [<!ENTITY f SYSTEM '/etc/hostname'>]>\n\n" + film("&f;"), r"x\.rdf:3: .*another file"),
        (OPEN + "\n<rdf:Description\n  rdf:about='x y'\n><e:p>x</e:p></rdf:Description>\n" + CLOSE, r"x\.rdf"),
        ('<?xml version="1.0" encoding="klingon"?>' + film("x"), r"x\.rdf:1: .*unknown encoding"),
        ('<?xml version="1.0" encoding="unicode_escape"?>' + film("x"), r"x\.rdf:1: .*unknown encoding"),
        (b'<?xml version="1.0" encoding="shift_jis"?>' + film("x").encode() + b"\x81", r"x\.rdf:1: .*it states"),
        ('<?xml version="1.0"?>\n' + film("\nx\x01y\n"), r"x\.rdf:3: .*not well-formed"),
    ],
)  # fmt: skip
def test_broken_files_are_refused_with_file_and_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        read(tmp_path / "x.rdf", text)


def test_entities_that_grow_without_end_are_refused(tmp_path: Path) -> None:
    text = f'<!DOCTYPE rdf:RDF [<!ENTITY e "{"x" * 60_000}">]>' + film("&e;" * 20_000)
    with pytest.raises(InvalidDataError, match=r"x\.rdf:1: .*amplification"):
        read(tmp_path / "x.rdf", text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sub dir/x.ttl", "<> <p> <m1>, <#a> . <m1> <q> </top> ."),
        ("sub dir/x.trig", "<> <p> <m1>, <#a> . <m1> <q> </top> ."),
        (
            "sub dir/x.rdf",
            OPEN.replace("https://example.org/", "file:///sub%20dir/")
            + '<rdf:Description rdf:about=""><e:p rdf:resource="m1"/><e:p><rdf:Description rdf:ID="a"/></e:p>'
            + '</rdf:Description><rdf:Description rdf:about="m1"><e:q rdf:resource="/top"/></rdf:Description>'
            + CLOSE,
        ),
    ],
)
def test_relative_iris_without_a_base(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.parent.mkdir()
    triples, report = read(path, text, name=name)
    own = "file:///sub%20dir/"
    assert set(triples) == {
        (own + Path(name).name, own + "p", own + "m1"),
        (own + Path(name).name, own + "p", own + f"{Path(name).name}#a"),
        (own + "m1", own + "q", "file:///top"),
    }
    finding = report.findings["relative IRIs"]
    assert finding.count == 5
    assert "give `base`" in finding.explanation
    base = "https://example.org/sub%20dir/y"
    based, report = read(path, text.replace("file:///sub", "https://example.org/sub"), name=name, base=base)
    assert set(based) == {
        tuple(t.replace("file://", "https://example.org").replace(Path(name).name, "y") for t in triple)
        for triple in triples
    }
    assert not report.findings


def test_the_base_of_a_file_holds_no_folder_of_the_machine(tmp_path: Path) -> None:
    triples, _ = read(tmp_path / "x.ttl", "<a> <p> <b> .", name="../../data/x.ttl")
    assert set(triples) == {("file:///data/a", "file:///data/p", "file:///data/b")}
