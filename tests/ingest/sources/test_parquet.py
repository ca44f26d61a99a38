"""Parquet from anybody: what is far larger than its file, or ends the parser, is refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.sources.tables import parquet_file
from ingest.sources.tables.files import read_file
from kg.errors import InvalidDataError
from kg.io import parquet_apart
from tests.attacks.files import (
    changed_bytes,
    parquet_of_columns,
    parquet_of_depth,
    parquet_of_nulls,
    parquet_of_one_text,
    parquet_of_runs,
)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "FREE", 1 << 20)
    monkeypatch.setattr(parquet_file, "MEMORY", 512 << 20)


def test_runs_of_one_number_are_counted_as_the_rows_that_they_are(tmp_path: Path, small_limits: None) -> None:
    path = parquet_of_runs(tmp_path / "runs.parquet", rows=1 << 25)
    assert path.stat().st_size * parquet_file.EXPANSION < 16 << 25
    with pytest.raises(InvalidDataError, match=r"runs\.parquet holds more than .* MB, 200 times its size: .* bomb"):
        read_file(path, name=path.name)


def test_rows_of_nothing_are_counted_too(tmp_path: Path, small_limits: None) -> None:
    path = parquet_of_nulls(tmp_path / "nulls.parquet", rows=1 << 24)
    with pytest.raises(InvalidDataError, match=r"holds more than .* MB, 200 times its size"):
        read_file(path, name=path.name)


@pytest.mark.parametrize(("length", "rows"), [(1 << 20, 5000), (1 << 26, 40)])
def test_a_text_of_a_dictionary_that_is_every_cell_takes_no_memory_of_ours(
    tmp_path: Path, small_limits: None, length: int, rows: int
) -> None:
    path = parquet_of_one_text(tmp_path / "text.parquet", length=length, rows=rows)
    before = psutil.Process().memory_info().rss
    with pytest.raises(InvalidDataError, match=r"text\.parquet (takes|holds) more than .* MB .* bomb"):
        read_file(path, name=path.name)
    assert psutil.Process().memory_info().rss - before < 200 << 20


def test_a_table_that_memory_does_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "free_memory", lambda: 2 << 20)
    path = parquet_of_runs(tmp_path / "r.parquet", rows=1 << 18)
    with pytest.raises(
        InvalidDataError, match=r"holds more than 1 MB, which leaves no memory to work with: leave out columns"
    ):
        read_file(path, name=path.name)


def test_too_many_columns_and_lists_in_lists_are_told(tmp_path: Path) -> None:
    path = parquet_of_columns(tmp_path / "wide.parquet", columns=10_001)
    with pytest.raises(InvalidDataError, match=r"wide\.parquet has 10,001 columns, .*leave out"):
        read_file(path, name=path.name)
    path = parquet_of_depth(tmp_path / "deep.parquet", depth=60)
    with pytest.raises(InvalidDataError, match=r"deep\.parquet cannot be read as a table: .*too deeply nested"):
        read_file(path, name=path.name)


def test_a_file_of_changed_bytes_is_read_or_refused_and_ends_nothing(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    good = tmp_path / "good.parquet"
    table = pa.table({"user_id": [f"u{n % 7}" for n in range(300)], "item_id": np.arange(300)})
    pq.write_table(table, good, compression="zstd")
    assert read_file(good, name="good").table.equals(table)
    refused = []
    for _ in range(10):
        path = changed_bytes(tmp_path / "bad.parquet", good.read_bytes(), random)
        try:
            read_file(path, name="bad")
        except InvalidDataError as error:
            refused.append(str(error))
    assert refused
    assert all("bad" in message for message in refused)


def test_rows_and_types_are_those_of_the_file_over_all_batches(tmp_path: Path) -> None:
    times = 40_000
    many = pa.table(
        {
            "id": pa.array([f"i{n}" for n in range(4 * times)]),
            "tags": pa.array([["a", None], None, [], ["b"]] * times),
            "kind": pa.array(["x", "y", None, "x"] * times).dictionary_encode(),
            "facts": pa.array([{"a": 1}, None, {"a": None}, {"a": 2}] * times),
        }
    )
    assert many.num_rows > 2 * parquet_apart.ROWS
    pq.write_table(many, tmp_path / "many.parquet", row_group_size=70_000)
    assert read_file(tmp_path / "many.parquet", name="many").table.equals(many)
    pq.write_table(many.slice(0, 0), tmp_path / "none.parquet")
    with pytest.raises(InvalidDataError, match="is empty: it has no rows"):
        read_file(tmp_path / "none.parquet", name="none")
