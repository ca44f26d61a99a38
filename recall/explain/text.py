"""The parts of an explanation as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recall.explain.entries import (
    LEAST,
    ChannelPart,
    PathReason,
    PathReasons,
    Reason,
    amount,
    short_amount,
    shortened,
)

PART_TOP = 3
"""Reasons of each side of a channel whose scores are no sums over paths, where another channel's are."""
NEGATIVE = (
    "A share below 0 lowers the score: what the channel learned, or was told you do not like, speaks against the item."
)


def path_lines(split: PathReasons, top: int, *, indent: str = "") -> list[str]:
    """The sentences about paths that carry the score, what is left, and what a type of path weighs."""
    lines = [f"{indent}{path_heading(split)}:"] if not indent else []
    rows = split.shortened(top).rows
    amounts = [short_amount(row.share, row.fraction) for row in rows]
    width = max([6, *map(len, amounts)])
    lines += [f"{indent}  {text:>{width}}: {row_text(row)}" for text, row in zip(amounts, rows, strict=True)]
    return [*lines, f"{indent}{split.weights}"] if split.weights else lines


def path_heading(split: PathReasons) -> str:
    """What leads the sentences about paths: all paths and popularity add up to the score."""
    if not split.lines and split.others is None:
        alone = "its popularity is all of it" if split.popularity is not None else "which is 0"
        return f"No path of the graph carries a part of the score; {alone}"
    if split.popularity is None:
        return "Because of these paths, which add up to the score"
    if split.fraction is None:
        return "Because of these paths, which add up to the score with popularity"
    return f"Because of these paths, which carry {split.fraction:.1%} of the score; popularity carries the rest"


def part_lines(part: ChannelPart, top: int) -> list[str]:
    """A channel of a fusion: its part, and its reasons."""
    share = amount(part.share, part.fraction)
    if part.by_paths is not None:
        return [f"  - {part.channel}: {share}, which is the sum of", *path_lines(part.by_paths, top, indent="    ")]
    if part.reason is not None:
        return [
            f"  - {part.channel}: {share}; {part.reason}",
            *left_out_lines(part.left_out, min(top, PART_TOP), indent="    "),
        ]
    lines = [f"  - {part.channel}: {share}"]
    for side, name in zip(
        part_sides(part), ("the user's side", "the item's side; the same part, split again"), strict=False
    ):
        lines.append(f"    from {name}:")
        lines += [f"    {line}" for line in side_lines(side, min(top, PART_TOP))]
    return lines


def part_sides(part: ChannelPart) -> list[Sequence[Reason]]:
    """The user's side of a channel's part and, where the channel splits it over first hops of the item, the item's."""
    return [part.history, part.neighbours] if len(part.neighbours) > 1 else [part.history]


def left_out_lines(reasons: Sequence[Reason], top: int, *, indent: str = "") -> list[str]:
    """What a score that does not split loses without single items of the history, the largest effects first."""
    if not reasons:
        return []
    shown = sorted(reasons, key=lambda reason: -abs(reason.share))[:top]
    lines = [f"{indent}Leave-one-out (what it loses without that alone; these do not add up to it):"]
    lines += [f"{indent}  - {reason.text}: {amount(reason.share, reason.fraction)}" for reason in shown]
    if len(reasons) > len(shown):
        lines.append(f"{indent}  - and {len(reasons) - len(shown)} more with smaller effects")
    return lines


def side_lines(reasons: Sequence[Reason], top: int) -> list[str]:
    """One side of a split score: its largest reasons, the sum of the others, the own embedding."""
    hops, rest, own = shortened(reasons, top)
    lines = [f"  - {reason.line}" for reason in hops]
    if rest is not None:
        lines.append(f"  - {rest.text} ({amount(rest.share, rest.fraction)})")
    return lines + [f"  - {reason.line}" for reason in own]


def shown_of(
    by_paths: PathReasons | None, sides: Sequence[Sequence[Reason]], top: int
) -> list[Reason | PathReason | ChannelPart]:
    """The reasons of a split score that are shown: those by paths, or else those of both sides."""
    if by_paths is not None:
        return list(by_paths.shortened(top).rows)
    shown: list[Reason | PathReason | ChannelPart] = []
    for side in sides:
        hops, rest, own = shortened(side, top)
        shown += [*hops, *([] if rest is None else [rest]), *own]
    return shown


def row_text(row: PathReason | Reason) -> str:
    """The text of a reason without the "of" that follows "because"."""
    return row.text.removeprefix("of ")


def negative_note(rows: Iterable[Reason | PathReason | ChannelPart]) -> str:
    """How a share below 0 comes, where there is one that is shown as such."""
    negative = any(row.share < 0 and (row.fraction is None or row.fraction <= -LEAST) for row in rows)
    return NEGATIVE if negative else ""
