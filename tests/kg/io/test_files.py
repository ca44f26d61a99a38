from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from kg import errors
from kg.errors import ArtifactError, GraphRecallError, UnknownIdError
from kg.io.files import (
    MANIFEST,
    atomic_path,
    checksum,
    digest,
    publish_folder,
    read_json,
    switch_link,
    verify_manifest,
    write_json,
    write_manifest,
    write_text,
)
from kg.io.removal import remove_trees


def test_every_error_has_one_root_and_speaks_plainly() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) > 5
    for kind in kinds:
        assert issubclass(kind, GraphRecallError)
        assert str(kind("what was wrong")) == "what was wrong"
    assert issubclass(UnknownIdError, KeyError)
    assert str(UnknownIdError()) == ""


def test_atomic_write_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "note.txt"
    write_text(target, "old")
    write_text(target, "new ü")
    assert target.read_text(encoding="utf-8") == "new ü"
    assert list(target.parent.iterdir()) == [target]


def test_an_exception_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "note.txt"
    write_text(target, "old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "facts.json"
    write_json(target, {"b": 1, "a": [1.5, None]})
    assert list(json.loads(target.read_text())) == ["b", "a"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"a": math.nan})
    assert read_json(target) == {"b": 1, "a": [1.5, None]}


def test_reading_json_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nothing\.json is missing"):
        read_json(tmp_path / "nothing.json")
    (tmp_path / "bad.json").write_bytes(b'{"a": ')
    with pytest.raises(ArtifactError, match=r"bad\.json is damaged"):
        read_json(tmp_path / "bad.json")
    (tmp_path / "latin.json").write_bytes(b'"\xff"')
    with pytest.raises(ArtifactError, match=r"latin\.json is damaged"):
        read_json(tmp_path / "latin.json")
    for name, text in (("long", "1" * 5000), ("deep", "[" * 100_000)):
        (tmp_path / f"{name}.json").write_text(text)
        with pytest.raises(ArtifactError, match=rf"{name}\.json is damaged"):
            read_json(tmp_path / f"{name}.json")


def test_digest_knows_no_order() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1, "b": [1, 2]}) != digest({"a": 1, "b": [2, 1]})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    write_text(folder / "report.json", "{}")
    write_text(folder / "model" / "weights.bin", "0123456789" * 10)
    write_text(folder / "model" / MANIFEST, "a manifest of an inner artifact")
    write_manifest(folder, {"run": "r1"})
    return folder


def test_an_untouched_folder_is_accepted(run: Path) -> None:
    manifest = verify_manifest(run)
    assert manifest["run"] == "r1"
    assert set(manifest["files"]) == {"report.json", "model/weights.bin", f"model/{MANIFEST}"}
    assert manifest["files"]["model/weights.bin"] == checksum(run / "model" / "weights.bin")


@pytest.mark.parametrize("name", ["report.json", "model/weights.bin", f"model/{MANIFEST}", MANIFEST])
def test_any_flipped_byte_is_noticed(run: Path, name: str) -> None:
    content = bytearray((run / name).read_bytes())
    for position in range(0, len(content), 7):
        changed = bytearray(content)
        changed[position] ^= 1
        (run / name).write_bytes(changed)
        with pytest.raises(ArtifactError, match=Path(name).name):
            verify_manifest(run)
    (run / name).write_bytes(content)
    verify_manifest(run)


@pytest.mark.parametrize(("was", "becomes"), [(b"1e-05", b"1E-05"), (b"30000000000000004", b"30000000000000005")])
def test_a_flipped_byte_that_means_the_same_is_noticed(run: Path, was: bytes, becomes: bytes) -> None:
    write_manifest(run, {"metrics": {"small": 1e-05, "sum": 0.1 + 0.2}})
    verify_manifest(run)
    changed = (run / MANIFEST).read_bytes().replace(was, becomes)
    assert json.loads(changed) == read_json(run / MANIFEST)
    (run / MANIFEST).write_bytes(changed)
    with pytest.raises(ArtifactError, match="MANIFEST"):
        verify_manifest(run)


def test_a_flipped_byte_that_makes_a_number_infinite_is_noticed(run: Path) -> None:
    write_manifest(run, {"metrics": {"novelty": 1.3092975}})
    (run / MANIFEST).write_bytes((run / MANIFEST).read_bytes().replace(b"1.309", b"1e309"))
    assert math.isinf(read_json(run / MANIFEST)["metrics"]["novelty"])
    with pytest.raises(ArtifactError, match=r"MANIFEST.json is damaged: its own digest does not match"):
        verify_manifest(run)


def test_missing_and_extra_files_are_named(run: Path) -> None:
    write_text(run / "model" / "more.txt", "x")
    with pytest.raises(ArtifactError, match=r"does not list: model/more\.txt"):
        verify_manifest(run)
    (run / "model" / "more.txt").unlink()
    (run / "report.json").unlink()
    with pytest.raises(ArtifactError, match=r"incomplete: report\.json missing"):
        verify_manifest(run)
    (run / MANIFEST).unlink()
    with pytest.raises(ArtifactError, match=r"MANIFEST\.json is missing"):
        verify_manifest(run)


def test_another_format_version_is_refused(run: Path) -> None:
    body = {key: value for key, value in read_json(run / MANIFEST).items() if key != "digest"} | {"format_version": 99}
    write_json(run / MANIFEST, {**body, "digest": digest(body)})
    with pytest.raises(ArtifactError, match="format version 99"):
        verify_manifest(run)


def test_a_manifest_that_is_no_object(run: Path) -> None:
    write_json(run / MANIFEST, [1])
    with pytest.raises(ArtifactError, match="holds no object"):
        verify_manifest(run)


@pytest.mark.parametrize("files", [None, 3, ["a"]])
def test_a_manifest_that_lists_no_files(run: Path, files: object) -> None:
    body = {key: value for key, value in read_json(run / MANIFEST).items() if key != "digest"} | {"files": files}
    write_json(run / MANIFEST, {**body, "digest": digest(body)})
    with pytest.raises(ArtifactError, match="lists no files"):
        verify_manifest(run)


def test_publishing_moves_once_and_never_replaces(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "runs" / "r1"
    publish_folder(run, target)
    assert not run.exists()
    verify_manifest(target)
    write_text(run / "again.txt", "x")
    with pytest.raises(ArtifactError, match="never replaced"):
        publish_folder(run, target)
    assert (run / "again.txt").exists()


def test_switching_a_link(tmp_path: Path) -> None:
    for name in ("r1", "r2"):
        write_text(tmp_path / name / "who.txt", name)
    link = tmp_path / "current"
    switch_link(link, tmp_path / "r1")
    assert (link / "who.txt").read_text() == "r1"
    switch_link(link, tmp_path / "r2")
    assert (link / "who.txt").read_text() == "r2"
    assert not link.readlink().is_absolute()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "r1", "r2"]
    remove_trees([tmp_path / "r1", tmp_path / "never"])
    assert not (tmp_path / "r1").exists()


def test_a_folder_in_the_links_place_is_not_touched(tmp_path: Path) -> None:
    write_text(tmp_path / "current" / "mine.txt", "x")
    (tmp_path / "r1").mkdir()
    with pytest.raises(OSError, match=r"[Dd]irectory"):
        switch_link(tmp_path / "current", tmp_path / "r1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "r1"]
    assert (tmp_path / "current" / "mine.txt").exists()
