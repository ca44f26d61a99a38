"""The command that reads the W3C test suites, on a small suite of the same make."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmarks

MANIFEST = """
@prefix mf: <http://www.w3.org/2001/sw/DataAccess/tests/test-manifest#> .
@prefix t: <http://www.w3.org/ns/rdftest#> .
<> a mf:Manifest ; mf:assumedTestBase <https://example.org/suite/> .
<#good> a t:TestTurtleEval ; mf:action <good.ttl> ; mf:result <good.nt> .
<#empty> a t:TestTurtlePositiveSyntax ; mf:action <empty.ttl> .
<#bad> a t:TestTurtleNegativeSyntax ; mf:action <bad.ttl> .
<#lines> a t:TestNTriplesNegativeSyntax ; mf:action <bad.nt> .
<#xml> a t:TestXMLEval ; mf:action <good.rdf> ; mf:result <good.nt> .
<#other> a t:TestTurtleEval ; mf:action <good.ttl> ; mf:result <other.nt> .
<#taken> a t:TestTurtleNegativeSyntax ; mf:action <good.ttl> .
<#lost> a t:TestTurtlePositiveSyntax ; mf:action <bad.ttl> .
"""
TRIPLE = "<https://example.org/suite/a> <https://example.org/suite/p> _:b ."
FILES = {
    "good.ttl": "# a relative IRI and a blank node\n<a> <p> [] .",
    "good.nt": TRIPLE,
    "good.rdf": '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:e="https://example.org/suite/">'
    '<rdf:Description rdf:about="a"><e:p rdf:nodeID="x"/></rdf:Description></rdf:RDF>',
    "other.nt": TRIPLE.replace("/p>", "/q>"),
    "empty.ttl": "# nothing\n",
    "bad.ttl": "<a> <p>\n.",
    "bad.nt": "<a> <p> .",
}


def test_what_becomes_of_every_test_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.rdf_suites import main

    folder = tmp_path / "rdf-turtle"
    folder.mkdir()
    for name, text in {"manifest.ttl": MANIFEST, **FILES}.items():
        (folder / name).write_text(text)
    main(["--data", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rdf-turtle: 3 accepted, 2 refused, 3 wrong"
    assert lines[-1] == "all: 3 accepted, 2 refused, 3 wrong"
    wrong = sorted(line.strip().split(": ", 1)[0] for line in lines[1:-1])
    assert wrong == ["lost", "other", "taken"]
    with pytest.raises(SystemExit, match="no suite below"):
        main(["--data", str(tmp_path / "none")])
