"""What tunings leave behind: only what no tuning at work needs is removed, and trials never."""

from __future__ import annotations

from pathlib import Path

import pytest

from kg.errors import ArtifactError
from recall.runs.studies import DATA, TRAINING, remove_leftovers_of_studies


def study(studies: Path, name: str) -> Path:
    for part in (DATA, TRAINING):
        (studies / name / part).mkdir(parents=True)
        (studies / name / part / "file").write_text("x")
    (studies / name / "trials.sqlite").write_text("trials")
    return studies / name


def test_only_what_no_tuning_at_work_needs_is_removed(tmp_path: Path) -> None:
    mine, other = study(tmp_path, "mine"), study(tmp_path, "other")
    kept, left = tmp_path / "neo4j-kept", tmp_path / "neo4j-left"
    for copy in (kept, left):
        copy.mkdir()
        (copy / "nodes").write_text("x")
    remove_leftovers_of_studies(tmp_path, but=mine, keep=kept)
    assert sorted(path.name for path in mine.iterdir()) == sorted([DATA, TRAINING, "trials.sqlite"])
    assert [path.name for path in other.iterdir()] == ["trials.sqlite"]
    assert (kept / "nodes").exists()
    assert not left.exists()
    remove_leftovers_of_studies(tmp_path, but=mine, keep=None)
    assert not kept.exists()


@pytest.mark.parametrize("where", [DATA, "neo4j-copy"])
def test_nothing_behind_a_link_is_removed(tmp_path: Path, where: str) -> None:
    foreign, studies = tmp_path / "foreign", tmp_path / "studies"
    (foreign / DATA).mkdir(parents=True)
    (foreign / DATA / "precious").write_text("x")
    mine = study(studies, "mine")
    if where == DATA:
        (studies / "other").symlink_to(foreign)
    else:
        (studies / where).symlink_to(foreign)
    try:
        remove_leftovers_of_studies(studies, but=mine, keep=None)
    except ArtifactError:
        assert where == DATA
    assert (foreign / DATA / "precious").exists()
