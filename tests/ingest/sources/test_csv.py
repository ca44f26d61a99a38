"""The records of CSV text, beside Python's `csv` as oracle, and the two ways of reading a file beside each other."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingest.settings import CsvForm
from ingest.sources.tables import read_file
from ingest.sources.tables.csv_file import _parse, _parse_text
from ingest.sources.tables.csv_records import find_records
from kg.errors import InvalidDataError

HEADER = "a,b,c\n"
PIECES = st.lists(st.sampled_from(["x", "yy", '"', '""', '"x"', ",", ",", "\n", "\n", "é"]), max_size=30).map("".join)


@settings(max_examples=500)
@given(PIECES)
def test_no_line_is_lost_and_no_record_is_invented(text: str) -> None:
    records = find_records((HEADER + text).encode(), separator=",", width=3, header=True)
    good = list(csv.reader(io.StringIO(records.text.decode(), newline=""), strict=True))
    assert len(good) == len(records.lines)
    lines = (HEADER + text).split("\n")
    taken = 0
    for cells, line, raw in zip(good, records.lines.tolist(), _split(records.text.decode(), good), strict=True):
        assert len(cells) >= 3
        assert not any(cells[3:])
        assert raw == "\n".join(lines[line - 1 : line - 1 + raw.count("\n") + 1])
        taken += len([part for part in raw.split("\n") if part])
    filled = len([line for line in lines[1:] if line])
    blank_in_bad = records.bad_lines - (filled - taken)
    assert 0 <= blank_in_bad <= len([line for line in lines[1:] if not line])
    if '"' not in text:
        assert blank_in_bad == 0
        assert records.bad_lines == len([line for line in lines[1:] if line and len(_trimmed(line.split(","))) != 3])


def _split(text: str, records: list[list[str]]) -> list[str]:
    """The text of each record: one reader a record, so that its lines can be counted."""
    lines = text.split("\n")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    result, before = [], 0
    for _ in records:
        next(reader)
        result.append("\n".join(lines[before : reader.line_num]))
        before = reader.line_num
    return result


def _trimmed(cells: list[str]) -> list[str]:
    while len(cells) > 3 and not cells[-1]:
        cells = cells[:-1]
    return cells


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["x", '"', '"x"', ",", ",", "\n", " ", "\r", "\r\n"]), max_size=16).map("".join))
@example(' "x","x" "x",  "x"\nx,x,x,, "" \n')
@example('"\r\n",x,x\nx,x,x\r\n')
def test_a_file_that_duckdb_takes_whole_is_read_the_same_by_its_records(tmp_path: Path, text: str) -> None:
    columns, path = ["a", "b", "c"], tmp_path / "t.csv"
    path.write_bytes((HEADER + text).encode())
    records = find_records(path.read_bytes(), separator=",", width=3, header=True)
    slow = _parse_text(records, columns, CsvForm(), "t.csv")
    assert slow.num_rows == len(records.lines)
    try:
        whole = _parse(path, columns, CsvForm(), header=True)
    except duckdb.Error:
        return
    assert whole.equals(slow)
    assert not records.bad_lines


@pytest.mark.parametrize("rest", ["", 'u9,"quoted",9\n', '"u9,i9,9\n'])
def test_a_lone_quote_takes_no_other_line_with_it(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "r.csv"
    rows = "".join(f"u{n},i{n},4\n" for n in range(150))
    path.write_text(f'{HEADER}u,i,5\n"v,i,5\n{rows}{rest}')
    rows_read = read_file(path, name="r.csv")
    assert rows_read.table.num_rows == 151 + ("quoted" in rest)
    assert rows_read.bad_lines == 1 + (rest.count('"') == 1)
    reason = "a quote is not closed, or text follows it (does the key `quotes` fit the file?)"
    assert rows_read.bad_examples[0] == f'r.csv:3: {reason}: "v,i,5'
    assert rows_read.place(0) == "r.csv:2"
    assert rows_read.place(1) == "r.csv:4"


def test_two_lone_quotes_that_could_be_one_long_cell_count_every_line_between_them(tmp_path: Path) -> None:
    rows = "".join(f"u{n},i{n},4\n" for n in range(150))
    (tmp_path / "r.csv").write_text(f'{HEADER}u,i,5\n"v,i,5\n{rows}u9,i9,"\n')
    rows_read = read_file(tmp_path / "r.csv", name="r.csv")
    assert (rows_read.table.num_rows, rows_read.bad_lines) == (1, 152)


def test_a_record_of_several_lines_with_the_wrong_width_is_bad_with_all_its_lines(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(HEADER + 'u,"one\n\ntwo"\nu,i,5\n')
    rows_read = read_file(tmp_path / "r.csv", name="r.csv")
    assert rows_read.table.to_pylist() == [{"a": "u", "b": "i", "c": "5"}]
    assert rows_read.bad_lines == 3
    assert rows_read.bad_examples == ['r.csv:2: 2 cells where 3 are expected: u,"one']


@pytest.mark.parametrize(
    "text",
    [
        "a,b\r\nx,y\nz,w\r\n",  # mixed line breaks
        "a,b\rx,y\rz,w\r",
        "\n\r\n" + "a,b\nx,y\nz,w",
        "a,b\nx,y,\nz,w,,\n",  # separators at the end of a line
        "\ufeffa,b\nx,y\nz,w\n",
        'a,b\n"x", "y"\n"z" ,w\n',
    ],
)
def test_files_that_are_written_differently_hold_the_same_rows(tmp_path: Path, text: str) -> None:
    for name, data in (("r.csv", text.encode()), ("r.csv.gz", gzip.compress(text.encode()))):
        (tmp_path / name).write_bytes(data)
        rows = read_file(tmp_path / name, name=name)
        assert rows.table.to_pylist() == [{"a": "x", "b": "y"}, {"a": "z", "b": "w"}]
        assert not rows.bad_lines


def test_long_lines_breaks_in_cells_and_columns_that_differ_in_case_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f'id,ID\n{"x" * 5_000_000},y\n"a\r\nb",007\n', newline="")
    rows = read_file(path, name="r.csv")
    assert [len(cell) for cell in rows.table["id"].to_pylist()] == [5_000_000, 4]
    assert rows.table["ID"].to_pylist() == ["y", "007"]
    assert rows.table["id"][1].as_py() == "a\r\nb"


def test_blank_lines_of_a_file_with_one_column_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text('id\n\na\n\n""\nb\n')
    assert read_file(tmp_path / "r.csv", name="r.csv").table["id"].to_pylist() == ["a", None, "b"]


def test_a_name_with_the_characters_of_a_pattern_is_one_file(tmp_path: Path) -> None:
    for name in ("r[1].csv", "r*.csv", "r1.csv"):
        (tmp_path / name).write_text(f"a,b\n{name},x\n")
    for name in ("r[1].csv", "r*.csv"):
        assert read_file(tmp_path / name, name=name).table["a"].to_pylist() == [name]


def test_a_compressed_file_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(b"a,b\nx,y\n"))
    data[-8] ^= 1
    (tmp_path / "r.csv.gz").write_bytes(bytes(data))
    with pytest.raises(InvalidDataError, match=r"damaged \.gz file"):
        read_file(tmp_path / "r.csv.gz", name="r.csv.gz")


def test_separators_that_cannot_be_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("a,b\nx,y\n")
    for separator in ('"', "§", "\n", "\\"):
        with pytest.raises(InvalidDataError, match="one ASCII character"):
            read_file(tmp_path / "r.csv", name="r.csv", form=CsvForm(separator=separator))
