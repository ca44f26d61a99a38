"""Lines of text: what heads them, and what is said of shares below 0."""

from __future__ import annotations

from recall.explain.entries import ChannelPart, PathReason, PathReasons, Reason
from recall.explain.text import NEGATIVE, negative_note, part_lines, path_heading, path_lines


def reason(share: float, text: str = "you liked Alien", fraction: float | None = None) -> Reason:
    return Reason(share=share, fraction=fraction, text=text)


def split(popularity: float, fraction: float | None, *shares: float) -> PathReasons:
    lines = tuple(
        PathReason(
            share=share,
            fraction=None if fraction is None else share,
            text=f"a path of {share}",
            step="genre",
            paths=1,
            people=0,
            starts=(),
            strands=(),
            cypher=None,
        )
        for share in shares
    )
    prior = reason(popularity, "of how many people like it") if popularity else None
    return PathReasons(lines=lines, others=None, popularity=prior, fraction=fraction, weights="")


def part(history: tuple[Reason, ...], neighbours: tuple[Reason, ...]) -> ChannelPart:
    return ChannelPart(
        channel="ease", weight=1.0, share=0.5, fraction=0.5, reason=None, history=history, neighbours=neighbours
    )


def test_the_heading_says_that_paths_and_popularity_are_the_score() -> None:
    assert path_heading(split(0.0, 1.0, 0.6, 0.4)) == "Because of these paths, which add up to the score"
    assert path_heading(split(0.1, 0.9, 0.9)) == (
        "Because of these paths, which carry 90.0% of the score; popularity carries the rest"
    )
    assert path_heading(split(0.1, None, -0.9)) == "Because of these paths, which add up to the score with popularity"
    assert path_heading(split(0.1, 0.0)).endswith("its popularity is all of it")


def test_amounts_stand_under_one_another() -> None:
    lines = path_lines(split(0.1, 0.9, 12.345, 0.5, -11.945), 5)[1:]
    assert len({line.index(": ") for line in lines}) == 1


def test_shares_below_0_are_explained_where_they_are_seen() -> None:
    assert negative_note([reason(0.4, fraction=0.4), reason(-0.2, fraction=-0.2)]) == NEGATIVE
    assert negative_note([reason(-0.2)]) == NEGATIVE
    assert negative_note([reason(-1e-9, fraction=-1e-9), reason(0.0, fraction=-0.0)]) == ""
    assert negative_note([]) == ""


def test_a_channel_shows_the_sides_that_it_splits() -> None:
    both = part((reason(0.5), reason(0.0, "own")), (reason(0.4, "it has genre Drama"), reason(0.1, "own")))
    assert [line.strip() for line in part_lines(both, 5)][:2] == ["- ease: 50.0% of the score", "from the user's side:"]
    assert any("it has genre Drama" in line for line in part_lines(both, 5))
    one_side = part((reason(0.5), reason(0.0, "own")), (reason(0.5, "own"),))
    assert not any("item's side" in line for line in part_lines(one_side, 5))
