"""Every link of the pages to a page or a file, and every file that they name, is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, README, ROOT, anchors, blocks, name, prose, text

TOPS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - {"runs"}
every_page = pytest.mark.parametrize("page", PAGES, ids=name)


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name(page)} links to {target}"
        if anchor:
            assert anchor in anchors(file), f"{name(page)} links to {target}"


@every_page
def test_named_files_exist(page: Path) -> None:
    code = re.findall(r"`([^`\n]+)`", prose(page)) + [word for block in blocks(page, "sh") for word in block.split()]
    for word in code:
        if re.fullmatch(r"[\w.@-]+(/[\w.@-]+)*/?", word) and "/" in word and word.split("/")[0] in TOPS:
            assert (ROOT / word).exists(), f"{name(page)} names {word}"


def test_every_page_is_linked_from_the_readme() -> None:
    for page in PAGES[1:]:
        assert f"]({name(page)})" in text(README), page


def test_every_public_room_is_on_the_map() -> None:
    page = text(ROOT / "docs" / "architecture.md")
    rooms = [
        path.parent.relative_to(ROOT).as_posix()
        for package in ("kg", "ingest", "gnn", "recall")
        for path in sorted((ROOT / package).glob("*/__init__.py"))
    ]
    assert [room for room in rooms if f"| `{room}` |" not in page] == []
