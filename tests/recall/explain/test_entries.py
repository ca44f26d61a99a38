"""Amounts as they are said, and lists that are cut."""

from __future__ import annotations

import pytest

from recall.explain.entries import PathReason, PathReasons, Reason, amount, short_amount, shortened


@pytest.mark.parametrize(
    ("share", "fraction", "short", "long"),
    [
        (0.3, 0.124, "12.4%", "12.4% of the score"),
        (-2.0, -0.926, "-92.6%", "-92.6% of the score"),
        (1e-6, 1e-6, "<0.1%", "under 0.1% of the score"),
        (-1e-6, -1e-6, ">-0.1%", "above -0.1% of the score"),
        (-0.0, -0.0, "0.0%", "0.0% of the score"),
        (0.31, None, "+0.31", "+0.31"),
        (-0.31, None, "-0.31", "-0.31"),
    ],
)
def test_amounts(share: float, fraction: float | None, short: str, long: str) -> None:
    assert short_amount(share, fraction) == short
    assert amount(share, fraction) == long


def reason(share: float, text: str = "a") -> Reason:
    return Reason(share=share, fraction=share, text=text)


def test_a_side_is_cut_to_its_largest_reasons() -> None:
    hops, rest, own = shortened([reason(0.4), reason(0.3), reason(0.2), reason(0.1, "own")], 1)
    assert [entry.share for entry in hops] == [0.4]
    assert rest is not None
    assert (rest.text, rest.share, rest.fraction) == ("and 2 more", pytest.approx(0.5), pytest.approx(0.5))
    assert [entry.text for entry in own] == ["own"]
    assert shortened([reason(0.4), reason(0.0, "own")], 1) == ([reason(0.4)], None, [])  # nothing to say of the own


def test_sentences_that_are_cut_join_the_other_paths() -> None:
    def line(share: float, paths: int) -> PathReason:
        return PathReason(
            share=share,
            fraction=share,
            text="b",
            step="genre",
            paths=paths,
            people=0,
            starts=(),
            strands=(),
            cypher=None,
        )

    others = Reason(share=0.1, fraction=0.1, text="and 7 more paths", paths=7)
    split = PathReasons(
        lines=(line(0.4, 1), line(0.3, 2), line(0.1, 4)),
        others=others,
        popularity=reason(0.1),
        fraction=0.9,
        weights="",
    )
    cut = split.shortened(1)
    assert [row.share for row in cut.rows] == [0.4, pytest.approx(0.5), 0.1]
    assert cut.others is not None
    assert (cut.others.text, cut.others.paths) == ("and 13 more paths", 13)
    assert split.shortened(3) is split
    assert split.lines[0].line == "40.0%: b"
