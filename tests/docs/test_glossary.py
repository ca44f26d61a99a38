"""The glossary has every metric and channel that results name."""

from __future__ import annotations

import pytest

from recall.channels.registry import registered
from recall.ops.legend import METRICS
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_explained_as_in_the_reports(name):
    assert f"| {name} | {METRICS[name]} |" in PAGE


@pytest.mark.parametrize("channel", registered())
def test_the_scale_of_each_channel_is_there(channel):
    _, _, scores = PAGE.partition("## Scores")
    firsts = [
        cell.strip() for line in scores.splitlines() if line.startswith("|") for cell in line.split("|")[1].split(",")
    ]
    assert channel in firsts
