"""Files that would fill memory or never end are refused, with what is wrong and what to do."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.settings import CsvForm
from ingest.sources import bounded
from ingest.sources.bounded import LINE, check_columns, open_plain, read_whole
from ingest.sources.tables.files import read_file, read_lists
from kg.errors import InvalidDataError


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "FREE", 1 << 20)


def bomb(path: Path, line: bytes, *, megabytes: int = 30, head: bytes = b"") -> Path:
    with gzip.open(path, "wb") as file:
        file.write(head)
        for _ in range(megabytes):
            file.write(line * ((1 << 20) // len(line)))
    assert path.stat().st_size * bounded.EXPANSION < megabytes << 20
    return path


@pytest.mark.parametrize("name", ["bomb.csv.gz", "bomb.tsv.gz", "bomb.jsonl.gz"])
@pytest.mark.parametrize("quotes", ["doubled", "none", "backslash"])
def test_a_small_gz_file_that_holds_gigabytes_is_refused(
    tmp_path: Path, small_limits: None, name: str, quotes: str
) -> None:
    path = bomb(tmp_path / name, b"1,2\n", head=b"user,item\n")
    with pytest.raises(InvalidDataError, match=rf"{name} holds more than .* MB, 200 times its size.*unpack it"):
        read_file(path, name=name, form=CsvForm(quotes=quotes))
    with pytest.raises(InvalidDataError, match="holds more than"):
        read_file(path, name=name, form=CsvForm(quotes=quotes, encoding="latin-1"))
    with pytest.raises(InvalidDataError, match="holds more than"):
        read_lists(path, name=name)


def test_what_is_small_or_hardly_compressed_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bomb(tmp_path / "small.csv.gz", b"1,2\n", head=b"user,item\n")
    assert read_file(path, name="small").table.num_rows == 30 << 18
    monkeypatch.setattr(bounded, "FREE", 1 << 10)
    data = os.urandom(1 << 18)
    (tmp_path / "random.gz").write_bytes(gzip.compress(data))
    with open_plain(tmp_path / "random.gz") as stream:
        assert stream.read(7) + stream.read() == data
    with open_plain(tmp_path / "random.gz") as stream, io.TextIOWrapper(stream, encoding="latin-1", newline="") as text:
        assert text.read() == data.decode("latin-1")


def test_a_text_that_memory_does_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SC_PHYS_PAGES": bounded.SHARE, "SC_PAGE_SIZE": 100}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    assert read_whole(io.BytesIO(b"x" * 100), "f") == b"x" * 100
    with pytest.raises(InvalidDataError, match="would have to be read whole"):
        read_whole(io.BytesIO(b"x" * 101), "f")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_that_does_not_end_is_refused_with_its_number(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "long.csv"
    path.write_bytes(b"user,item\n1,2\n3," + b"x" * (LINE + (1 << 20)) + end)
    with pytest.raises(InvalidDataError, match=r"long\.csv:3 is longer than 16 MiB, the most .* have: does the file"):
        read_file(path, name=path.name)
    path.write_bytes(b"user,item\n1,2\n3," + b"x" * (LINE - 10) + b"\n4,5\n")
    assert read_file(path, name=path.name).table.num_rows == 3


def test_too_many_columns_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{number}" for number in range(50_000)) + "\n" + ",".join("1" * 50_000) + "\n")
    for quotes in ("doubled", "none"):
        with pytest.raises(InvalidDataError, match=r"50,000 columns, and 10,000 are the most: is the separator"):
            read_file(path, name=path.name, form=CsvForm(quotes=quotes))
    check_columns([str(number) for number in range(10_000)], "f")
    with pytest.raises(InvalidDataError, match="the column 'a', 'b' more than once"):
        check_columns(["b", "a", "b", "a", "c"], "f")


def test_json_that_is_nested_too_deep_is_a_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_text('{"a": 1}\n{"a": ' + "[" * 100_000 + "]" * 100_000 + '}\n{"a": 2}\n')
    rows = read_file(path, name=path.name)
    assert (rows.table.num_rows, rows.bad_lines) == (2, 1)
    assert "nested too deep" in rows.bad_examples[0]


def test_json_with_very_many_keys_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "wide.jsonl"
    path.write_text("{" + ",".join(f'"k{number}":1' for number in range(10_001)) + "}\n")
    with pytest.raises(
        InvalidDataError, match=r"wide\.jsonl has 10,001 columns, and 10,000 are the most: are the keys ids"
    ):
        read_file(path, name=path.name)
    path.write_text("".join(f'{{"k{number % 9_000}":1}}\n' for number in range(20_000)))
    with pytest.raises(InvalidDataError, match=r"9,000 different keys in 20,000 objects.*are the keys ids\?"):
        read_file(path, name=path.name)
    path.write_text("".join(f'{{"k{number % 90}":1}}\n' for number in range(20_000)))
    assert read_file(path, name=path.name).table.num_columns == 90


@pytest.mark.parametrize(
    ("name", "pack", "kind"),
    [("a.csv.bz2", bz2.compress, "bzip2"), ("a.csv.xz", lzma.compress, "xz"), ("a.csv", gzip.compress, "gzip")],
)
@pytest.mark.parametrize("quotes", ["doubled", "none"])
def test_a_text_that_is_packed_otherwise_is_told(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes], kind: str, quotes: str
) -> None:
    path = tmp_path / name
    path.write_bytes(pack(b"user,item\nu,1\n" * 100))
    with pytest.raises(InvalidDataError, match=rf"is no text: it is packed with {kind}, .*\.gz"):
        read_file(path, name=name, form=CsvForm(quotes=quotes))
