"""Tables written as CSV, TSV, JSON lines and Parquet by the ending of the file."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from kg.errors import ConfigError
from kg.io.table_file import write_blocks, write_table_file

TABLE = pa.table(
    {
        "id": ["a", "b,\t", 'c "quoted"\nline'],
        "score": pa.array([0.5, 0.25, -1.0], type=pa.float32()),
        "rank": pa.array([1, 2, 3], type=pa.int32()),
    }
)
READ = {
    ".csv": lambda path: pacsv.read_csv(path, parse_options=pacsv.ParseOptions(newlines_in_values=True)).to_pylist(),
    ".tsv": lambda path: pacsv.read_csv(
        path, parse_options=pacsv.ParseOptions(delimiter="\t", newlines_in_values=True)
    ).to_pylist(),
    ".jsonl": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
    ".ndjson": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
    ".parquet": lambda path: pq.read_table(path).to_pylist(),
    ".pq": lambda path: pq.read_table(path).to_pylist(),
    ".CSV": lambda path: pacsv.read_csv(path, parse_options=pacsv.ParseOptions(newlines_in_values=True)).to_pylist(),
}


@pytest.mark.parametrize("ending", READ)
def test_what_is_written_is_read_again(tmp_path, ending):
    path = tmp_path / "deep" / f"candidates{ending}"
    assert write_blocks([TABLE.slice(0, 2), TABLE.slice(2)], path, TABLE.schema) == 3
    assert READ[ending](path) == TABLE.to_pylist()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", READ)
def test_a_table_without_rows(tmp_path, ending):
    path = tmp_path / f"none{ending}"
    assert write_table_file(TABLE.slice(0, 0), path) == 0
    assert path.exists()


@pytest.mark.parametrize("name", ["candidates", "candidates.xlsx", "candidates.csv.gz", ".csv", "folder.csv", ""])
def test_what_names_no_format_is_refused_and_nothing_written(tmp_path, name):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match=r"ending that names a format|name a file in it"):
        write_table_file(TABLE, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "candidates.jsonl"
    write_table_file(TABLE, path)
    before = path.read_bytes()

    def blocks():
        yield TABLE
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        write_blocks(blocks(), path, TABLE.schema)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
