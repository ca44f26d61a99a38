"""Folders are removed whole or not at all, never through a link, and never outside the folder that was named."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from kg.errors import ArtifactError
from kg.io.files import temporary_beside, write_text
from kg.io.removal import remove_leftovers, remove_trees


def test_removing_is_never_half_done_under_the_old_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "work" / "done.json", "{}")

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_trees([tmp_path / "work"])
    assert not (tmp_path / "work").exists()
    (left,) = tmp_path.iterdir()
    assert (left / "done.json").exists()
    remove_leftovers(tmp_path, inside=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    stays = [tmp_path / name for name in (".hidden", "notes.tmp", ".a.tmp", ".a.12345.tmp", ".cache/.b.0123abcd.tmp")]
    for path in stays:
        write_text(path, "mine")
    write_text(temporary_beside(tmp_path / "graph") / "nodes.parquet", "half")
    temporary_beside(tmp_path / "current").symlink_to("gone")
    write_text(temporary_beside(tmp_path / "facts.json"), "half")
    (tmp_path / f"{temporary_beside(tmp_path / 'store').name}.work").mkdir()
    remove_leftovers(tmp_path, inside=tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(stays)
    remove_leftovers(tmp_path, inside=tmp_path, below=True)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(stays[:-1])
    remove_leftovers(tmp_path / "never", inside=tmp_path)


@pytest.mark.parametrize("direction", [1, -1])
def test_young_leftovers_may_belong_to_somebody(tmp_path: Path, direction: int) -> None:
    young, old = (temporary_beside(tmp_path / name) for name in ("young", "old"))
    for path, age in ((young, 60), (old, 7200)):
        path.write_text("half")
        os.utime(path, (time.time() - direction * age,) * 2)
    remove_leftovers(tmp_path, inside=tmp_path, older_than=3600)
    assert list(tmp_path.iterdir()) == [young]


def foreign(tmp_path: Path) -> Path:
    """A folder of somebody else's, with something that has the name of a leftover."""
    other = tmp_path / "other"
    write_text(other / "work" / "photo.jpg", "dear")
    write_text(temporary_beside(other / "letter"), "dear, too")
    return other


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("place", ["staging", "staging/inner"])
def test_nothing_is_removed_through_a_link(tmp_path: Path, place: str) -> None:
    other = foreign(tmp_path)
    before, runs = files(other), tmp_path / "runs"
    link = runs / place
    link.parent.mkdir(parents=True)
    link.symlink_to(other)
    for remove in (
        lambda: remove_trees([link / "work"], inside=runs),
        lambda: remove_leftovers(link, inside=runs),
        lambda: remove_leftovers(link, inside=runs, below=True),
    ):
        with pytest.raises(ArtifactError, match=f"{link} is a link to {other}.*Put a folder in its place"):
            remove()
    remove_leftovers(runs, inside=runs, below=True)
    assert files(other) == before
    remove_trees([link], inside=runs)
    assert not link.is_symlink()
    assert files(other) == before


def test_a_link_within_the_folder_is_a_link_all_the_same(tmp_path: Path) -> None:
    write_text(tmp_path / "runs" / "run" / "MANIFEST.json", "{}")
    (tmp_path / "runs" / "staging").symlink_to(".")
    with pytest.raises(ArtifactError, match="is a link to \\."):
        remove_trees([tmp_path / "runs" / "staging" / "run"], inside=tmp_path / "runs")
    assert (tmp_path / "runs" / "run" / "MANIFEST.json").exists()


@pytest.mark.parametrize("path", ["other/work", "runs/../other/work", "runs", ""])
def test_nothing_is_removed_outside_the_folder(tmp_path: Path, path: str) -> None:
    other = foreign(tmp_path)
    before = files(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(ArtifactError, match="is not removed: it does not"):
        remove_trees([tmp_path / path], inside=tmp_path / "runs")
    assert files(tmp_path) == before
    assert other.is_dir()


def test_the_way_to_the_folder_may_go_through_links(tmp_path: Path) -> None:
    (tmp_path / "disk" / "runs" / "staging").mkdir(parents=True)
    (tmp_path / "runs").symlink_to("disk/runs")
    for way in (tmp_path / "runs", tmp_path / "disk" / "runs"):
        (tmp_path / "disk" / "runs" / "staging").mkdir(exist_ok=True)
        remove_trees([way / "staging"], inside=tmp_path / "runs")
        assert list((tmp_path / "disk" / "runs").iterdir()) == []


def test_links_in_what_is_removed_are_not_followed(tmp_path: Path) -> None:
    other = foreign(tmp_path)
    before = files(other)
    (tmp_path / "runs" / "staging").mkdir(parents=True)
    (tmp_path / "runs" / "staging" / "there").symlink_to(other)
    remove_trees([tmp_path / "runs" / "staging"], inside=tmp_path / "runs")
    assert files(other) == before


def test_a_mount_point_stays_and_what_is_in_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "staging" / "work" / "done.json", "{}")
    (tmp_path / "staging" / "there").symlink_to("nowhere")
    place = tmp_path / "staging"
    monkeypatch.setattr(Path, "is_mount", lambda path: path == place)

    def busy(path: Path, target: Path) -> Path:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "rename", busy)
    remove_trees([place], inside=tmp_path)
    assert list(tmp_path.iterdir()) == [place]
    assert list(place.iterdir()) == []
