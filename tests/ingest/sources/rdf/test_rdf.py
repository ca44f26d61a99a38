from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.report import QualityReport
from ingest.sources.rdf.reader import RdfReader
from kg.errors import InvalidDataError

A, P, B = "https://example.org/a", "https://example.org/p", "https://example.org/b"
NT = (
    f'<{A}> <{P}> <{B}> .\n<{A}> <{P}2> "caf\\u00E9"@fr .\n<{A}> <{P}3> "7"^^<http://www.w3.org/2001/XMLSchema#int> .\n'
)
FORMATS = {
    "x.nt": NT,
    "x.ttl": "@prefix e: <https://example.org/> . @prefix xsd: <http://www.w3.org/2001/XMLSchema#> .\n"
    'e:a e:p e:b ; e:p2 "café"@fr ; e:p3 "7"^^xsd:int .',
    "x.nq": NT,
    "x.trig": '@prefix e: <https://example.org/> . { e:a e:p e:b ; e:p2 "café"@fr ; '
    'e:p3 "7"^^<http://www.w3.org/2001/XMLSchema#int> }',
    "x.rdf": f"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:e="https://example.org/">
      <rdf:Description rdf:about="{A}"><e:p rdf:resource="{B}"/><e:p2 xml:lang="fr">café</e:p2>
      <e:p3 rdf:datatype="http://www.w3.org/2001/XMLSchema#int">7</e:p3></rdf:Description></rdf:RDF>""",
}
FACTS = {(A, P, B), (A, P + "2", "café", "fr", ""), (A, P + "3", "7", "", "http://www.w3.org/2001/XMLSchema#int")}


def facts(triples: Any) -> Counter[tuple[str, ...]]:
    t, counted = triples.terms, Counter()
    for s, p, o, g in zip(triples.subject, triples.predicate, triples.object, triples.graph, strict=True):
        counted[(t[s], t[p], t[o], *([t[g]] if g >= 0 else []))] += 1
    for s, p, v, k in zip(
        triples.literal_subject,
        triples.literal_predicate,
        triples.literal_value.to_pylist(),
        triples.literal_kind,
        strict=True,
    ):
        counted[(t[s], t[p], v, *triples.kinds[k])] += 1
    return counted


def read(*paths: Path, strict: bool = False) -> tuple[Counter[tuple[str, ...]], QualityReport]:
    reader = RdfReader(QualityReport(), strict=strict)
    for path in paths:
        reader.read_file(path)
    return facts(reader.finish()), reader.report


def write(path: Path, text: str | bytes) -> Path:
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_plain_and_compressed(tmp_path: Path, name: str, ending: str) -> None:
    counted, report = read(write(tmp_path / (name + ending), FORMATS[name]))
    assert counted == Counter(FACTS)
    assert report.sources[0].read == 3


@pytest.mark.parametrize("name", FORMATS)
def test_a_byte_order_mark_and_windows_line_ends_cost_no_triple(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FORMATS[name].replace("\n", "\r\n").encode("utf-8-sig"))
    counted, report = read(tmp_path / name)
    assert counted == Counter(FACTS)
    assert not report.findings


def test_bad_lines_are_set_aside_with_file_and_line_and_good_ones_kept(tmp_path: Path) -> None:
    lines = [f"<{A}> <{P}> <https://example.org/{n}> ." for n in range(300)]
    bad = {17: "no statement", 18: f"<{A}> <{P}>", 160: f'<{A}> <{P}> "open .', 299: f"<{A}> <relative> <{B}> ."}
    text = "\n".join(bad.get(n, line) for n, line in enumerate(lines))
    for name in ("x.nt", "x.nq"):
        counted, report = read(write(tmp_path / name, text))
        assert counted == Counter((A, P, f"https://example.org/{n}") for n in range(300) if n not in bad)
        assert (report.sources[0].read, report.sources[0].set_aside) == (300, 4)
        examples = report.findings["bad lines"].examples
        assert [example.split(": ")[0] for example in examples] == [f"{name}:{n + 1}" for n in bad]


def test_strict_refuses_the_first_bad_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match=r"x\.nt:2: .*quality\.strict"):
        read(write(tmp_path / "x.nt", f"<{A}> <{P}> <{B}> .\nbad\n"), strict=True)


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("x.ttl", f"<{A}> <{P}> <{B}> .\n<{A}> <{P}> .", r"x\.ttl:2"),
        ("x.trig", f"<{A}> <{P}> <{B}> .\n<https://example.org/g> {{ <{A}> <{P}> <{B}>", r"x\.trig"),
        ("x.rdf", FORMATS["x.rdf"].replace("</e:p2>", ""), r"x\.rdf:\d+: .* mismatched tag"),
        ("x.rdf", FORMATS["x.rdf"].replace("</rdf:RDF>", ""), r"x\.rdf:\d+: .* ends too early"),
        ("x.rdf", FORMATS["x.rdf"][: FORMATS["x.rdf"].index(">") + 1], r"x\.rdf:1: .* ends too early"),
    ],
)
def test_other_broken_files_are_refused_whole(tmp_path: Path, name: str, text: str, place: str) -> None:
    reader = RdfReader(QualityReport())
    with pytest.raises(InvalidDataError, match=place):
        reader.read_file(write(tmp_path / name, text))
    assert len(reader.finish()) == 0


@pytest.mark.parametrize("text", ["", "\n# nothing\n"])
@pytest.mark.parametrize("name", ["x.nt", "x.ttl.gz"])
def test_empty_files_are_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(InvalidDataError, match="empty"):
        read(write(tmp_path / name, text))


def test_missing_damaged_and_unknown_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="does not exist"):
        read(tmp_path / "none.nt")
    (tmp_path / "cut.nt.gz").write_bytes(gzip.compress(NT.encode() * 50)[:-20])
    with pytest.raises(InvalidDataError, match="damaged"):
        read(tmp_path / "cut.nt.gz")
    (tmp_path / "plain.nt.gz").write_bytes(NT.encode())
    with pytest.raises(InvalidDataError, match="damaged"):
        read(tmp_path / "plain.nt.gz")
    with pytest.raises(InvalidDataError, match=r"\.nt.*\.ttl"):
        read(write(tmp_path / "x.json", "{}"))


def test_blank_nodes_of_two_files_stay_apart(tmp_path: Path) -> None:
    text = f"<{A}> <{P}> _:n .\n_:n <{P}> <{B}> .\n"
    counted, _ = read(write(tmp_path / "one.nt", text), write(tmp_path / "two.nt", text))
    assert counted == Counter(fact for f in ("one", "two") for fact in ((A, P, f"_:{f}.nt/n"), (f"_:{f}.nt/n", P, B)))


def test_nameless_blank_nodes_are_the_same_at_every_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "x.ttl", f"<{A}> <{P}> [ <{P}> <{B}> ], _:label .")
    first, second = read(path)[0], read(path)[0]
    assert first == second
    assert {o for _, _, o in first} == {"_:x.ttl/[1]", "_:x.ttl/label", B}


def test_named_graphs_are_kept(tmp_path: Path) -> None:
    g = "https://example.org/g"
    counted, _ = read(write(tmp_path / "x.nq", f"<{A}> <{P}> <{B}> <{g}> .\n<{A}> <{P}> <{B}> .\n"))
    assert counted == Counter([(A, P, B, g), (A, P, B)])


def test_statements_about_statements_are_set_aside(tmp_path: Path) -> None:
    counted, report = read(write(tmp_path / "x.nt", f"<{A}> <{P}> <<( <{A}> <{P}> <{B}> )>> .\n<{A}> <{P}> <{B}> .\n"))
    assert counted == Counter([(A, P, B)])
    assert report.findings["quoted triples"].count == 1


def test_rdflib_graphs_and_datasets() -> None:
    import rdflib

    graph = rdflib.Graph().parse(data=FORMATS["x.ttl"], format="turtle")
    reader = RdfReader(QualityReport())
    reader.read_graph(graph)
    assert facts(reader.finish()) == Counter(FACTS)
    dataset = rdflib.Dataset()
    dataset.parse(data=f"<{A}> <{P}> <{B}> <https://example.org/g> .\n<{B}> <{P}> _:x .", format="nquads")
    reader.read_graph(dataset, name="mine")
    counted = facts(reader.finish())
    assert counted[(A, P, B, "https://example.org/g")] == 1
    assert next(fact for fact in counted if fact[0] == B)[2].startswith("_:mine/")
    with pytest.raises(InvalidDataError, match="empty"):
        reader.read_graph(rdflib.Graph())


TERM = st.sampled_from(
    [
        f"<{A}>",
        f"<{B}>",
        "<http://example.org/é>",
        "<urn:x:1>",
        "<http://example.org/%zz>",
        "<rel>",
        "<http://e x>",
        "_:b",
    ]
)
LITERAL = st.sampled_from(
    [
        '"plain"',
        '""',
        '"a \\"b\\""',
        '"in"side"',
        '"x"@en',
        '"x"@en-GB',
        '"x"@é',
        '"7"^^<urn:t>',
        '"7"^^<t>',
        '"é . <a>"',
    ]
)
LINE = st.one_of(
    st.tuples(
        TERM, TERM, st.one_of(TERM, LITERAL), st.sampled_from([" .", " . # c", ".", "", " <urn:g> .", "  .", " .\r"])
    ).map(lambda parts: f"{parts[0]} {parts[1]} {parts[2]}{parts[3]}"),
    st.sampled_from(["", "# comment", "x", "<a> .", f"\t<{A}> <{P}> <{B}> .", '"l" <urn:p> <urn:o> .', "\x00"]),
)


@settings(max_examples=60)
@given(st.lists(LINE, max_size=30))
def test_lines_cut_in_columns_and_lines_parsed_one_by_one_agree(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    plain = [f"<{A}> <{P}> <https://example.org/{n}> ." for n in range(40)]
    mixed = [line for pair in zip(plain, lines, strict=False) for line in pair] + plain[len(lines) :]
    path = write(tmp_path_factory.mktemp("nt") / "x.nt", "\n".join(mixed))
    columns, report = read(path)
    alone, bad = Counter(), []
    for number, line in enumerate(mixed):
        one = path.with_name("one.nt")
        write(one, line + "\n" + f"<{A}> <{P}> <{B}sentinel> .")
        reader = RdfReader(QualityReport())
        reader._cut = lambda *_: None  # type: ignore[method-assign]
        reader.read_file(one, name="x.nt")
        counted = facts(reader.finish())
        counted.subtract([(A, P, B + "sentinel")])
        alone += counted
        bad += [f"x.nt:{number + 1}"] * len(reader.report.findings)
    assert columns == +alone
    assert report.sources[0].set_aside == len(bad)
    examples = report.findings["bad lines"].examples if bad else []
    assert sorted(e.split(": ")[0] for e in examples) == sorted(bad[:5])


def test_blocks_join_where_the_file_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ingest.sources.rdf.streams

    monkeypatch.setattr(ingest.sources.rdf.streams, "BLOCK_BYTES", 97)
    lines = [f'<{A}> <{P}{n % 7}> "text {n}" .' for n in range(200)]
    lines[150] = "bad"
    counted, report = read(write(tmp_path / "x.nt", "\n".join(lines)))
    assert counted == Counter((A, f"{P}{n % 7}", f"text {n}", "", "") for n in range(200) if n != 150)
    assert report.findings["bad lines"].examples[0].startswith("x.nt:151: ")


def test_integers_only(tmp_path: Path) -> None:
    reader = RdfReader(QualityReport())
    reader.read_file(write(tmp_path / "x.nt", NT))
    triples = reader.finish()
    assert all(getattr(triples, name).dtype == np.int32 for name in ("subject", "predicate", "object", "literal_kind"))
