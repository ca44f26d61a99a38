"""The parts of a batch, and what makes two batches the same."""

from __future__ import annotations

import pytest

from kg.errors import ArtifactError
from recall.batch.plan import PLAN, BatchPlan
from recall.batch.queries import QueryFile
from recall.serve.questions import RecommendOptions


def plan(**changes) -> BatchPlan:
    values = {
        "run": "r1",
        "run_digest": "d1",
        "queries": (
            QueryFile(name="a", rows=25, sha256="1"),
            QueryFile(name="b", rows=0, sha256="2"),
            QueryFile(name="c", rows=10, sha256="3"),
        ),
        "options": RecommendOptions(),
        "keep": (),
        "part_queries": 10,
    }
    return BatchPlan(**{**values, **changes})


def test_parts_cover_every_query_once_and_no_part_has_two_files() -> None:
    parts = plan().parts()
    assert [(part.file.name, part.start, part.count, part.first) for part in parts] == [
        ("a", 0, 10, 0),
        ("a", 10, 10, 10),
        ("a", 20, 5, 20),
        ("c", 0, 10, 25),
    ]
    assert [part.name for part in parts] == [f"part-0000{number}.parquet" for number in range(4)]
    assert plan().total == 35


def test_what_is_written_is_read(tmp_path) -> None:
    plan(keep=("country",)).save(tmp_path)
    assert BatchPlan.load(tmp_path) == plan(keep=("country",))
    (tmp_path / PLAN).write_text("{}")
    with pytest.raises(ArtifactError, match="is damaged"):
        BatchPlan.load(tmp_path)


def test_only_the_rule_for_unknown_ids_leaves_finished_parts_as_they_are() -> None:
    one = plan()
    assert plan(options=RecommendOptions(on_unknown="skip")).digest == one.digest
    others = [
        plan(run_digest="d2"),
        plan(part_queries=11),
        plan(options=RecommendOptions(k=3)),
        plan(queries=one.queries[:1]),
        plan(keep=("x",)),
    ]
    assert len({other.digest for other in (one, *others)}) == 6


def test_differences_are_said_in_words() -> None:
    other = plan(options=RecommendOptions(k=3), queries=(QueryFile(name="a", rows=26, sha256="123456789"),))
    assert list(other.differences(plan(queries=(QueryFile(name="a", rows=25, sha256="0"),)))) == [
        "queries is a (26 rows, sha256 12345678), and was a (25 rows, sha256 0)",
        "k is 3, and was 20",
    ]
