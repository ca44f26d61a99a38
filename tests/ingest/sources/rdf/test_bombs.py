"""RDF that would end the parser, fill memory or take quadratic time: one clear error, or one line set aside."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.report import QualityReport
from ingest.sources import bounded
from ingest.sources.rdf import plain_xml, streams
from ingest.sources.rdf.nesting import TRIPLE_TERMS, is_deep
from ingest.sources.rdf.plain_xml import PlainXmlStream
from ingest.sources.rdf.reader import RdfReader
from ingest.sources.rdf.streams import LongLine, blocks_of_lines
from kg.errors import InvalidDataError
from tests.attacks.rdf import (
    GOOD,
    attributes,
    elements_in_each_other,
    entity_in_each_element,
    exploding_entities,
    star,
    xml,
)


def read(path: Path, *, strict: bool = False) -> tuple[int, list[str]]:
    """How many facts were read and kept, and what was set aside."""
    report = QualityReport()
    account = RdfReader(report, strict=strict).read_file(path)
    found = [
        example for finding in report.findings.values() if finding.kind == "bad lines" for example in finding.examples
    ]
    return account.read, found


@pytest.mark.parametrize("ending", [".nt", ".nq"])
def test_a_line_whose_terms_are_nested_too_deep_is_set_aside_alone(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"deep{ending}"
    path.write_bytes(GOOD + star(20_000) + GOOD + star(5) + b'<http://a/s> <http://a/p> "' + b"<< " * 500 + b'" .\n')
    count, aside = read(path)
    assert count == 5
    assert len(aside) == 1
    assert aside[0].startswith(f"deep{ending}:2: triple terms more than 100 deep: <http://a/s>")
    with pytest.raises(InvalidDataError, match=r":2: triple terms more than 100 deep.*quality\.strict"):
        read(path, strict=True)


def test_only_terms_outside_of_texts_are_counted() -> None:
    assert not is_deep(star(TRIPLE_TERMS))
    assert is_deep(star(TRIPLE_TERMS + 1))
    assert not is_deep(b'<a:s> <a:p> "' + rb"\" << " * 500 + b'" .\n')


@pytest.mark.parametrize("ending", [".ttl", ".trig", ".ttl.gz"])
def test_a_file_that_the_parser_does_not_survive_is_refused_by_a_process_that_may_die(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"deep{ending}"
    opened = gzip.open if ending.endswith(".gz") else open
    with opened(path, "wb") as file:
        file.write(GOOD + star(50_000))
    with pytest.raises(InvalidDataError, match=r"the whole file is refused: the parser does not survive it .SIGSEGV"):
        read(path)
    with opened(path, "wb") as file:
        file.write(GOOD + star(20) * 10)
    assert read(path)[0] == 11


@pytest.mark.parametrize("entities", [10, 3])
def test_entities_that_explode_are_refused_where_they_are_declared(tmp_path: Path, entities: int) -> None:
    path = exploding_entities(tmp_path / "bomb.rdf", entities=entities, width=10 if entities == 10 else 1000)
    with pytest.raises(InvalidDataError, match=r"bomb\.rdf:\d+: .*entity 'e\d' stands for more than 65,536 characters"):
        read(path)


def test_a_few_bytes_that_become_many_are_read_in_the_pieces_that_the_parser_asks_for(tmp_path: Path) -> None:
    # More than it had asked for ended the process.
    assert read(attributes(tmp_path / "bomb.rdf", count=5000))[0] == 5000
    assert read(entity_in_each_element(tmp_path / "bomb.rdf", length=60_000, elements=100))[0] == 200
    stream = PlainXmlStream((tmp_path / "bomb.rdf").open("rb"))
    pieces = list(iter(lambda: stream.read(1000), b""))
    stream.close()
    assert max(map(len, pieces)) == 1000
    assert sum(map(len, pieces)) > 6_000_000
    path = entity_in_each_element(tmp_path / "bomb.rdf", length=60_000, elements=5000)
    with pytest.raises(InvalidDataError, match=r"bomb\.rdf:\d+: .*limit on input amplification"):
        read(path)


def test_entities_as_vocabularies_use_them_are_read(tmp_path: Path) -> None:
    entities = '<!ENTITY base "http://a/">\n<!ENTITY films "&base;films/">\n'
    path = xml(
        tmp_path / "bomb.rdf", '<rdf:Description rdf:about="&films;x"><a:p>&films;</a:p></rdf:Description>', entities
    )
    assert read(path)[0] == 1


def test_elements_are_nested_up_to_a_bound(tmp_path: Path) -> None:
    for depth, good in ((plain_xml.ELEMENTS // 2 - 1, True), (16_000, False)):
        path = elements_in_each_other(tmp_path / "bomb.rdf", depth=depth)
        if good:
            assert read(path)[0] == 2 * depth + 1
        else:
            with pytest.raises(InvalidDataError, match=r"bomb\.rdf:4: .*elements are nested more than 500 deep"):
                read(path)


def test_a_text_that_is_too_long_for_the_parser_says_so_and_says_nothing_of_models(tmp_path: Path) -> None:
    path = tmp_path / "long.ttl"
    path.write_bytes(GOOD + b'<http://a/s> <http://a/p> "' + b"x" * (17 << 20) + b'" .\n')
    with pytest.raises(InvalidDataError, match=r"long\.ttl, after 1 triples: .*a text or name is too long"):
        read(path)


def test_a_line_without_end_is_set_aside_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.nt"
    with path.open("wb") as file:
        file.write(GOOD + b'<http://a/s> <http://a/p> "')
        for _ in range(300):
            file.write(b"x" * (1 << 20))
        file.write(b'" .\n' + GOOD)
    program = (
        "import sys; from pathlib import Path; from tests.ingest.sources.rdf.test_bombs import read\n"
        "count, aside = read(Path(sys.argv[1]))\n"
        "print(count, len(aside), aside[0][:60])\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    told, most = done.stdout.splitlines()
    assert told == "3 1 long.nt:2: longer than 16 MiB, the most for a line: <http://"
    assert int(most) < 300 << 10  # KiB


def test_a_small_gz_file_of_one_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "FREE", 1 << 20)
    path = tmp_path / "bomb.nt.gz"
    path.write_bytes(gzip.compress(b"x" * (50 << 20)))
    with pytest.raises(InvalidDataError, match=r"bomb\.nt\.gz holds more than .* unpack it"):
        read(path)


@pytest.mark.parametrize("block", [1, 3, 7, 10])
def test_blocks_are_the_file_but_for_lines_that_are_too_long(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(streams, "BLOCK_BYTES", block)
    monkeypatch.setattr(streams, "LINE", 10)
    monkeypatch.setattr(streams, "BEGIN", 4)
    lines = [b"a", b"", b"bbbb", b"0123456789abcdef", b"c", b"012345678", b"0123456789", b"dd", b"x" * 30, b"e"]
    for text in (b"\n".join(lines), b"\n".join(lines) + b"\n", b"\n".join(lines[:9])):
        expected = text.removesuffix(b"\n").split(b"\n")
        given: list[bytes | str] = []
        for part in blocks_of_lines(io.BytesIO(text)):
            if isinstance(part, LongLine):
                assert 0 < len(part.begin) <= 4
                given.append("long")
            else:
                assert part.endswith(b"\n")
                given += part.removesuffix(b"\n").split(b"\n")
        assert given == ["long" if len(line) >= 10 else line for line in expected]
