"""Nasty tables beside Python's `csv` and pandas as oracles: no row is lost or made up, and every line is counted."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingest import GraphBuilder, GraphSettings, QualitySettings
from ingest.settings import CsvForm
from ingest.sources.tables import read_file, read_lists
from ingest.sources.tables.lines import LineCounter
from kg.errors import InvalidDataError

PIECES = ["x", "yy", '"', '""', "'", ",", "\t", "\n", "\r\n", "\r", "\\", "\\N", " ", "é", "\u2028", "\x0b", "0", "-"]
CELL = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)
ROWS = st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=6)
NASTY = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(rows: list[list[str]], **form: Any) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, **form).writerows([["a", "b", "c"], *rows])
    return text.getvalue().encode()


def as_read(rows: list[list[str]]) -> list[list[str | None]]:
    return [[cell or None for cell in row] for row in rows]


def cells(path: Path, form: CsvForm) -> list[list[str | None]]:
    rows = read_file(path, name=path.name, form=form)
    assert rows.lines is not None
    assert rows.lines.missing == 0
    assert rows.bad_lines == 0
    return [list(row.values()) for row in rows.table.to_pylist()]


@NASTY
@given(ROWS, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.sampled_from([",", "\t", "|"]), st.booleans())
@example([["", "", ""]], csv.QUOTE_MINIMAL, ",", False)
def test_what_python_and_pandas_write_is_read_to_the_character(
    tmp_path: Path, rows: list[list[str]], quoting: Any, separator: str, by_pandas: bool
) -> None:
    path = tmp_path / "t.csv"
    if by_pandas:  # it writes a carriage return without quotes, and reads it as the end of a line
        rows = [[cell.replace("\r", "") for cell in row] for row in rows]
        pd.DataFrame(rows, columns=["a", "b", "c"]).to_csv(path, index=False, sep=separator, quoting=quoting)
    else:
        path.write_bytes(written(rows, quoting=quoting, delimiter=separator))
    assert cells(path, CsvForm(separator=separator)) == as_read(rows)
    if by_pandas:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, sep=separator, skip_blank_lines=False)
        assert as_read(frame.to_numpy().tolist()) == as_read(rows)


@NASTY
@given(ROWS, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE]))
def test_quotes_that_backslashes_escape(tmp_path: Path, rows: list[list[str]], quoting: Any) -> None:
    path = tmp_path / "t.csv"
    # Python writes a lone quote at the start of a bare cell with a backslash, and a line break in quotes or with one.
    path.write_bytes(written(rows, quoting=quoting, doublequote=False, escapechar="\\"))
    read = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline=""), doublequote=False, escapechar="\\"))
    assert read[1:] == rows
    assert cells(path, CsvForm(quotes="backslash")) == as_read(rows)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
def test_a_backslash_at_the_end_of_a_text_is_a_character(tmp_path: Path, end: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"a,b\nx,y\\\nz\n1\\,2,3\\{end}", newline="")
    assert cells(path, CsvForm(quotes="backslash")) == [["x", "y\nz"], ["1,2", "3\\"]]


def test_rows_after_line_breaks_that_backslashes_escape_have_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\nx\\\r\\\ny,1\n"\r\\\n",2\nz,3\n', newline="")
    rows = read_file(path, name="t.csv", form=CsvForm(quotes="backslash"))
    assert rows.table["a"].to_pylist() == ["x\r\ny", "\r\n", "z"]
    assert [rows.place(row) for row in range(3)] == ["t.csv:2", "t.csv:5", "t.csv:8"]


@NASTY
@given(ROWS)
def test_a_file_without_quoted_cells_takes_a_quote_for_a_character(tmp_path: Path, rows: list[list[str]]) -> None:
    rows = [["".join(c for c in cell if c not in "\t\r\n") for cell in row] for row in rows]
    path = tmp_path / "t.tsv"
    path.write_bytes("".join("\t".join(row) + "\n" for row in [["a", '"b', "c"], *rows]).encode())
    expected = [[None if cell == "\\N" else cell for cell in row] for row in as_read(rows)]
    assert cells(path, CsvForm(quotes="none")) == expected
    assert read_file(path, name="t.tsv", form=CsvForm(quotes="none")).table.column_names == ["a", '"b', "c"]
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, sep="\t", quoting=csv.QUOTE_NONE)
    assert len(frame) == len(rows)


@NASTY
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), st.sampled_from(["doubled", "backslash", "none"]))
@example('"x,x,x\nx,x,x\nx",x,x\n', "doubled")
@example('x,"x\n\n\nx"\n\n', "doubled")
@example("\\\n", "backslash")
@example("\\\r\\\n", "backslash")
@example('\\\n\\\n"', "backslash")
def test_every_line_of_any_text_is_counted(tmp_path: Path, text: str, quotes: Any) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b,c\nx,x,x\n" + text.encode())
    rows = read_file(path, name="t.csv", form=CsvForm(quotes=quotes))
    assert rows.lines is not None
    assert rows.lines.rows == rows.table.num_rows
    assert rows.lines.bad == rows.bad_lines
    assert rows.lines.missing == 0
    lines = io.StringIO(path.read_bytes().decode(), newline="").readlines()
    assert rows.lines.total == len(lines)
    assert rows.lines.empty <= len([line for line in lines if not line.strip("\r\n")])
    for row in range(rows.table.num_rows):
        assert 2 <= int(rows.place(row).split(":")[1]) <= len(lines)


@given(st.lists(st.sampled_from([b"x", b"\n", b"\r", b"\r\n"]), max_size=12), st.integers(1, 4))
def test_lines_are_counted_whatever_the_pieces(parts: list[bytes], size: int) -> None:
    data = b"".join(parts)
    counter = LineCounter()
    for start in range(0, len(data), size):
        counter.add(data[start : start + size])
    counter.finish()
    lines = io.StringIO(data.decode(), newline="").readlines()
    assert (counter.lines, counter.empty) == (len(lines), len([line for line in lines if not line.strip("\r\n")]))


def test_lines_that_vanish_in_a_cell_between_two_lone_quotes_are_set_aside(tmp_path: Path) -> None:
    rows = "".join(f"u{n}\ti{n}\t4\n" for n in range(30))
    (tmp_path / "r.tsv").write_text(f'user_id\titem_id\trating\nu\ti\t4\n"v\ti\t5\n{rows}w"\ti\t4\n')
    builder = GraphBuilder(GraphSettings(), quality=QualitySettings(max_set_aside=1.0))
    _, report = builder.add_interactions(tmp_path / "r.tsv").build()
    finding = report.findings["rows inside a cell"]
    assert (finding.severity, finding.count) == ("warning", 30)
    assert finding.examples == ["r.tsv:3: 30 lines are inside a quoted cell"]
    assert report.to_json()["sources"] == [
        {"name": "r.tsv", "kind": "interactions", "read": 32, "set_aside": 30, "lines": 34, "empty": 0}
    ]
    with pytest.raises(InvalidDataError, match=r'30 of 32 .*quotes = "none"'):
        GraphBuilder(GraphSettings()).add_interactions(tmp_path / "r.tsv")
    table = read_file(tmp_path / "r.tsv", name="r.tsv", form=CsvForm(quotes="none", separator="\t")).table
    assert table.num_rows == 33
    assert table["user_id"].to_pylist()[1] == '"v'


def test_lines_in_texts_are_no_rows(tmp_path: Path) -> None:
    text = 'id,text\na,"one\ntwo, and\nthree"\n\nb,"1,2\n3"\n'
    (tmp_path / "r.csv").write_text(text)
    rows = read_file(tmp_path / "r.csv", name="r.csv")
    assert rows.lines is not None
    assert (rows.lines.total, rows.lines.rows, rows.lines.inside, rows.lines.empty) == (7, 2, 3, 1)
    assert rows.hidden[0] == 1, "the line in the middle has as many cells as a row"
    (tmp_path / "r.csv").write_text(text.replace("two, and", "two"))
    assert read_file(tmp_path / "r.csv", name="r.csv").hidden[0] == 0


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_lists_are_counted(tmp_path: Path, end: str) -> None:
    path = tmp_path / "train.txt"
    path.write_text(end.join(["0 10 11", "", "1", "  ", "2 10", "3"]), newline="")
    rows = read_lists(path, name="train.txt")
    assert rows.lines is not None
    assert (rows.lines.total, rows.lines.rows, rows.lines.bad, rows.lines.empty) == (6, 2, 2, 2)
    builder = GraphBuilder(GraphSettings()).add_interactions(rows)
    finding = builder.report.findings["users without items"]
    assert (finding.count, finding.examples) == (2, ["train.txt:3: 1", "train.txt:6: 3"])


@pytest.mark.parametrize("name", ["R.CSV", "R.TSV", "R.csv.GZ", "R.TSV.GZ", "R.TXT"])
def test_extensions_in_capitals(tmp_path: Path, name: str) -> None:
    text = "a,b\nx,y\n".replace(",", "\t" if "TSV" in name else ",").encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("GZ") else text)
    assert read_file(tmp_path / name, name=name).table.to_pylist() == [{"a": "x", "b": "y"}]


def test_a_header_of_several_lines(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text('"the\nid","a\u2028b"\nx,y\n')
    rows = read_file(tmp_path / "r.csv", name="r.csv")
    assert rows.table.to_pylist() == [{"the\nid": "x", "a\u2028b": "y"}]
    assert rows.lines is not None
    assert rows.lines.header == 2
