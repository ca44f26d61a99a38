"""Shares as bars, with some below 0."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from recall.cli.render.bars import BAR_WIDTH, Bar, drawn_bars, print_bars


def test_lengths_follow_the_shares() -> None:
    full, half, small, none = drawn_bars([0.8, 0.4, 0.0125, 0.0])
    assert full == "█" * BAR_WIDTH
    assert half == "█" * (BAR_WIDTH // 2)
    assert small == "▎"
    assert none == ""


def test_below_0_is_left_of_the_line_and_not_full() -> None:
    """A score of 0.3 that one share takes 0.1 away from: the bar of that one ends where the others begin."""
    high, low, zero = drawn_bars([0.3, -0.1, 0.0])
    line = len(high) - len(high.lstrip())
    assert line == BAR_WIDTH // 4
    assert low == "█" * line
    assert high == " " * line + "█" * (BAR_WIDTH - line)
    assert zero.strip() == ""


@pytest.mark.parametrize("shares", [[-1.0, -0.5], [1e-9, 2e-9], [-1e-3, 5.0], [5e-3, -5.0], [0.0, 0.0], [7.0]])
def test_bars_fit_their_column(shares: list[float]) -> None:
    largest = max(map(abs, shares))
    for share, bar in zip(shares, drawn_bars(shares), strict=True):
        assert cell_len(bar) <= BAR_WIDTH
        assert bool(bar.strip()) == (abs(share) > largest / 16 / BAR_WIDTH) or abs(share) < largest / BAR_WIDTH
    assert drawn_bars([]) == []


def test_printed_at_80_columns() -> None:
    out = io.StringIO()
    text = "you liked a movie with a long name that goes on and on, which is directed by somebody, like this movie"
    bars = [Bar(text, 0.9, 1.926), Bar("what counts against it", -0.43, -0.926), Bar("nothing", 0.0, 0.0)]
    print_bars(bars, Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split()[0] == "192.6%"
    against = next(line for line in lines if "-92.6%" in line)
    assert against.index("█") < lines[0].index("█")
    assert against.count("█") < lines[0].count("█")
    (none,) = [line for line in lines if "nothing" in line]
    assert "█" not in none
    assert none.split()[0] == "0.0%"
