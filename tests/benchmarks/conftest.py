"""Marks the tests of this folder, which run commands of `benchmarks/` on small data, and the data that several use."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.benchmarks)


@pytest.fixture
def small_beauty(tmp_path: Path) -> Path:
    """A folder with five histories of six items, as the files of Beauty are."""
    folder = tmp_path / "sequences"
    folder.mkdir()
    lines = "1 1 2 3 4", "2 2 3 4 5 1", "3 3 1 5 2", "4 4 2 1 3", "5 1 2 3 6"
    (folder / "Beauty.txt").write_text("\n".join(lines) + "\n", encoding="ascii")
    rows = ["item,text,brand", *(f"{item},soap {item},OPI" for item in range(1, 7))]
    (folder / "Beauty_items.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path
