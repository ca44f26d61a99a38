"""The README: its length, and the configuration for data of one's own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from recall import Recommender
from recall.config.deployment import load_config
from recall.jobs.refresh import refresh
from tests.docs.pages import README, blocks, text

SHORT_TRAINING = """
[channels.lightgcn.training]
max_steps = 4
eval_every = 2
"""


def test_it_is_a_screen_and_a_half() -> None:
    lines = text(README).splitlines()
    assert len(lines) <= 105
    wide = [line for line in lines if len(line) > 80 and not line.startswith(("|", "!["))]
    assert wide == []


def test_its_python_has_ten_lines() -> None:
    (python,) = blocks(README, "python")
    assert len(python.splitlines()) <= 10


def write_books(folder: Path) -> None:
    """Two tables as the README says: who rated which book when, and the books."""
    random = np.random.default_rng(0)
    books = [f"b{number},The book of number {number},Author {number % 6}" for number in range(30)]
    (folder / "books.csv").write_text("\n".join(["id,title,author", *books]) + "\n", encoding="utf-8")
    ratings = [
        f"{user},b{book},{random.choice([2, 4, 5])},{1_700_000_000 + 100 * at}"
        for user in range(20)
        for at, book in enumerate(random.permutation(30)[:12])
    ]
    (folder / "ratings.csv").write_text("\n".join(["user,book,stars,time", *ratings]) + "\n", encoding="utf-8")


@pytest.mark.slow
def test_its_configuration_for_own_data_works_as_it_is(tmp_path: Path) -> None:
    (toml,) = blocks(README, "toml")
    assert len(toml.splitlines()) <= 15
    write_books(tmp_path)
    (tmp_path / "books.toml").write_text(toml + SHORT_TRAINING, encoding="utf-8")
    refresh(load_config(tmp_path / "books.toml"))
    rec = Recommender.load(tmp_path / "runs" / "current")
    (best, *_) = rec.recommend(["7"], k=5)
    (why,) = rec.explain([("7", best["item_id"])])
    assert "The book of number" in why.text
    assert set(rec.graph.schema.node_types) == {"user", "book", "person"}
    assert rec.graph.interactions.positive.mean() == pytest.approx(2 / 3, abs=0.1)


def test_its_tables_are_named_in_the_configuration() -> None:
    (toml,) = blocks(README, "toml")
    assert set(re.findall(r"\w+\.csv", toml)) == set(re.findall(r"`(\w+\.csv)`", text(README)))
