"""The channel of the page works as a package beside graphrecall."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import README, ROOT, blocks
from tests.docs.test_readme import SHORT_TRAINING, write_books

PAGE = ROOT / "docs" / "add-a-channel.md"
MODULE, IN_MEMORY = blocks(PAGE, "python")
ENTRY_POINT, DEPLOYMENT = blocks(PAGE, "toml")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with the page's package as an installer leaves it."""
    folder = tmp_path / "site"
    metadata = folder / "also_liked-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "also_liked.py").write_text(MODULE, encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: also-liked\nVersion: 1.0\n", encoding="utf-8")
    lines = []
    for group, names in tomllib.loads(ENTRY_POINT)["project"]["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in names.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.xdist_group("docs")
def test_it_recommends_in_memory(package, project, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.chdir(project)
    names: dict[str, object] = {}
    exec(compile(IN_MEMORY, PAGE.name, "exec"), names)  # noqa: S102
    monkeypatch.delitem(sys.modules, "also_liked")
    printed = capsys.readouterr().out
    assert "also_liked" in printed
    assert "you liked" in printed


def graphrecall(folder: Path, *arguments: str, package: Path | None) -> subprocess.CompletedProcess[str]:
    path = [str(ROOT), *([str(package)] if package else [])]
    return subprocess.run(
        [sys.executable, "-c", "from recall.cli.main import main; main()", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_it_serves_from_a_run(package, tmp_path) -> None:
    (books,) = blocks(README, "toml")
    write_books(tmp_path)
    (tmp_path / "books.toml").write_text(books + DEPLOYMENT + SHORT_TRAINING, encoding="utf-8")
    made = graphrecall(tmp_path, "refresh", "books.toml", package=package)
    assert made.returncode == 0, made.stderr
    answer = graphrecall(tmp_path, "recommend", "runs/current", "--user", "7", "--explain", package=package)
    assert answer.returncode == 0, answer.stderr
    assert "also_liked" in answer.stdout
    without = graphrecall(tmp_path, "recommend", "runs/current", "--user", "7", package=None)
    assert without.returncode == 1
    assert "also_liked" in without.stderr
