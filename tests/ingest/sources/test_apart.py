"""Texts that cannot be read in parts: large ones are read by a process of their own, with the same rows."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import psutil
import pytest

from ingest.settings import CsvForm
from ingest.sources.tables import apart
from ingest.sources.tables.files import read_file, read_lists
from ingest.sources.tables.rows import Rows
from kg.errors import InvalidDataError
from tests.attacks.files import MEGABYTE, gzip_of

CSV = 'user,item\nu1,"a\nb"\nu2\n\nu3,"c\nu4,d\n'
JSON = '{"user": "u1", "tags": ["a", null]}\nno\n\n{"user": "u2", "in": {"x": 1}}\n'
LISTS = "u1 a b\n\nu2\nu3 c\n"
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "bad.csv": (CSV, {}),
    "bad.tsv": (CSV.replace(",", "\t"), {}),
    "backslash.csv": ('user,item\nu1,"a\\"b"\nu2\n', {"quotes": "backslash"}),
    "plain.csv": (CSV, {"quotes": "none"}),
    "latin.csv": (CSV, {"encoding": "latin-1", "quotes": "none"}),
    "rows.jsonl": (JSON, {}),
    "one.json": ('[{"a": 1}, 2, {"b": [1]}]', {}),
}


def read(path: Path, form: dict[str, Any]) -> Rows:
    return (
        read_lists(path, name=path.name)
        if path.suffix == ".txt"
        else read_file(path, name=path.name, form=CsvForm(**form))
    )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", [*FILES, "lists.txt"])
def test_rows_places_and_bad_lines_are_the_same_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, packed: bool
) -> None:
    text, form = FILES.get(name, (LISTS, {}))
    path = tmp_path / (f"{name}.gz" if packed and name != "lists.txt" else name)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    here = read(path, form)
    monkeypatch.setattr(apart, "LARGE", -1)
    there = read(path, form)
    assert there.table.equals(here.table)
    assert there.table.schema == here.table.schema
    for key in ("bad_lines", "bad_examples", "ordered", "lines", "findings"):
        assert getattr(there, key) == getattr(here, key), key
    assert (there.hidden[0], list(there.hidden[1])) == (here.hidden[0], list(here.hidden[1]))
    assert [there.place(row) for row in range(there.table.num_rows)] == [
        here.place(row) for row in range(here.table.num_rows)
    ]


def test_a_well_formed_file_has_its_places_from_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "LARGE", -1)
    path = tmp_path / "good.csv"
    path.write_text('a,b\n1,"x\ny"\n2,z\n')
    rows = read_file(path, name="good.csv")
    assert [rows.place(row) for row in (0, 1, 2)] == ["good.csv:2", "good.csv:4", "good.csv, row 2"]


@pytest.mark.parametrize(
    ("name", "line", "head", "form"),
    [
        ("bad.csv.gz", b",\n", b"a,b\nlonely\n", {}),
        ("plain.csv.gz", b",\n", b"a,b\n", {"quotes": "none"}),
        ("rows.jsonl.gz", b'{"a":1}\n', b"", {}),
        ("lists.txt.gz", b"u i\n", b"", {}),
    ],
)
def test_what_takes_too_much_memory_is_refused_and_takes_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, line: bytes, head: bytes, form: dict[str, Any]
) -> None:
    path = gzip_of(tmp_path / name, line, megabytes=100, head=head)
    monkeypatch.setattr(apart, "free_memory", lambda: apart.SHARE * 800 * MEGABYTE)
    before = psutil.Process().memory_info().rss
    with pytest.raises(InvalidDataError, match=rf"{name} takes more than 800 MB of memory to be read.* in several"):
        read_lists(path, name=name) if "txt" in name else read_file(path, name=name, form=CsvForm(**form))
    assert psutil.Process().memory_info().rss - before < 100 * MEGABYTE


def test_damage_is_told_as_it_is_of_small_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "LARGE", -1)
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(JSON.encode() * 1000)[:-20])
    with pytest.raises(InvalidDataError, match=r"cut\.jsonl\.gz is a damaged \.gz file"):
        read_file(cut, name=cut.name)
    with pytest.raises(InvalidDataError, match="does not exist"):
        read_lists(tmp_path / "none.txt", name="none.txt")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(InvalidDataError, match=r"empty\.jsonl is empty"):
        read_file(empty, name=empty.name)
