"""A real Chromium, and runs whose titles are as bad as titles get."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from recall.config.deployment import load_config
from recall.jobs.refresh import refresh
from tests.recall.conftest import ONE_CHANNEL, write_deployment

HOSTILE = """<script>window.ran=1</script>"'><img src=x onerror="window.ran=1">&{{1}}"""
ARABIC = "ليلة القطار: الجزء (2) [قصة]"
CHINESE = "雪国列车终点站之前的漫长冬夜与花园"
LONG = "Pneumonoultramicroscopic" * 4
TITLES = {0: HOSTILE, 1: ARABIC, 2: CHINESE, 3: LONG}
ODD_USER = "u/7 <i>?#%2F"


RULES = """
[[pipeline.control.boosts]]
name = "more of Person 3"
filter = 'director in ["Person 3"]'
weight = 0.5
"""


def chromium() -> str:
    """The browser's path; skips where there is none, and fails where one is required."""
    path = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if path is None:
        message = "no browser: there is no chromium (Debian: apt-get install chromium)"
        if os.environ.get("GRAPHRECALL_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return path


def pick(field: Locator, text: str) -> None:
    """Choose the only one whom the text finds; the list of before stays until the text was searched."""
    field.fill(text)
    options = field.page.get_by_role("option")
    expect(options).to_have_count(1)
    options.click()


def make_runs(folder: Path) -> Path:
    """The folder of two runs of a fusion, the second with a few more ratings."""
    config = write_deployment(folder)
    config.write_text(config.read_text().replace(ONE_CHANNEL, 'channels = ["lightgcn", "walk"]') + RULES)
    lines = (folder / "movies.nt").read_text().splitlines()
    for number, title in TITLES.items():
        at = next(at for at, line in enumerate(lines) if f"movie/{number}> <https://schema.org/name>" in line)
        escaped = title.replace('"', '\\"')
        lines[at] = f'<http://example.org/movie/{number}> <https://schema.org/name> "{escaped}"@en .'
    (folder / "movies.nt").write_text("\n".join(lines) + "\n")
    ratings = folder / "ratings.csv"
    ratings.write_text(ratings.read_text().replace("\nu7,", f"\n{ODD_USER},"))
    refresh(load_config(config))
    ratings.write_text(ratings.read_text() + "u1,m0,5.0,1005000\nu2,m5,3.0,1005001\n")
    assert refresh(load_config(config)).status == "published"
    return folder / "runs"
