"""Files of queries: found, refused, and read in pieces."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kg.errors import InvalidDataError
from recall.batch.queries import look_at_queries, read_rows


def test_a_folder_and_a_file(users) -> None:
    (users / "_SUCCESS").touch()
    (users / ".hidden.parquet").write_text("nothing")
    folder, files = look_at_queries(users, ("country",))
    assert folder == users.resolve()
    assert [(file.name, file.rows) for file in files] == [("a.parquet", 17), ("b.parquet", 13)]
    assert files[1].sha256 == hashlib.sha256((users / "b.parquet").read_bytes()).hexdigest()
    folder, files = look_at_queries(users / "b.parquet", ("country",))
    assert (folder, [file.name for file in files]) == (users.resolve(), ["b.parquet"])


@pytest.mark.parametrize(("start", "count"), [(0, 17), (0, 1), (4, 2), (5, 5), (7, 9), (16, 1)])
def test_rows_are_those_of_the_file_whatever_its_groups_are(users, start, count) -> None:
    batches = list(read_rows(users / "a.parquet", start, count, rows=17))
    ids = [name for batch in batches for name in batch.column("user_id").to_pylist()]
    assert ids == [f"u{number}" for number in range(start, start + count)]


def test_a_file_that_changed_meanwhile_is_named(users) -> None:
    with pytest.raises(InvalidDataError, match=r"a\.parquet has 17 queries and had 18"):
        next(read_rows(users / "a.parquet", 0, 5, rows=18))


def test_what_holds_no_queries_is_refused(tmp_path) -> None:
    with pytest.raises(InvalidDataError, match="no file or folder of queries at"):
        look_at_queries(tmp_path / "absent.parquet")
    empty = tmp_path / "folder"
    empty.mkdir()
    with pytest.raises(InvalidDataError, match="has no file of queries"):
        look_at_queries(empty)
    text = tmp_path / "users.csv"
    text.write_text("user_id\nu1\n")
    with pytest.raises(InvalidDataError, match=r"users\.csv is no Parquet file"):
        look_at_queries(text)
    none = tmp_path / "none.parquet"
    pq.write_table(pa.table({"user_id": pa.array([], pa.string())}), none)
    with pytest.raises(InvalidDataError, match="holds no queries"):
        look_at_queries(none)
    (tmp_path / "zero.parquet").touch()
    with pytest.raises(InvalidDataError, match=r"zero\.parquet is no Parquet file"):
        look_at_queries(tmp_path / "zero.parquet")


def test_every_file_of_a_folder_is_looked_at(users) -> None:
    pq.write_table(pa.table({"user_id": [1], "country": ["c1"]}), users / "c.parquet")
    with pytest.raises(InvalidDataError, match=r"'user_id' of .*c\.parquet is of the type int64"):
        look_at_queries(users, ("country",))
    pq.write_table(pa.table({"user_id": ["u1"], "country": [1]}), users / "c.parquet")
    with pytest.raises(InvalidDataError, match=r"'country' is of the type int64 in .*c\.parquet and string in"):
        look_at_queries(users, ("country",))
