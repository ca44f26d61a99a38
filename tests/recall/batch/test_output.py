"""The folder of candidates: whose it is, what is there, and what is written."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kg.errors import ArtifactError, BatchInProgressError, ConfigError
from recall.batch.output import LOCK, begin, locked_output, write_part
from recall.batch.plan import PLAN
from recall.serve.questions import RecommendOptions
from tests.recall.batch.test_plan import plan

SCHEMA = pa.schema([("user_id", pa.string())])


def write(out, asked, number) -> None:
    batch = pa.table({"user_id": [f"u{number}"]}, schema=SCHEMA).to_batches()[0]
    assert write_part(asked, asked.parts()[number], out, SCHEMA, [batch, batch]) == 2


def test_what_is_there_is_not_missing(tmp_path) -> None:
    out, asked = tmp_path / "new" / "out", plan()
    with locked_output(out):
        assert [part.number for part in begin(asked, out)] == [0, 1, 2, 3]
        write(out, asked, 1)
        write(out, asked, 3)
    (out / ".part-00002.parquet.0123abcd.tmp").write_text("what a killed process left")
    with locked_output(out):
        assert [part.number for part in begin(asked, out)] == [0, 2]
    assert {path.name for path in out.iterdir()} == {PLAN, LOCK, "part-00001.parquet", "part-00003.parquet"}
    assert pq.read_table(out).num_rows == 4
    assert pq.read_schema(out / "part-00001.parquet").metadata[b"run"] == b"r1"


def test_a_part_without_an_end_is_made_again(tmp_path) -> None:
    with locked_output(tmp_path):
        begin(plan(), tmp_path)
        write(tmp_path, plan(), 0)
        file = tmp_path / "part-00000.parquet"
        file.write_bytes(file.read_bytes()[:-10])
        assert [part.number for part in begin(plan(), tmp_path)] == [0, 1, 2, 3]


def test_a_part_that_fails_leaves_nothing(tmp_path) -> None:
    def failing():
        yield pa.table({"user_id": ["u1"]}, schema=SCHEMA).to_batches()[0]
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_part(plan(), plan().parts()[0], tmp_path, SCHEMA, failing())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_belongs_to_one_run(tmp_path) -> None:
    begin(plan(), tmp_path)
    with pytest.raises(ArtifactError, match=r"candidates of the run r1, and the run is r2 now.*/r1, to finish"):
        begin(plan(run="r2", run_digest="d2"), tmp_path)
    with pytest.raises(ArtifactError, match="another batch: k is 3, and was 20"):
        begin(plan(options=RecommendOptions(k=3)), tmp_path)
    with pytest.raises(ArtifactError, match="another batch: part_queries is 5, and was 10"):
        begin(plan(part_queries=5), tmp_path)


def test_the_rule_for_unknown_ids_can_be_loosened_once(tmp_path) -> None:
    begin(plan(), tmp_path)
    write(tmp_path, plan(), 0)
    skipping = plan(options=RecommendOptions(on_unknown="skip"))
    assert [part.number for part in begin(skipping, tmp_path)] == [1, 2, 3]
    with pytest.raises(ArtifactError, match="another batch: on_unknown is 'popular', and was 'skip'"):
        begin(plan(options=RecommendOptions(on_unknown="popular")), tmp_path)


def test_files_of_nobody_are_not_mixed_in(tmp_path) -> None:
    (tmp_path / "part-00000.parquet").write_text("mine")
    with (
        pytest.raises(ConfigError, match=r"no batch has written, such as part-00000\.parquet"),
        locked_output(tmp_path),
    ):
        pass
    (tmp_path / "part-00000.parquet").unlink()
    begin(plan(), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match=r"notes\.txt is no part of the batch"):
        begin(plan(), tmp_path)
    (tmp_path / "notes.txt").unlink()
    other = plan(run="r0", run_digest="d0")
    write(tmp_path, other, 0)
    with pytest.raises(ArtifactError, match=r"part-00000\.parquet is of another batch \(run r0\)"):
        begin(plan(), tmp_path)


def test_one_process_at_a_time(tmp_path) -> None:
    with (
        locked_output(tmp_path),
        pytest.raises(BatchInProgressError, match="another batch is writing"),
        locked_output(tmp_path),
    ):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"), locked_output(tmp_path / "file"):
        pass
