"""The channel of the page works as a package beside graphrecall."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "add-a-channel.md"
MODULE, IN_MEMORY = blocks(PAGE, "python")
(ENTRY_POINT,) = blocks(PAGE, "toml")


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
