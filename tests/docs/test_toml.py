"""Every TOML block of the pages is a configuration, or sections of one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from recall.config.deployment import parse_config
from tests.docs.pages import PAGES, blocks, name

BLOCKS = [
    (page, number, block)
    for page in PAGES
    if page.stem != "add-a-channel"  # needs the package of the page; see its own test
    for number, block in enumerate(blocks(page, "toml"))
]
SOURCES = {"interactions": [{"files": ["ratings.csv"]}]}


@pytest.mark.parametrize(
    "block", [block for *_, block in BLOCKS], ids=[f"{name(page)}-{number}" for page, number, _ in BLOCKS]
)
def test_it_is_accepted(block: str, tmp_path: Path) -> None:
    parse_config({"sources": SOURCES, **tomllib.loads(block)}, base=tmp_path)
