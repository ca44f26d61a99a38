"""The Python of the pages runs as it stands there, on a cut of the bundled movies."""

from __future__ import annotations

import pytest

from tests.docs.pages import PAGES, blocks, name

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("docs")]
OWN_TEST = ("add-a-channel", "service")
WITH_PYTHON = [page for page in PAGES if blocks(page, "python") and page.stem not in OWN_TEST]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_it_runs(page, project, monkeypatch, capsys) -> None:
    """The blocks of a page share their names, from top to bottom."""
    monkeypatch.chdir(project)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page, "python"):
        exec(compile(block, name(page), "exec"), names)  # noqa: S102
    assert capsys.readouterr().out


def test_the_readme_writes_the_batch_of_candidates(project, monkeypatch, capsys) -> None:
    (block,) = blocks(PAGES[0], "python")
    monkeypatch.chdir(project)
    exec(compile(block, "README.md", "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out
    assert "202" in printed
    assert "MATCH" in printed
    assert (project / "candidates.parquet").is_file()
